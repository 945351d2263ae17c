#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace ebb::tools {

struct GemmOptions {
  std::string a{}, b{};                          ///< arrays .npy, [m, k] and [k, n]
  std::string format{}, format_a{}, format_b{};  ///< `format` of those that have none of their own
  std::string accumulator = "auto";
  std::string scale{};         ///< none, absmax or pow2; empty: as in training
  std::string grid{};          ///< affine or symmetric; empty: affine
  std::string per = "tensor";  ///< what shares a scale or grid: tensor, or channel
  std::string rounding = "nearest-even";
  std::int64_t seed = 1;       ///< stochastic: of a, and seed + 1 of b, as `ebb quantize` draws
  std::string out{}, exact{};  ///< arrays .npy to write: float32, and float64 if it has a name
  bool json = false;
};

/// One product a b, both operands encoded along the contracted axis, summed in the accumulator.
/// Writes it, and beside it the product of the encoded numbers in twice float64's precision; prints
/// how far the sums are from that, and from the product of the numbers as they were given.
/// @throws ConfigError for options that are wrong or contradict each other; DataError for what is
/// no matrix of finite numbers, for matrices that do not fit each other, or if nothing can be
/// written
void multiply_files(const GemmOptions& options, std::ostream& out);

}  // namespace ebb::tools
