#include "schedules/bound.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/math.h"
#include "schedules/program.h"

namespace ebb {
namespace schedules {
namespace {

/// A profile at clock t of N. z = 1 - s is one division, so that linear decay is exact to the last
/// bit.
double profile(const Step& at, std::int64_t t) {
  const double n = static_cast<double>(at.span);
  const double s = static_cast<double>(t) / n, z = static_cast<double>(at.span - t) / n;
  switch (at.op) {
    case Op::lin: return z;
    case Op::cos: return 0.5 * (1.0 + math::cos_pi(s));
    case Op::rex: return z / ((1.0 - at.x) + at.x * z);
    case Op::exp: return math::exp(-at.x * s);
    case Op::pow:
      return at.n > 0 ? math::pow(z, at.n) : math::pow(z, at.x);  // n: x where that is whole
    case Op::sqrt1: return 1.0 - std::sqrt(s);
    case Op::smooth: {  // x: mid, y: p, z: A, with value and slope equal at mid
      const double up_to_mid = math::pow(at.x, at.y);
      if (s <= at.x) return 1.0 - at.z * math::pow(s, at.y);
      return 1.0 - at.z * (up_to_mid + at.y * (up_to_mid / at.x) * (s - at.x));
    }
    default: return 1.0;
  }
}

/// The factor of a warm-up of m updates from x, at clock t.
double warmed(const Step& at, std::int64_t t) {
  if (t >= at.m) return 1.0;
  return at.x + (1.0 - at.x) * static_cast<double>(t) / static_cast<double>(at.m);
}

/// Of two parts of a product, sum, min or max.
double folded(Op op, double x, double y) {
  switch (op) {
    case Op::product: return x * y;
    case Op::sum: return x + y;
    case Op::min: return std::min(x, y);
    default: return std::max(x, y);
  }
}

double nearest(const double* values, std::size_t count, double x) {
  double best = values[0];
  for (std::size_t i = 1; i < count; ++i) {
    if (std::fabs(values[i] - x) < std::fabs(best - x) - kTie) best = values[i];
  }
  return best;
}

}  // namespace

double round_ties(double x) {
  if (!(std::fabs(x) < 0x1p51)) return x;
  const double half = std::floor(x) + 0.5;
  return math::round_half_even(std::fabs(x - half) <= kTie ? half : x);
}

double floor_ties(double x) {
  const double next = std::floor(x) + 1.0;
  return next - x <= kTie ? next : std::floor(x);
}

/// Of a pick among names.
std::size_t Program::pick_index(const Step& at, double x) {
  return static_cast<std::size_t>(
      std::fmin(std::fmax(round_ties(x), 0.0), static_cast<double>(at.marks - 1)));
}

/// What a pick makes of x. reals: the values; or marks: places of formats.
Value Program::pick(const Step& at, double x) const {
  if (at.marks == 0) return {.number = nearest(reals.data() + at.real, at.reals, x)};
  return {.named = formats[static_cast<std::size_t>(marks[at.mark + pick_index(at, x)])]};
}

/// The clock that a sample reads at t: that of the last of every m/n updates; or of the marks.
std::int64_t Program::sampled(const Step& at, std::int64_t t) const {
  if (at.marks > 0) {
    const auto first = marks.begin() + at.mark,
               after = std::upper_bound(first, first + at.marks, t);
    return after == first ? 0 : after[-1];
  }
  if (at.n == 1) return t - t % at.m;
  const int128 samples = static_cast<int128>(t) * at.n / at.m;
  return static_cast<std::int64_t>((samples * at.m + at.n - 1) / at.n);
}

/// A cycle or zigzag. m: updates of a cycle, n: cycles, x: decay, y: 1 to mirror in value, 2 in
/// time.
Value Program::cycled(const Step& at, std::int64_t t, std::int64_t global,
                      const double* readings) const {
  const bool over = t >= at.span;  // the end value is that of the last whole cycle
  const std::int64_t index = over ? at.n - 1 : t / at.m, clock = over ? at.m : t % at.m;
  const bool falling = at.op == Op::zigzag && index % 2 == 0;
  Value inner =
      value(links[at.child], falling && at.y == 2 ? at.m - clock : clock, global, readings);
  if (falling && at.y == 1) inner.number = 1.0 - inner.number;
  if (at.op == Op::cycle && at.x != 1) inner.number *= math::pow(at.x, index);
  return inner;
}

Value Program::value(std::uint32_t step, std::int64_t t, std::int64_t global,
                     const double* readings) const {
  const Step& at = steps[step];
  const auto child = [&](std::int64_t clock, std::uint32_t which = 0) {
    return value(links[at.child + which], clock, global, readings);
  };
  const auto mapped = [&](double x) { return Value{.number = x}; };
  const std::int64_t* const first_mark = marks.data() + at.mark;
  switch (at.op) {
    case Op::number: return mapped(at.x);
    case Op::name: return {.named = formats[static_cast<std::size_t>(at.n)]};
    case Op::update: return mapped(static_cast<double>(t));
    case Op::ref: return value(links[at.child], global, global, readings);
    case Op::control: return mapped(readings[at.m]);  // m: place among the controllers
    case Op::constant:
    case Op::lin:
    case Op::cos:
    case Op::rex:
    case Op::exp:
    case Op::pow:
    case Op::sqrt1:
    case Op::smooth: return mapped(profile(at, t));
    case Op::step:
      return mapped(
          math::pow(at.x, std::upper_bound(first_mark, first_mark + at.marks, t) - first_mark));
    case Op::table: {
      const auto share = static_cast<std::size_t>(static_cast<int128>(t) * at.reals / at.span);
      return mapped(reals[at.real + std::min<std::size_t>(share, at.reals - 1)]);
    }
    case Op::ramp: return mapped(at.y + (at.x - at.y) * child(t).number);  // from x to y
    case Op::stretch:
      return child(at.m == 0 ? 1 : std::min(t, at.m));  // m: updates; none at all is over at once
    case Op::join: {  // marks: where each part begins, then how long it is. x: decay of each part
                      // against the one before
      const std::int64_t* const after = std::upper_bound(first_mark, first_mark + at.children, t);
      const auto part = static_cast<std::uint32_t>(after - first_mark - 1);
      const std::int64_t length = first_mark[at.children + part];
      Value inner = child(length == 0 ? 1 : std::min(t - first_mark[part], length), part);
      if (at.x != 1) inner.number *= math::pow(at.x, std::int64_t{part});
      return inner;
    }
    case Op::product:
    case Op::sum:
    case Op::min:
    case Op::max: {
      double x = child(t).number;
      for (std::uint32_t i = 1; i < at.children; ++i) {
        x = folded(at.op, x, child(t, i).number);
      }
      return mapped(x);
    }
    case Op::affine: return mapped(at.x * child(t).number + at.y);
    case Op::clamp: return mapped(std::clamp(child(t).number, at.x, at.y));
    case Op::inv: return mapped(1.0 / child(t).number);
    case Op::sqrt: return mapped(std::sqrt(child(t).number));
    case Op::round: return mapped(round_ties(child(t).number));
    case Op::floor: return mapped(floor_ties(child(t).number));
    case Op::pick: return pick(at, child(t).number);
    case Op::delay: return child(std::max<std::int64_t>(t - at.m, 0));  // m: updates of delay
    case Op::hold_from: return child(std::min(t, at.m));
    case Op::sample: return child(sampled(at, t));
    case Op::rev: return child(at.span - t);
    case Op::neg: return mapped(1.0 - child(t).number);
    case Op::norm:
      return mapped((child(t).number - at.y) / (at.x - at.y));  // x: first value, y: end value
    case Op::warm: return mapped(warmed(at, t) * child(t).number);
    case Op::cycle:
    case Op::zigzag: return cycled(at, t, global, readings);
    case Op::group:
    case Op::refine: return child(t);
  }
  return {};
}

}  // namespace schedules

Value Bound::value(std::int64_t t) const { return value(t, program_->first_readings); }

Value Bound::value(std::int64_t t, std::span<const double> readings) const {
  require<ConfigError>(t >= 0, "[schedule] expected an update >= 0, got ", t);
  require<ConfigError>(readings.size() == program_->controllers.size(), "[schedule] expected ",
                       program_->controllers.size(), " values of controllers, got ",
                       readings.size());
  const std::int64_t clock = std::min(t, program_->updates);
  return program_->value(program_->root, clock, clock, readings.data());
}

double Bound::operator()(std::int64_t t) const { return (*this)(t, program_->first_readings); }

double Bound::operator()(std::int64_t t, std::span<const double> readings) const {
  const Value at = value(t, readings);
  require<ConfigError>(at.is_number(), "[schedule] expected a number at update ", t,
                       ", got the name '", at, "'");
  return at.number;
}

const std::vector<Controller>& Bound::controllers() const { return program_->controllers; }
std::int64_t Bound::updates() const { return program_->updates; }
const std::vector<std::string>& Bound::warnings() const { return program_->warnings; }

}  // namespace ebb
