#include "core/read_number.h"

#include <algorithm>

#include "core/text.h"

namespace ebb {
namespace {

/// Of digits that name no zero: whether their first one stands before the point, the exponent taken
/// into account.
bool reaches_one(std::string_view digits, bool hex) {
  constexpr std::int64_t kFar = std::int64_t{1} << 40;  // beyond any text that fits in memory
  const std::size_t mark = digits.find_first_of(hex ? "pP" : "eE");
  std::int64_t exponent = 0;
  if (mark != std::string_view::npos) {
    std::string_view text = digits.substr(mark + 1);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    if (!parse_number(text, exponent) || exponent > kFar) exponent = kFar;
    if (negative) exponent = -exponent;
    digits = digits.substr(0, mark);
  }
  const auto point = static_cast<std::int64_t>(std::min(digits.find('.'), digits.size()));
  const auto first = static_cast<std::int64_t>(digits.find_first_not_of("0."));
  const std::int64_t places =
      first < point ? point - first : point - first + 1;  // 1 for 2.5, 0 for 0.25
  return places * (hex ? 4 : 1) + exponent > 0;
}

template <class T>
std::from_chars_result read(std::string_view text, T& value, std::chars_format format) {
  std::from_chars_result result =
      std::from_chars(text.data(), text.data() + text.size(), value, format);
  if (result.ec != std::errc::result_out_of_range) return result;
  std::string_view digits = text.substr(0, static_cast<std::size_t>(result.ptr - text.data()));
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  if (reaches_one(digits, format == std::chars_format::hex)) return result;
  value = negative ? -T{0} : T{0};
  return {result.ptr, std::errc{}};
}

}  // namespace

std::from_chars_result read_real(std::string_view text, float& value, std::chars_format format) {
  return read(text, value, format);
}
std::from_chars_result read_real(std::string_view text, double& value, std::chars_format format) {
  return read(text, value, format);
}

bool parse_canonical(std::string_view text, std::int64_t& value) {
  std::int64_t parsed = 0;
  if (!parse_number(text, parsed) || to_text(parsed) != text) return false;
  value = parsed;
  return true;
}

}  // namespace ebb
