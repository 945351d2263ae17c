#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/error.h"
#include "quant/kernels/problem.h"
#include "quant/kernels/tiled.h"

namespace ebb::kernels {
namespace {

bool any_linear(const Problem& p) { return p.linear(); }
bool any_float(const Problem& p) { return p.both_float(); }

constexpr std::array kKernels {
#if defined(__x86_64__)
  Kernel{"int8-avx512", Simd::avx512, int8_applies, int8_on_avx512, true},
      Kernel{"codes-avx512", Simd::avx512, codes_apply, codes_on_avx512, true},
      Kernel{"codes-avx2", Simd::avx2, codes_apply, codes_on_avx2, true},
      Kernel{"saturating-avx512", Simd::avx512, saturating_applies, saturating_on_avx512},
      Kernel{"saturating-avx2", Simd::avx2, saturating_applies, saturating_on_avx2},
      Kernel{"float-avx512", Simd::avx512, float_applies, float_on_avx512},
      Kernel{"float-avx2", Simd::avx2, float_applies, float_on_avx2},
#endif
      Kernel{"codes-portable", Simd::scalar, codes_apply, codes_anywhere, true},
      Kernel{"eigen-float32", Simd::scalar, eigen_float_applies, eigen_float},
      Kernel{"eigen-float64", Simd::scalar, eigen_double_applies, eigen_double},
      Kernel{"saturating", Simd::scalar, saturating_applies, saturating_anywhere},
      Kernel{"float-portable", Simd::scalar, float_applies, float_anywhere},
      Kernel{"reference", Simd::scalar, any_linear, reference_integer},
      Kernel{"reference", Simd::scalar, any_float, reference_float},
};

}  // namespace

std::span<const Kernel> all_kernels() { return kKernels; }

const Kernel& first_kernel(const Problem& p, Simd simd) {
  const auto* const first = std::ranges::find_if(
      kKernels, [&](const Kernel& kernel) { return kernel.simd <= simd && kernel.applies(p); });
  require<ConfigError>(first != kKernels.end(), "[gemm] no kernel multiplies ", p.a.format(),
                       " as ", p.a.arithmetic(), " by ", p.b.format(), " as ", p.b.arithmetic(),
                       ": decode both to float32");
  return *first;
}

std::uint64_t wrap_sums(Accumulator accumulator, std::span<std::int64_t> sums) {
  if (accumulator.kind != Accumulator::Kind::wrap) return 0;
  std::uint64_t events = 0;
  for (std::int64_t& sum : sums) {
    const std::int64_t kept = wrapped(sum, accumulator.bits);
    events += static_cast<std::uint64_t>(std::abs((sum - kept) >> accumulator.bits));
    sum = kept;
  }
  return events;
}

}  // namespace ebb::kernels
