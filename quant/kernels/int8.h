#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "quant/kernels/corrections.h"
#include "quant/kernels/micro.h"
#include "quant/kernels/problem.h"

/// What the integer products of int8 codes share, whichever way they cut their loops.
namespace ebb::kernels {

inline constexpr std::int64_t kMaxGroups = 8192;          ///< 32,768 products of at most 255 x 128 fit an int32
inline constexpr std::int64_t kRowBlockBytes = 48 << 10;  ///< of a, so that a block stays in the first two cache levels
inline constexpr std::int64_t kSlack = 64;                ///< bytes that kernels may read past their codes

inline std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }
inline const std::int8_t* int8_codes(const CodeMatrix& x) { return static_cast<const std::int8_t*>(x.data); }

/// b as panels of 16 columns, its k cut into segments of `run` rows that each begin a new group: panel p, segment s, group g is 64
/// bytes at ((p * segments + s) * groups + g) * 64, where groups = ceil(run / 4).
struct Panels {
  Aligned<std::uint8_t> bytes;
  std::int64_t groups, segments;

  [[nodiscard]] std::int64_t stride() const { return groups * segments * 64; }
  /// From panel `first` on, starting with group `group` of its only segment.
  [[nodiscard]] Int8Right from(std::int64_t first, std::int64_t group, std::int64_t count) const {
    return {bytes.data() + first * stride() + 64 * group, stride(), 64, count, 1};
  }
  [[nodiscard]] Int8Right from(std::int64_t first) const {
    return {bytes.data() + first * stride(), stride(), 64, groups, segments};
  }
};

/// Packs rows first .. first + k and columns col .. col + 16 of b into groups of 64 bytes; missing rows of the last group are
/// zeros, columns beyond the last are anything. All bytes are xored with `flip`.
void pack_panel(const CodeMatrix& b, std::int64_t first, std::int64_t k, std::int64_t col, std::uint8_t flip, std::uint8_t* out);
/// Packs b; its bytes are xored with `flip`.
Panels pack_panels(const CodeMatrix& b, std::int64_t run, std::uint8_t flip);

/// Scales the sums of columns col .. col + cols of one row and writes them to c.
void finish_row(const Problem& p, const Int8Micro& micro, const Corrections& corrections, std::int64_t row, std::int64_t col,
                std::int64_t cols, const std::int32_t* sums, std::vector<double>& scratch);
/// As finish_row, for exact sums that may need a narrow accumulator's wrap-around.
std::uint64_t finish_wide(const Problem& p, const Corrections& corrections, std::int64_t i, std::int64_t col,
                          std::span<std::int64_t> sums, std::vector<double>& scratch);

}  // namespace ebb::kernels
