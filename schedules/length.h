#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schedules/rational.h"

namespace ebb {

/// What a run consists of: lengths in epochs, samples or tokens turn into updates through it. 0
/// means unknown; a length in an unknown unit is then a ConfigError. Fractions of an update are
/// rounded up, at the boundary and not at each length (see SCHEDULES.md).
struct Totals {
  std::int64_t updates = 0;  ///< T, the planned optimizer updates: 1 to 2^53
  std::int64_t updates_per_epoch = 0, samples_per_update = 0, tokens_per_update = 0;
};

/// How long a part of a schedule lasts: an exact number with a unit. "20%" is of the span that the
/// part lies in.
struct Length {
  enum class Unit : std::uint8_t { updates, epochs, samples, tokens, percent, rest };
  Rational count{};
  Unit unit = Unit::rest;

  /// Reads "120up", "3ep", "4e4sp", "5e6tok", "20%", "1/3ep" or "rest".
  /// @throws ConfigError for anything else
  static Length parse(std::string_view text);
  static Length updates(std::int64_t count) { return {count, Unit::updates}; }
  static Length percent(std::int64_t count) { return {count, Unit::percent}; }
  static Length rest() { return {}; }

  /// The length in updates, exact, inside a span of so many updates. Not for `rest`.
  /// @throws ConfigError if the totals do not say what the unit is worth
  Rational in_updates(std::int64_t span, const Totals& totals) const;

  friend bool operator==(const Length&, const Length&) = default;
};

std::string to_text(const Length& length);

/// The units with their suffixes in the text form: up, ep, sp, tok, %.
struct UnitName {
  Length::Unit unit;
  std::string_view suffix;
};
inline constexpr UnitName kUnitNames[] = {{Length::Unit::updates, "up"},
                                          {Length::Unit::epochs, "ep"},
                                          {Length::Unit::samples, "sp"},
                                          {Length::Unit::tokens, "tok"},
                                          {Length::Unit::percent, "%"}};

}  // namespace ebb
