#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace ebb::tools {

struct QuantizeOptions {
  std::string format;
  std::string scale{};  ///< none, absmax, pow2 or grid; empty: grid of integers, none of others
  std::string grid = "affine", rounding = "nearest-even";
  std::string overflow{};      ///< saturate, ieee or nan; empty: as the format has it
  std::string block_scale{};   ///< floor, ceil, even or rceil; empty: as the format has it
  std::string per = "tensor";  ///< numbers that share a scale: tensor, row or column
  std::string file{};          ///< numbers, one per line, or an array .npy; empty: the input
  std::int64_t seed = 1;       ///< stochastic: the i-th number draws counter i of Key(seed)
  bool table = false;          ///< all numbers of the format instead of numbers of the input
  bool decimal = false;        ///< values in decimal too
  bool summary = false;        ///< only what it comes to
  bool json = false;
};

/// Reads one number per line, decimal or C hex float, each rounded to the nearest float32. Of
/// integer formats lays a grid over them, of others divides by a scale if one is asked for, of
/// block formats cuts them into blocks. Writes TSV: the number as it was written, its code (of
/// others than integers its bits, 0x7e), and the float32 that the code stands for as C hex float;
/// of block formats also the block's scale.
/// @throws ConfigError for options that are wrong or contradict each other; DataError for an empty
/// input, a line that is no number or does not fit float32, or if `out` cannot be written;
/// NonFiniteError if the numbers span more than float32 can hold
void quantize(const QuantizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace ebb::tools
