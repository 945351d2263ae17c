#pragma once

#include <cstdint>

#include "quant/kernels/micro.h"
#include "quant/kernels/problem.h"

/// What the integer products of int8 codes share, whichever way they cut their loops.
namespace ebb::kernels {

inline constexpr std::int64_t kMaxGroups = 8192;          ///< 32,768 products of at most 255 x 128 fit an int32
inline constexpr std::int64_t kRowBlockBytes = 48 << 10;  ///< of a, so that a block stays in the first two cache levels
inline constexpr std::int64_t kSlack = 64;                ///< bytes that kernels may read past their codes

inline std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }
inline const std::int8_t* int8_codes(const CodeMatrix& x) { return static_cast<const std::int8_t*>(x.data); }

/// Packs rows first .. first + k and columns col .. col + 16 of b into groups of 64 bytes; missing rows of the last group are
/// zeros, columns beyond the last are anything. All bytes are xored with `flip`.
void pack_panel(const CodeMatrix& b, std::int64_t first, std::int64_t k, std::int64_t col, std::uint8_t flip, std::uint8_t* out);

}  // namespace ebb::kernels
