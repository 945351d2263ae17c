#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/plan.h"

namespace ebb::train {

/// A rule of a --numerics file: what it says of operands, or sums, of some sites goes over all
/// options.
struct NumericsRule {
  std::string pattern{};       ///< of names: * for any characters, ? for one; or as in --keep-fp32
  std::optional<Role> role{};  ///< none: all
  std::optional<Product> product{};  ///< forward, grad_left or grad_right; none: all
  std::string format{};              ///< a name, or a schedule of names; empty: as otherwise
  std::optional<Scaling::Kind> scale{};
  std::optional<GridStyle> grid{};
  std::optional<RoundingMode> rounding{};
  std::optional<Accumulator> accumulator{};
  std::optional<Transform> transform{};

  [[nodiscard]] bool is_for(const Site& site) const;
  [[nodiscard]] bool is_for(const ProductOperand& operand) const;
  /// Of two rules for one operand the one of higher rank goes: a full name before a tag or a part
  /// of a name, these before a pattern with * or ?; then role and product before one of them.
  [[nodiscard]] int rank(const Site& site) const;
  friend bool operator==(const NumericsRule&, const NumericsRule&) = default;
};

/// Reads TOML whose tables [[rule]] are rules; docs/FORMATS.md has the keys. Every rule can be one
/// by itself: formats are read as schedules, and pairs of keys that mean nothing are refused.
/// @throws ConfigError with line and column
std::vector<NumericsRule> parse_numerics(std::string_view toml);

/// The rule as a table, {pattern = "fc", format = "e4m3"}.
std::string toml_of(const NumericsRule& rule);
/// The rules as one line that parse_numerics reads.
std::string toml_of(std::span<const NumericsRule> rules);

/// The rules of a file in that form. @throws DataError if it cannot be read; ConfigError with file,
/// line and column
std::string numerics_of_file(const std::string& path);

}  // namespace ebb::train
