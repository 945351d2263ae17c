#include "schedules/value.h"

#include <cmath>

#include "core/error.h"

namespace ebb {

int Value::bits() const {
  if (named) return cost_bits(*named);
  require<ConfigError>(number >= 1 && number <= 16 && number == std::floor(number),
                       "[schedule] expected a width of 1 to 16 whole bits, got ", number,
                       "; round(...) makes values whole, clamp(1, 16) holds them there, and fp32 "
                       "is a width by name");
  return static_cast<int>(number);
}

Format Value::format() const { return named ? *named : Format::integer(bits()); }

std::string to_text(const Value& value) {
  return value.named ? to_text(*value.named) : to_text(value.number);
}

}  // namespace ebb
