#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ebb {

/// How the numbers of a format are scaled: what is encoded is x / scale.
struct Scaling {
  enum class Kind : std::uint8_t {
    none,    ///< 1
    absmax,  ///< a float32: the largest magnitude becomes the format's largest number
    pow2,    ///< a power of two of any size, by `rule`
    e8m0,    ///< a power of two from 2^-127 to 2^127, by `rule`, as blocks of MX have it
    ue4m3,   ///< an unsigned e4m3 number, times a float32 of the whole tensor: NVFP4
  };
  /// The exponent of a power of two for numbers of which the largest magnitude is M. The format's
  /// largest number is max, of binade emax, and has m bits of fraction.
  enum class Rule : std::uint8_t {
    floor,  ///< floor(log2 M) - emax: what OCP's specification has; the largest may saturate
    ceil,   ///< ceil(log2 M) - emax
    even,   ///< floor(log2 (M rounded half up to m bits of fraction)) - emax
    rceil,  ///< ceil(log2(M / max)): the smallest power of two with which nothing saturates
  };
  Kind kind = Kind::none;
  Rule rule = Rule::floor;
  std::uint8_t exponent = 8;  ///< bits of a power of two's exponent
  std::uint8_t lines = 1;     ///< rows of a block where blocks are two-dimensional
  std::uint16_t block = 0;    ///< elements along the contracted axis that share a scale; 0: as the
                              ///< granularity says
  friend constexpr bool operator==(const Scaling&, const Scaling&) = default;
};

/// A number format as run-time data. What is known of each kind stands in one row of
/// format_traits().
struct Format {
  enum class Kind : std::uint8_t {
    floating,
    integer,
    posit,
    fixed,  ///< two's complement times 2^-fraction; with a scale the lowest code is not used
  };
  /// Which codes of a floating format are infinities or NaNs.
  enum class Specials : std::uint8_t {
    none,  ///< nothing: every code is a number
    nan,   ///< the highest code of either sign is NaN; there is no infinity
    ieee,  ///< the highest exponent holds infinities and NaNs
    fnuz,  ///< the code of -0 is the only NaN; there is neither -0 nor an infinity
    p3109  ///< that of -0 is NaN and the highest code of either sign an infinity, as in IEEE P3109
  };
  /// What becomes of numbers that round to beyond the largest.
  enum class Overflow : std::uint8_t {
    ieee,  ///< an infinity; the largest number where rounding goes toward zero, or there is none
    saturate,  ///< the largest number, also of infinities
    nan        ///< NaN
  };
  static constexpr int kMaxIntegerBits = 16;

  Kind kind = Kind::floating;
  std::uint8_t width = 32;  ///< bits of a code, the sign's included
  /// Bits of these fields of a floating format. Of posits `exponent` is es, of fixed-point formats
  /// `fraction` is where the point is.
  std::uint8_t exponent = 8, fraction = 23;
  Specials specials = Specials::ieee;
  Overflow overflow = Overflow::ieee;
  bool subnormals = true;  ///< false: where E = 0 all codes are zeros
  bool sign = true;  ///< false: a format of scales, refused as an operand. Without a fraction, as
                     ///< e8m0, it has no zero either
  bool underflow = false;   ///< of posits: what is far below the smallest number becomes 0
  std::int16_t bias = 127;  ///< of the exponent
  Scaling scaling{};

  static constexpr Format fp32() { return {}; }
  /// @throws ConfigError unless 1 <= bits <= 16
  static Format integer(std::int64_t bits);
  /// eXmY: a sign, X bits of exponent with bias 2^(X-1) - 1, Y bits of fraction. Above 8 bits with
  /// infinities and NaNs as IEEE 754 has them, below with neither; e4m3 and e5m2 are OCP's, of
  /// which the first has NaN and the second both, and e8m0 is OCP's format of scales.
  /// @throws ConfigError unless exponent is 1 to 8 (2 to 8 in formats wider than 8 bits) and 0 <=
  /// fraction <= 23
  static Format floating(std::int64_t exponent, std::int64_t fraction);
  /// posit(width, es). @throws ConfigError unless 2 <= width <= 16 and 0 <= es <= 3
  static Format posit(std::int64_t width, std::int64_t es);
  /// Two's complement of `width` bits, `fraction` of them behind the point. @throws ConfigError
  /// unless 2 <= width <= 16 and 0 <= fraction <= width
  static Format fixed(std::int64_t width, std::int64_t fraction);
  /// Reads what docs/FORMATS.md has as the text of a format: "fp32", "int8", "e4m3(bias=11)",
  /// "posit(8,1)", "mxfp4". @throws ConfigError that marks the place where the text is wrong
  static Format parse(std::string_view text);

