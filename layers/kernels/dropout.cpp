#include "layers/kernels/dropout.h"

#include "core/kernels/philox.h"

namespace ebb::kernels {
namespace {

void keep_scaled(const float* x, std::int64_t n, std::uint64_t key, std::uint64_t first,
                 std::uint32_t threshold, float scale, float* out) {
  for (std::int64_t i = 0; i < n; i += 4 * kLanes) {
    Full::Bits words[4], even[2], odd[2], draws[4];
    philox(key, (first + static_cast<std::uint64_t>(i)) / 4, 0, words);
    // The four words of a block side by side, block after block.
    zip(words[0], words[2], even[0], even[1]);
    zip(words[1], words[3], odd[0], odd[1]);
    zip(even[0], odd[0], draws[0], draws[1]);
    zip(even[1], odd[1], draws[2], draws[3]);
    for (std::int64_t part = 0; part < 4 && i + kLanes * part < n; ++part) {
      const std::int64_t at = i + kLanes * part;
      const Full::Float y = load_first(x + at, n - at) * scale;
      store_first(out + at, draws[part] >= threshold ? y : Full::Float{}, n - at);
    }
  }
}

constexpr DropoutKernels kDropout{keep_scaled};

}  // namespace

constinit const DropoutKernels DropoutKernels::EBB_TARGET = kDropout;

}  // namespace ebb::kernels
