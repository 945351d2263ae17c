#pragma once

#include <cstdint>

#include "quant/patches.h"

namespace ebb::kernels {

/// Copies rows first .. first + rows of a patch matrix, each to out + i * ld; padded taps become zeros.
/// `Number` is std::int8_t, std::int16_t or float.
template <class Number>
void gather_patch_rows(const PatchGeometry& geometry, const Number* image, std::int64_t first, std::int64_t rows, Number* out,
                       std::int64_t ld);
extern template void gather_patch_rows(const PatchGeometry&, const std::int8_t*, std::int64_t, std::int64_t, std::int8_t*,
                                       std::int64_t);
extern template void gather_patch_rows(const PatchGeometry&, const std::int16_t*, std::int64_t, std::int64_t, std::int16_t*,
                                       std::int64_t);
extern template void gather_patch_rows(const PatchGeometry&, const float*, std::int64_t, std::int64_t, float*, std::int64_t);

/// Interleaves k rows of `cols` bytes (row r at x + r * ld) by fours: out[g * group_stride + 4 j + t] = x[4 g + t][j]; missing rows
/// of the last group are zeros. Reads and writes whole runs of 16 columns; the bytes of x are xored with `flip`.
void interleave_by_four(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols, std::uint8_t flip,
                        std::uint8_t* out, std::int64_t group_stride);

}  // namespace ebb::kernels
