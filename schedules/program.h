#pragma once

// What bind makes of an expression: operators in one flat array, every length a whole number of
// updates.

#include <cstdint>
#include <string>
#include <vector>

#include "schedules/controller.h"
#include "schedules/node.h"
#include "schedules/range.h"
#include "schedules/value.h"

namespace ebb::schedules {

/// One operator over a span of N >= 1 updates, read at local clocks 0 to N. What m, n, x, y and z
/// mean is said where each op is evaluated. A stretch of no updates is bound over N = 1 and read at
/// its end only.
struct Step {
  Op op = Op::number;
  std::uint32_t child = 0, children = 0;  ///< places of the operands in Program::links
  std::uint32_t mark = 0, marks = 0;      ///< places in Program::marks
  std::uint32_t real = 0, reals = 0;      ///< places in Program::reals
  std::int64_t span = 1;
  std::int64_t m = 0, n = 0;
  double x = 0, y = 0, z = 0;
};

/// Local clocks first .. last.
struct Clocks {
  std::int64_t first = 0, last = 0;
};

inline constexpr double kTie =
    1e-9;  ///< so near a half-integer, a value is that: rounding errors must not decide
inline constexpr double kNear =
    8 * kTie;  ///< listed values further apart than this are picked in their order

double round_ties(double x);
double floor_ties(double x);

struct Program {
  std::vector<Step> steps;
  std::vector<std::uint32_t> links;  ///< indices into steps
  std::vector<std::int64_t> marks;
  std::vector<double> reals;
  std::vector<Format> formats;
  std::uint32_t root = 0;
  std::int64_t updates = 0;
  std::vector<std::string> warnings;
  std::vector<Controller> controllers;  ///< as they begin
  std::vector<double> first_readings;   ///< their values then

  /// The value of a step at its local clock t in [0, span], when the clock of the run stands at
  /// `global` and the controllers at these values.
  Value value(std::uint32_t step, std::int64_t t, std::int64_t global,
              const double* readings) const;
  Value value(std::uint32_t step, std::int64_t t, std::int64_t global) const {
    return value(step, t, global, first_readings.data());
  }
  /// Bounds on the values of a step at its local clocks t, when the clock of the run stands at one
  /// of `global` and the controllers as they begin.
  ValueRange range(std::uint32_t step, Clocks t, Clocks global) const;

 private:
  Value cycled(const Step& at, std::int64_t t, std::int64_t global, const double* readings) const;
  ValueRange parts(const Step& at, Clocks t, Clocks global) const;
  ValueRange cycles(const Step& at, Clocks t, Clocks global) const;
  ValueRange picks(const Step& at, const ValueRange& x) const;
  Value pick(const Step& at, double x) const;
  static std::size_t pick_index(const Step& at, double x);
  std::int64_t sampled(const Step& at, std::int64_t t) const;
};

}  // namespace ebb::schedules
