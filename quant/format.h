#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebb {

/// A number format as run-time data. A new family (minifloat, posit, block format) is a new Kind with its own fields here, an
/// encoder beside `encode`, and a kernel or a decode-to-float route in `gemm`; nothing else of Ebb looks inside.
struct Format {
  enum class Kind : std::uint8_t { fp32, integer };
  static constexpr int kMaxIntegerBits = 16;

  Kind kind = Kind::fp32;
  std::uint8_t bits = 32;  ///< width of one number; what the cost ledger charges

  static constexpr Format fp32() { return {}; }
  /// @throws ConfigError unless 1 <= bits <= 16
  static Format integer(std::int64_t bits);
  /// Reads "fp32" or "int1" .. "int16". @throws ConfigError naming the formats there are
  static Format parse(std::string_view text);

  [[nodiscard]] constexpr bool is_fp32() const { return kind == Kind::fp32; }
  friend constexpr bool operator==(Format, Format) = default;
};
std::string to_text(Format format);
/// Guards every door behind which numbers are encoded or charged. @throws ConfigError for a format put together by hand that
/// integer() or fp32() would not have made
void require_valid(Format format);

/// How an integer format's 2^N codes are laid over the reals.
enum class GridStyle : std::uint8_t {
  affine,     ///< codes 0 .. 2^N-1 over minimum .. maximum; both end points are codes, zero in general is not
  symmetric,  ///< codes -(2^(N-1)-1) .. 2^(N-1)-1 times max|x| / (2^(N-1)-1); zero is a code; N >= 2
};
enum class Rounding : std::uint8_t { nearest_even, stochastic };
/// Over what one scale reaches: the whole matrix, each row, or each column.
enum class GridAxis : std::uint8_t { whole, rows, columns };
/// What an operand is to its layer.
enum class Role : std::uint8_t { weight, activation, gradient };
/// The three matrix products of training, and the sums over neighbours of graph networks, forward and backward.
enum class Product : std::uint8_t { forward, grad_input, grad_weight, aggregate, aggregate_grad };
inline constexpr int kProducts = 5;
inline constexpr Product kAllProducts[kProducts] = {Product::forward, Product::grad_input, Product::grad_weight, Product::aggregate,
                                                    Product::aggregate_grad};

std::string to_text(GridStyle style);
std::string to_text(Rounding rounding);
std::string to_text(Role role);
std::string to_text(Product product);
GridStyle parse_grid_style(std::string_view text);
Rounding parse_rounding(std::string_view text);

/// Everything that decides how one operand becomes codes.
struct Encoding {
  Format format;
  GridStyle grid = GridStyle::affine;
  Rounding rounding = Rounding::nearest_even;
  friend constexpr bool operator==(const Encoding&, const Encoding&) = default;
};

/// Where the sum of an integer product lives. `exact` never overflows. The narrow ones add the products of the stored (centred)
/// codes in ascending k into a W-bit two's complement register; each product and each addition wraps or saturates.
struct Accumulator {
  enum class Kind : std::uint8_t { exact, wrap, saturate };
  Kind kind = Kind::exact;
  std::uint8_t bits = 64;

  static constexpr Accumulator exact() { return {}; }
  /// @throws ConfigError unless 2 <= bits <= 62
  static Accumulator wrap(std::int64_t bits);
  static Accumulator saturate(std::int64_t bits);
  /// Reads "exact", "wrapN" or "satN".
  static Accumulator parse(std::string_view text);

  [[nodiscard]] constexpr bool is_exact() const { return kind == Kind::exact; }
  friend constexpr bool operator==(Accumulator, Accumulator) = default;
};
std::string to_text(Accumulator accumulator);
/// @throws ConfigError for an accumulator put together by hand that wrap() or saturate() would not have made
void require_valid(Accumulator accumulator);

}  // namespace ebb
