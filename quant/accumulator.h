#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebb {

/// Where the sum of an integer product lives. `exact` never overflows. The narrow ones add the
/// products of the stored (centred) codes in ascending k into a W-bit two's complement register;
/// each product and each addition wraps or saturates.
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
/// @throws ConfigError for an accumulator put together by hand that wrap() or saturate() would not
/// have made
void require_valid(Accumulator accumulator);

}  // namespace ebb
