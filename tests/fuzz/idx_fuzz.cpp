#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "data/file.h"
#include "data/idx.h"

using namespace ebb;

// An accepted file must account for all its bytes, and whatever it holds must be fit for use or
// refused, as images and as labels.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* first = reinterpret_cast<const std::byte*>(data);
  try {
    const std::vector<std::byte> bytes =
        unpack({first, first + size}, "input", std::size_t{1} << 20);
    const IdxArray array = parse_idx(bytes, "input");
    std::size_t elements = 1;
    for (const std::int64_t extent : array.dims) elements *= static_cast<std::size_t>(extent);
    const std::size_t body = std::visit(
        [&]<class T>(const std::vector<T>& values) {
          if (values.size() != elements) std::abort();
          return values.size() * sizeof(T);
        },
        array.values);
    if (4 + 4 * array.dims.size() + body != bytes.size()) std::abort();
    const auto count = array.dims[0] < 1000 ? array.dims[0] : 0;
    const IdxArray zeros{.name = "zeros",
                         .dims = {count},
                         .values = std::vector<std::uint8_t>(static_cast<std::size_t>(count))};
    const IdxArray dots{.name = "dots",
                        .dims = {count, 1, 1},
                        .values = std::vector<std::uint8_t>(static_cast<std::size_t>(count))};
    const bool as_labels = array.dims.size() == 1;
    require_consistent(as_labels ? idx_image_set(dots, array, std::nullopt, "labels")
                                 : idx_image_set(array, zeros, std::nullopt, "images"));
  } catch (const DataError&) {
  }
  return 0;
}
