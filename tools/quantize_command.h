#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace ebb::tools {

struct QuantizeOptions {
  std::string format;
  std::string grid = "affine", rounding = "nearest-even";
  std::int64_t seed = 1;  ///< stochastic: the i-th number draws rounding_bits(Key(seed), i)
};

/// Reads one number a line, decimal or C hex float, each rounded to the nearest float32. Of integer
/// formats lays one grid over all of them; of others takes each number as it is, without a scale.
/// Writes TSV: the number as it was written, its code (of others than integers its bits, 0x7e), and
/// the float32 that the code stands for as C hex float.
/// @throws ConfigError for options that are wrong or contradict each other; DataError for an empty
/// input, a line that is no number or does not fit float32, or if `out` cannot be written;
/// NonFiniteError if the numbers span more than float32 can hold
void quantize(const QuantizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace ebb::tools
