#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace ebb {

/// What both operands of a product go through, along the axis that it contracts, before they are
/// encoded. An orthogonal transform leaves the product as it is, but for rounding, and spreads an
/// outlier over the elements that share a scale with it.
enum class Transform : std::uint8_t {
  none,
  hadamard16,  ///< every 16 elements in a row by a Hadamard matrix with random signs, see
               ///< hadamard16
};
std::string to_text(Transform transform);
/// @throws ConfigError
Transform parse_transform(std::string_view text);

/// y = H D x / 4 for every 16 consecutive elements x along an axis of a matrix (0: down its
/// columns, 1: along its rows), which is filled up with zeros to a multiple of 16. H is the
/// Hadamard matrix of order 16 in Sylvester's order, D has the signs of kHadamardSigns. In float32:
/// four rounds of sums and differences of elements 1, 2, 4 and 8 apart, then a multiplication by
/// 1/4.
Tensor hadamard16(const ConstMatrix& x, int axis);

/// Bit i is set where D has -1 in row i. Whatever the signs are, H D / 4 is orthogonal; these are
/// the first 16 bits of pi after the point, the first one being bit 0.
inline constexpr std::uint32_t kHadamardSigns = 0b1111'1100'0010'0100;

}  // namespace ebb
