#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "data/voc.h"

using namespace ebb;

// What is accepted has a size, and named boxes with an area inside it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const VocAnnotation read = parse_voc({reinterpret_cast<const char*>(data), size}, "input");
    if (read.width < 1 || read.height < 1 || read.dropped < 0) std::abort();
    for (const VocAnnotation::Object& object : read.objects) {
      const Box& box = object.box;
      const bool inside = box.left >= 0 && box.top >= 0 &&
                          box.right <= static_cast<float>(read.width) &&
                          box.bottom <= static_cast<float>(read.height);
      if (object.name.empty() || !inside || !(box.width() > 0 && box.height() > 0)) std::abort();
    }
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
