#pragma once

#include <cstdint>

/// The loops of batch normalisation over contiguous [rows, cols] matrices, one set per instruction
/// set. Only plain pointers and numbers cross this line: the files behind it are compiled for one
/// instruction set each and must not instantiate inline library code that the linker could pick for
/// other callers.
namespace ebb::kernels {

/// By column: y = (x - mean) slope + shift.
struct NormColumns {
  const float *mean, *slope, *shift;
};

/// Range of what a loop wrote; `largest` has the largest bits without sign, which infinities and
/// NaNs push to 0x7f800000 or more.
struct RowsRange {
  float min, max;
  std::uint32_t largest;
};

struct NormKernels {
  /// out = relu?(y + add?); add may be null, or out. With both, bit i % 32 of word i / 32 * cols +
  /// j of `passed` becomes 1 where the ReLU let row i, column j pass.
  RowsRange (*normalise)(const float* x, const NormColumns& columns, const float* add, bool relu,
                         std::int64_t rows, std::int64_t cols, float* out, std::uint32_t* passed);
  /// g becomes 0 where y <= 0, y computed anew.
  void (*mask_by_input)(const float* x, const NormColumns& columns, std::int64_t rows,
                        std::int64_t cols, float* g);
  /// g becomes 0 where `passed` has no bit.
  void (*mask_by_bits)(const std::uint32_t* passed, std::int64_t rows, std::int64_t cols, float* g);
  /// gx = g slope + ((x - mean) along + offset); gx may be g.
  RowsRange (*gradient)(const float* x, const NormColumns& columns, const float* along,
                        const float* offset, const float* g, std::int64_t rows, std::int64_t cols,
                        float* gx);

  static const NormKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
