#pragma once

#include <cstdint>

/// Saturating accumulators, many outputs side by side in vectors. Only plain pointers and numbers
/// cross this line.
namespace ebb::kernels {

/// Columns of a packed panel of b, and rows that one call takes at the most.
inline constexpr std::int64_t kSaturatePanel = 64;
inline constexpr int kSaturateRows = 4;

/// Continues the sums of some rows and one panel through k more products, in ascending k. Columns
/// beyond `cols` have zeros in b and may be computed.
struct SaturateRun {
  const std::int16_t* a;  ///< code (i, k) at a[i * a_row + k * a_k]
  std::int64_t a_row, a_k;
  const std::int16_t* b;  ///< code (k, j) at b[k * kSaturatePanel + j]
  std::int64_t k, cols;
  std::int32_t low, high;  ///< of the register
  bool hold_products;      ///< false where no product can leave the register
  std::int32_t* c;         ///< sum (i, j) at c[i * ldc + j]
  std::int64_t ldc;
};

struct SaturateKernels {
  /// Each returns the number of values that had to be held. `narrow`: registers of up to 16 bits
  /// and products that fit int16; both lie in lanes of 16 bits. `wide`: up to 31 bits.
  std::uint64_t (*narrow)(const SaturateRun& run, int rows);
  std::uint64_t (*wide)(const SaturateRun& run, int rows);

  static const SaturateKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
