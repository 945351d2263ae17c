#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

namespace ebb {

/// A value with a name instead of a number: the formats that a precision schedule can switch
/// between.
struct NamedValue {
  std::string_view name;
  int bits;  ///< storage of one element
};

/// All names that an expression may use, in the order of their symbols. A format that joins
/// `quant/` later joins here too.
std::span<const NamedValue> named_values();

/// What a schedule yields: a number, or one of the `named_values`.
struct Value {
  static constexpr std::int32_t kNumber = -1;
  double number = 0;              ///< 0 if the value is a name
  std::int32_t symbol = kNumber;  ///< index into named_values()

  bool is_number() const { return symbol == kNumber; }
  /// The name, or "" for a number. "int4" and "fp32" are formats; the number 4 stands for the
  /// format int4 where bits are meant.
  std::string_view name() const;
  /// The width in bits: of a named format its storage, of a number the number itself.
  /// @throws ConfigError unless the number is whole and from 1 to 16
  int bits() const;
  /// The format that stands for it where operands are encoded: a whole number n is int-n.
  /// @throws ConfigError for a number that is no width, and for formats that have a name but cannot
  /// be trained in yet
  Format format() const;

  friend bool operator==(const Value&, const Value&) = default;
};

/// The symbol of a name, or Value::kNumber if there is none.
std::int32_t symbol_of(std::string_view name);

/// "fp32", or the shortest decimal that reads back to the same bits.
std::string to_text(const Value& value);

}  // namespace ebb
