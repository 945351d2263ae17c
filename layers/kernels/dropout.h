#pragma once

#include <cstdint>

/// Only plain pointers and numbers cross this line, as in norm_rows.h.
namespace ebb::kernels {

struct DropoutKernels {
  /// Elements whose draw is at least `threshold` times `scale`, the others zero. Element i of x is
  /// number first + i, a multiple of 64 for i = 0; number j draws word j % 4 of Philox4x32-10 of
  /// the counter j / 4. x and out may be the same.
  void (*keep_scaled)(const float* x, std::int64_t n, std::uint64_t key, std::uint64_t first,
                      std::uint32_t threshold, float scale, float* out);

  static const DropoutKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
