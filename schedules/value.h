#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

namespace ebb {

/// What a schedule yields: a number, or a format by name.
struct Value {
  double number = 0;              ///< 0 if the value is a format
  std::optional<Format> named{};  ///< "int4" and "fp32" are formats; the number 4 stands for int4
                                  ///< where bits are meant

  bool is_number() const { return !named; }
  /// The width in bits: of a format what an element costs, of a number the number itself.
  /// @throws ConfigError unless the number is whole and from 1 to 16
  int bits() const;
  /// The format that stands for it where operands are encoded: a whole number n is int-n.
  /// @throws ConfigError for a number that is no width
  Format format() const;

  friend bool operator==(const Value&, const Value&) = default;
};

/// "fp32", or the shortest decimal that reads back to the same bits.
std::string to_text(const Value& value);

}  // namespace ebb
