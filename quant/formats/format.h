#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ebb {

/// A number format as run-time data. What is known of each kind stands in one row of
/// format_traits().
struct Format {
  enum class Kind : std::uint8_t { floating, integer };
  /// Which codes of a floating format are infinities or NaNs.
  enum class Specials : std::uint8_t {
    none,  ///< nothing: every code is a number
    nan,   ///< the highest code of either sign is NaN; there is no infinity
    ieee,  ///< the highest exponent holds infinities and NaNs
  };
  static constexpr int kMaxIntegerBits = 16;

  Kind kind = Kind::floating;
  std::uint8_t width = 32;                   ///< bits of a code, the sign's included
  std::uint8_t exponent = 8, fraction = 23;  ///< bits of these fields of a floating format
  Specials specials = Specials::ieee;
  std::int16_t bias = 127;  ///< of the exponent

  static constexpr Format fp32() { return {}; }
  /// @throws ConfigError unless 1 <= bits <= 16
  static Format integer(std::int64_t bits);
  /// eXmY: a sign, X bits of exponent with bias 2^(X-1) - 1, Y bits of fraction. Above 8 bits with
  /// infinities and NaNs as IEEE 754 has them, below with neither; e4m3 and e5m2 are OCP's, of
  /// which the first has NaN and the second both.
  /// @throws ConfigError unless 1 <= exponent <= 8 (2 above 8 bits) and 0 <= fraction <= 23
  static Format floating(std::int64_t exponent, std::int64_t fraction);
  /// Reads a name that some row of format_traits() knows: "fp32", "int8", "e4m3". @throws
  /// ConfigError naming the formats there are
  static Format parse(std::string_view text);

  [[nodiscard]] constexpr bool is_fp32() const { return *this == fp32(); }
  friend constexpr bool operator==(Format, Format) = default;
};
std::string to_text(Format format);
/// The format of that name. @returns false if there is none
bool find_format(std::string_view text, Format& format);
/// The same where a width is meant: "8" is int8.
bool find_width(std::string_view text, Format& format);
/// Called wherever numbers are encoded or charged. @throws ConfigError for a format put together by
/// hand that no factory would have made
void require_valid(Format format);

/// How numbers of a format are multiplied.
enum class Arithmetic : std::uint8_t {
  float32,  ///< as float32 values
  linear,   ///< as integer codes: a number is scale * code + offset with one scale and offset along
            ///< what is contracted
  decoded,  ///< not as they are: their codes are decoded to float32 before
};
std::string to_text(Arithmetic arithmetic);

/// What a number takes in memory: a code of one or two bytes, or its value.
enum class Container : std::uint8_t { int8, int16, float32 };

enum class Rounding : std::uint8_t { nearest_even, stochastic };

/// What Ebb knows of one kind of formats. A new kind is one more row and its codec.
struct FormatTraits {
  Format::Kind kind;
  std::string_view names;  ///< as messages list them: "int1 .. int16"
  bool (*parse)(std::string_view text, Format& format);
  std::string (*print)(Format format);
  void (*require_valid)(Format format);
  int (*cost_bits)(Format format);  ///< what the ledger charges for a number
  Container (*container)(Format format);
  Arithmetic (*arithmetic)(Format format);

  /// Of linear formats: the largest magnitude of a stored code. Their codec is a Grid.
  std::int64_t (*largest)(Format format) = nullptr;

  /// Of the others, whose numbers stand for themselves times a scale: the largest finite number;
  /// whether the scale brings the largest of the data there (else it is 1); the code of x, which is
  /// no NaN; and the number of a code. Stochastic rounding draws `random`, of uniform bits.
  double (*max)(Format format) = nullptr;
  bool (*scaled)(Format format) = nullptr;
  std::uint32_t (*encode)(Format format, double x, Rounding rounding,
                          std::uint32_t random) = nullptr;
  float (*decode)(Format format, std::uint32_t code) = nullptr;
};
/// One row a kind.
std::span<const FormatTraits> format_traits();
const FormatTraits& traits_of(Format format);
/// True for formats whose numbers stand for themselves times a scale, false for those on a grid.
inline bool has_codec(Format format) { return traits_of(format).encode != nullptr; }
/// What the ledger charges for a number.
inline int cost_bits(Format format) { return traits_of(format).cost_bits(format); }

}  // namespace ebb
