#pragma once

#include <cstdint>

namespace ebb {

/// What is done with numbers and expansions x, y of a MultiFloat; see docs/NUMERICS.md for each
/// rounding. Kernels include this header: it holds nothing but the names.
enum class ExpansionOp : std::uint8_t {
  fast_two_sum,  ///< a, b -> sum, error: exact if |a| >= |b| or a = 0
  two_sum,       ///< a, b -> sum, error: exact
  two_prod,      ///< a, b -> product, error: exact unless the error underflows
  grow_fast,     ///< x, a -> x + a, where |x| >= |a|
  grow_safe,     ///< the same of any a
  add,           ///< x, y -> x + y
  mul,           ///< x, y -> x y
  scale,         ///< x, c -> c x
  renormalise,   ///< x -> x, its numbers no longer overlapping
};

}  // namespace ebb
