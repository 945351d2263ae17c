#include "quant/kernels/registry.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace ebb::kernels {
namespace {

bool any_linear(const Problem& p) { return p.linear(); }
bool any_chain(const Problem& p) { return p.float_chain(); }
bool any_blocks(const Problem& p) { return p.blocks(); }
bool any_table(const Problem& p) { return p.multiplier != nullptr; }

/// Codes on the tiles of one instruction set, which take int8 alone where a code is a byte.
template <const TileMicrokernel& kTile>
struct Codes {
  static bool apply(const Problem& p) {
    return codes_apply(p) && (kTile.code_bytes > 1 || p.int8());
  }
  static bool convolve_applies(const Problem& p) { return apply(p) && conv_codes_apply(p, kTile); }
  static std::uint64_t multiply(const Problem& p) { return multiply_codes(p, kTile); }
  static std::uint64_t convolve(const Problem& p) { return convolve_codes(p, kTile); }
};

/// A family's kernel for one instruction set.
template <std::uint64_t (*kFamily)(const Problem&, Simd), Simd kSimd>
std::uint64_t on(const Problem& p) {
  return kFamily(p, kSimd);
}

constexpr auto kMultiply = multiply_floats, kConvolve = convolve_floats;
constexpr auto kSaturate = multiply_saturating, kTable = multiply_by_table,
               kSlices = multiply_slices;
constexpr auto kBlockCodes = multiply_block_codes, kBlockNumbers = multiply_block_numbers;
using Portable = Codes<TileMicrokernel::portable>;
#if defined(__x86_64__)
using Avx2 = Codes<TileMicrokernel::avx2>;
using Avx512 = Codes<TileMicrokernel::kInt16Avx512>;
using Avx512Int8 = Codes<TileMicrokernel::kInt8Avx512>;
#endif

constexpr std::array kKernels {
#if defined(__x86_64__)
  Kernel{"conv-int8-avx512", Simd::avx512, Avx512Int8::convolve_applies, Avx512Int8::convolve},
      Kernel{"conv-codes-avx512", Simd::avx512, Avx512::convolve_applies, Avx512::convolve},
      Kernel{"conv-codes-avx2", Simd::avx2, Avx2::convolve_applies, Avx2::convolve},
      Kernel{"int8-avx512", Simd::avx512, Avx512Int8::apply, Avx512Int8::multiply, true},
      Kernel{"codes-avx512", Simd::avx512, Avx512::apply, Avx512::multiply, true},
      Kernel{"codes-avx2", Simd::avx2, Avx2::apply, Avx2::multiply, true},
      Kernel{"saturating-avx512", Simd::avx512, saturating_applies, on<kSaturate, Simd::avx512>},
      Kernel{"saturating-avx2", Simd::avx2, saturating_applies, on<kSaturate, Simd::avx2>},
      Kernel{"table-avx512", Simd::avx512, table_applies, on<kTable, Simd::avx512>},
      Kernel{"conv-float-avx512", Simd::avx512, conv_floats_apply, on<kConvolve, Simd::avx512>},
      Kernel{"conv-float-avx2", Simd::avx2, conv_floats_apply, on<kConvolve, Simd::avx2>},
      Kernel{"float-avx512", Simd::avx512, floats_apply, on<kMultiply, Simd::avx512>},
      Kernel{"float-avx2", Simd::avx2, floats_apply, on<kMultiply, Simd::avx2>},
      Kernel{"block-codes-avx512", Simd::avx512, block_codes_apply, on<kBlockCodes, Simd::avx512>},
      Kernel{"block-codes-avx2", Simd::avx2, block_codes_apply, on<kBlockCodes, Simd::avx2>},
      Kernel{"block-avx512", Simd::avx512, block_numbers_apply, on<kBlockNumbers, Simd::avx512>},
      Kernel{"block-avx2", Simd::avx2, block_numbers_apply, on<kBlockNumbers, Simd::avx2>},
      Kernel{"slices-avx512", Simd::avx512, slices_apply, on<kSlices, Simd::avx512>},
      Kernel{"slices-avx2", Simd::avx2, slices_apply, on<kSlices, Simd::avx2>},
#endif
      Kernel{"conv-codes-portable", Simd::scalar, Portable::convolve_applies, Portable::convolve},
      Kernel{"codes-portable", Simd::scalar, Portable::apply, Portable::multiply, true},
      Kernel{"eigen-float32", Simd::scalar, eigen_float_applies, eigen_float},
      Kernel{"eigen-float64", Simd::scalar, eigen_double_applies, eigen_double},
      Kernel{"saturating", Simd::scalar, saturating_applies, on<kSaturate, Simd::scalar>},
      Kernel{"table", Simd::scalar, table_applies, on<kTable, Simd::scalar>},
      Kernel{"conv-float-portable", Simd::scalar, conv_floats_apply, on<kConvolve, Simd::scalar>},
      Kernel{"float-portable", Simd::scalar, floats_apply, on<kMultiply, Simd::scalar>},
      Kernel{"block-codes", Simd::scalar, block_codes_apply, on<kBlockCodes, Simd::scalar>},
      Kernel{"block", Simd::scalar, block_numbers_apply, on<kBlockNumbers, Simd::scalar>},
      Kernel{"slices", Simd::scalar, slices_apply, on<kSlices, Simd::scalar>},
      Kernel{"sums", Simd::scalar, sums_apply, multiply_sums},
      Kernel{"reference", Simd::scalar, any_linear, reference_integer},
      Kernel{"reference", Simd::scalar, any_table, reference_table},
      Kernel{"reference", Simd::scalar, any_chain, reference_float},
      Kernel{"reference", Simd::scalar, sums_apply, reference_sums},
      Kernel{"reference", Simd::scalar, any_blocks, reference_blocks},
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

}  // namespace ebb::kernels
