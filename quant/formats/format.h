#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ebb {

/// A number format as run-time data. What is known of each kind stands in one row of
/// format_traits().
struct Format {
  enum class Kind : std::uint8_t { fp32, integer };
  static constexpr int kMaxIntegerBits = 16;

  Kind kind = Kind::fp32;
  std::uint8_t bits = 32;  ///< width of one number; what the cost ledger charges

  static constexpr Format fp32() { return {}; }
  /// @throws ConfigError unless 1 <= bits <= 16
  static Format integer(std::int64_t bits);
  /// Reads a name that some row of format_traits() knows: "fp32", "int8". @throws ConfigError
  /// naming the formats there are
  static Format parse(std::string_view text);

  [[nodiscard]] constexpr bool is_fp32() const { return kind == Kind::fp32; }
  friend constexpr bool operator==(Format, Format) = default;
};
std::string to_text(Format format);
/// Guards every door behind which numbers are encoded or charged. @throws ConfigError for a format
/// put together by hand that integer() or fp32() would not have made
void require_valid(Format format);

/// How numbers of a format are multiplied.
enum class Arithmetic : std::uint8_t {
  float32,  ///< as float32 values
  linear,   ///< as integer codes: a number is scale * code + offset with one scale and offset along
            ///< what is contracted
};

std::string to_text(Arithmetic arithmetic);

/// What Ebb knows of one kind of formats. A new kind is one more row and its codec.
struct FormatTraits {
  Format::Kind kind;
  std::string_view names;  ///< as messages list them: "int1 .. int16"
  bool (*parse)(std::string_view text, Format& format);
  std::string (*print)(Format format);
  void (*require_valid)(Format format);
  Arithmetic arithmetic;
  /// Of linear formats: the largest magnitude of a stored code, and the bytes that one takes.
  std::int64_t (*largest)(Format format);
  int (*code_bytes)(Format format);
};
/// One row a kind.
std::span<const FormatTraits> format_traits();
const FormatTraits& traits_of(Format format);

}  // namespace ebb
