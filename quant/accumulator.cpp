#include "quant/accumulator.h"

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {

Accumulator Accumulator::wrap(std::int64_t bits) {
  require<ConfigError>(bits >= 2 && bits <= 62,
                       "[accumulator] a narrow accumulator has 2 to 62 bits, got ", bits);
  return {Kind::wrap, static_cast<std::uint8_t>(bits)};
}

Accumulator Accumulator::saturate(std::int64_t bits) {
  Accumulator accumulator = wrap(bits);
  accumulator.kind = Kind::saturate;
  return accumulator;
}

Accumulator Accumulator::parse(std::string_view text) {
  if (text == "exact") return exact();
  std::int64_t bits = 0;
  if (text.starts_with("wrap") && parse_canonical(text.substr(4), bits)) return wrap(bits);
  if (text.starts_with("sat") && parse_canonical(text.substr(3), bits)) return saturate(bits);
  throw ConfigError(concat("[accumulator] unknown accumulator '", text,
                           "'; known: exact, wrapN, satN with N = 2 .. 62 bits"));
}

void require_valid(Accumulator accumulator) {
  if (!accumulator.is_exact()) static_cast<void>(Accumulator::wrap(accumulator.bits));
}

std::string to_text(Accumulator accumulator) {
  if (accumulator.is_exact()) return "exact";
  return concat(accumulator.kind == Accumulator::Kind::wrap ? "wrap" : "sat",
                int{accumulator.bits});
}

}  // namespace ebb
