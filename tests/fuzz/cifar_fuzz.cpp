#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "data/cifar.h"
#include "data/file.h"

using namespace ebb;

// Every input is read as each kind of file: a set that is accepted is consistent, and one that is
// refused has not grown.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* first = reinterpret_cast<const std::byte*>(data);
  for (const CifarLabels labels : {CifarLabels::ten, CifarLabels::coarse, CifarLabels::fine}) {
    ImageSet set = cifar_image_set(labels, "set");
    try {
      const std::vector<std::byte> bytes =
          unpack({first, first + size}, "input", std::size_t{1} << 20);
      append_cifar(set, bytes, labels, "input");
      require_consistent(set);
    } catch (const DataError&) {
      if (set.count() != 0) std::abort();
    }
  }
  return 0;
}
