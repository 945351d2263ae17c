#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "data/image_file.h"
#include "data/image_scale.h"

using namespace ebb;

// Every input is decoded or refused; what is decoded has the pixels that its size says, and can be
// scaled.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const Picture picture =
        decode_picture({reinterpret_cast<const std::byte*>(data), size}, "input");
    if (static_cast<std::int64_t>(picture.pixels.size()) != picture.height * picture.width * 3)
      std::abort();
    if (picture.height * picture.width <= 1 << 12 && centred_square(picture, 5).size() != 75)
      std::abort();
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
