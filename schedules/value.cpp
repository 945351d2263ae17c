#include "schedules/value.h"

#include <cmath>

#include "core/error.h"

namespace ebb {
namespace {

constexpr NamedValue kNames[] = {
    {"fp32", 32},  {"tf32", 19},  {"fp16", 16},  {"bf16", 16},  {"fp8", 8},    {"fp6", 6},
    {"fp4", 4},    {"int1", 1},   {"int2", 2},   {"int3", 3},   {"int4", 4},   {"int5", 5},
    {"int6", 6},   {"int7", 7},   {"int8", 8},   {"int9", 9},   {"int10", 10}, {"int11", 11},
    {"int12", 12}, {"int13", 13}, {"int14", 14}, {"int15", 15}, {"int16", 16}};

}  // namespace

std::span<const NamedValue> named_values() { return kNames; }

std::string_view Value::name() const {
  return is_number() ? std::string_view() : kNames[symbol].name;
}

int Value::bits() const {
  if (!is_number()) return kNames[symbol].bits;
  require<ConfigError>(number >= 1 && number <= 16 && number == std::floor(number),
                       "[schedule] expected a width of 1 to 16 whole bits, got ", number,
                       "; round(...) makes values whole, clamp(1, 16) holds them there, and fp32 "
                       "is a width by name");
  return static_cast<int>(number);
}

Format Value::format() const {
  return is_number() ? Format::integer(bits()) : Format::parse(name());
}

std::int32_t symbol_of(std::string_view name) {
  std::int32_t symbol = 0;
  for (const NamedValue& known : kNames) {
    if (known.name == name) return symbol;
    ++symbol;
  }
  return Value::kNumber;
}

std::string to_text(const Value& value) {
  return value.is_number() ? to_text(value.number) : std::string(value.name());
}

}  // namespace ebb