  [[nodiscard]] constexpr bool is_fp32() const { return *this == fp32(); }
  friend constexpr bool operator==(Format, Format) = default;
};
/// The shortest text that parse() reads as this format.
std::string to_text(Format format);
/// The format of that text. @returns false if there is none
bool find_format(std::string_view text, Format& format);
/// The same where a width is meant: "8" is int8.
bool find_width(std::string_view text, Format& format);
/// Called wherever numbers are encoded or charged. @throws ConfigError for a format put together by
/// hand that no text stands for
void require_valid(Format format);
/// The same where numbers are multiplied. @throws ConfigError also for formats of scales
void require_operand(Format format);

/// How numbers of a format are multiplied.
enum class Arithmetic : std::uint8_t {
  float32,  ///< as float32 values
  linear,   ///< as integer codes: a number is scale * code + offset with one scale and offset along
            ///< what is contracted
  decoded,  ///< as the numbers of their codes, which are decoded before
  blocks,   ///< block by block, since scales vary along what is contracted
};
std::string to_text(Arithmetic arithmetic);

/// What a number takes in memory: a code of one or two bytes, or its value.
enum class Container : std::uint8_t { int8, int16, float32 };

enum class Rounding : std::uint8_t {
  nearest_even,  ///< to nearest, ties to the even code
  stochastic,    ///< up with the probability that makes the expected value x
  nearest_away,  ///< to nearest, ties away from zero
  toward_zero,
  away,  ///< from zero
  up,
  down,
  odd  ///< what is not exact to the neighbour with an odd code: for a second rounding
};

/// The random bits of stochastic rounding: the first `bits` of `word`. Stochastic rounding compares
/// so many bits of the position between two numbers with them.
struct Draw {
  std::uint32_t word = 0;
  std::uint8_t bits = 32;
};

/// What Ebb knows of one kind of formats. A new kind is one more row and its codec.
struct FormatTraits {
  Format::Kind kind;
  std::string_view names;  ///< as messages list them: "int1 .. int16"
  /// Reads a name of this kind, what stands in its parentheses being its arguments.
  /// @returns nullopt if the name is of another kind; else an error message, empty if there is no
  /// error
  std::optional<std::string> (*parse)(std::string_view name,
                                      std::span<const std::string_view> arguments, Format& format);
  /// The name of this format, or of the nearest one that has a name.
  std::string (*print)(Format format);
  std::string (*problem)(Format format);  ///< why the format is impossible; empty if it is possible
  int (*cost_bits)(Format format);        ///< what the ledger charges for a number
  Container (*container)(Format format);
  Arithmetic (*arithmetic)(Format format);

  /// The largest magnitude of a stored code; for linear formats only.
  std::int64_t (*largest)(Format format) = nullptr;

  /// For formats without a Grid only, whose numbers stand for themselves times a scale: the largest
  /// finite number; a number that all are multiples of, for which the stored code 1 of linear
  /// formats stands; the code of x, which is a NaN only where the format has one; and the number of
  /// a code.
  double (*max)(Format format) = nullptr;
  double (*unit)(Format format) = nullptr;
  std::uint32_t (*encode)(Format format, double x, Rounding rounding, Draw draw) = nullptr;
  float (*decode)(Format format, std::uint32_t code) = nullptr;
  bool (*has_nan)(Format format);
};
/// One row per kind.
std::span<const FormatTraits> format_traits();
const FormatTraits& traits_of(Format format);
/// True for formats whose numbers stand for themselves times a scale, false for those on a grid.
inline bool has_codec(Format format) { return traits_of(format).encode != nullptr; }
/// What the ledger charges for a number.
inline int cost_bits(Format format) { return traits_of(format).cost_bits(format); }

}  // namespace ebb
