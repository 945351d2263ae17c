#pragma once

#include <cstdint>

#include "core/error.h"

/// Arithmetic on sizes that a command line or a file may make as large as it likes.
namespace ebb {

/// a * b of numbers of 0 and more. @throws ConfigError "WHAT: A x B is more than can be counted" if
/// it does not fit 64 bits
template <class... What>
std::int64_t checked_mul(std::int64_t a, std::int64_t b, const What&... what) {
  std::int64_t product = 0;
  require<ConfigError>(!__builtin_mul_overflow(a, b, &product), what..., ": ", a, " x ", b,
                       " is more than can be counted");
  return product;
}

/// a / b rounded up, for a >= 0 and b >= 1: how many pieces of size b make up a. Correct even where
/// a + b would overflow.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return a / b + (a % b == 0 ? 0 : 1);
}

}  // namespace ebb
