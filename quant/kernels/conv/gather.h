#pragma once

#include <cstdint>

#include "quant/patches.h"

namespace ebb::kernels {

/// Copies rows first .. first + rows of a patch matrix, each to out + i * ld; padded taps become
/// zeros. `Number` is std::int8_t, std::int16_t or float.
template <class Number>
void gather_patch_rows(const PatchGeometry& geometry, const Number* image, std::int64_t first,
                       std::int64_t rows, Number* out, std::int64_t ld);
extern template void gather_patch_rows(const PatchGeometry&, const std::int8_t*, std::int64_t,
                                       std::int64_t, std::int8_t*, std::int64_t);
extern template void gather_patch_rows(const PatchGeometry&, const std::int16_t*, std::int64_t,
                                       std::int64_t, std::int16_t*, std::int64_t);
extern template void gather_patch_rows(const PatchGeometry&, const float*, std::int64_t,
                                       std::int64_t, float*, std::int64_t);

}  // namespace ebb::kernels
