#include "schedules/range.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/error.h"
#include "core/math.h"
#include "schedules/program.h"

namespace ebb {
namespace schedules {
namespace {

constexpr double kSlack = 1e-12;  ///< far beyond the rounding errors of the elementary functions,
                                  ///< which need not be monotonic

ValueRange between(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return ValueRange::unknown();
  return {.low = std::min(a, b), .high = std::max(a, b)};
}

/// Between f(a) and f(b), for a monotonic f but for its rounding.
ValueRange around(double a, double b, double least) {
  ValueRange range = between(a, b);
  const double slack = kSlack * std::max({1.0, std::fabs(range.low), std::fabs(range.high)});
  range.low = std::max(range.low - slack, std::min(least, range.low));
  range.high += slack;
  return range;
}

/// f of a range, for an f that never changes its direction, rounding included.
template <class F>
ValueRange mapped(const ValueRange& x, const F& f) {
  return x.is_number() ? between(f(x.low), f(x.high)) : ValueRange::unknown();
}

ValueRange united(const ValueRange& a, const ValueRange& b) {
  if (!a.known || !b.known || a.named != b.named) return ValueRange::unknown();
  return {.low = std::min(a.low, b.low), .high = std::max(a.high, b.high), .named = a.named};
}

ValueRange times(const ValueRange& a, const ValueRange& b) {
  if (!a.is_number() || !b.is_number()) return ValueRange::unknown();
  return united(between(a.low * b.low, a.low * b.high), between(a.high * b.low, a.high * b.high));
}

ValueRange folded(Op op, const ValueRange& a, const ValueRange& b) {
  if (!a.is_number() || !b.is_number()) return ValueRange::unknown();
  switch (op) {
    case Op::product: return times(a, b);
    case Op::sum: return between(a.low + b.low, a.high + b.high);
    case Op::min: return between(std::min(a.low, b.low), std::min(a.high, b.high));
    default: return between(std::max(a.low, b.low), std::max(a.high, b.high));
  }
}

/// base^n for first <= n <= last.
ValueRange powers(double base, std::int64_t first, std::int64_t last) {
  const double a = math::pow(base, first), b = math::pow(base, last);
  if (first == last) return between(a, a);
  const double most = std::max(std::fabs(a), std::fabs(b)) * (1 + kSlack);
  return base >= 0 ? between(std::min(a, b) * (1 - kSlack), most) : between(-most, most);
}

/// The entries of a table that the clocks pass, see value().
ValueRange entries(const double* table, const Step& at, Clocks t) {
  const auto entry = [&](std::int64_t clock) {
    const auto index = static_cast<std::size_t>(static_cast<int128>(clock) * at.reals / at.span);
    return table + std::min<std::size_t>(index, at.reals - 1);
  };
  const auto [low, high] = std::minmax_element(entry(t.first), entry(t.last) + 1);
  return between(*low, *high);
}

}  // namespace

ValueRange Program::range(std::uint32_t step, Clocks t, Clocks global) const {
  if (t.first == t.last && global.first == global.last)
    return ValueRange::of(value(step, t.first, global.first));
  const Step& at = steps[step];
  const auto child = [&](Clocks clocks, std::uint32_t which = 0) {
    return range(links[at.child + which], clocks, global);
  };
  const auto read = [&](std::int64_t clock) {
    return value(step, clock, global.first).number;
  };  // where global has no say
  const auto moved = [&](const auto& clock) { return child({clock(t.first), clock(t.last)}); };
  const std::int64_t* const first_mark = marks.data() + at.mark;
  const auto marks_until = [&](std::int64_t clock, std::uint32_t count) {
    return std::upper_bound(first_mark, first_mark + count, clock) - first_mark;
  };
  switch (at.op) {
    case Op::number:
    case Op::control:
    case Op::name:
    case Op::constant: return ValueRange::of(value(step, t.first, global.first));
    case Op::update: return between(read(t.first), read(t.last));
    case Op::ref: return range(links[at.child], global, global);
    case Op::lin:
    case Op::cos:
    case Op::rex:
    case Op::exp:
    case Op::pow:
    case Op::sqrt1: return around(read(t.first), read(t.last), 0);
    case Op::smooth: return around(read(t.first), read(t.last), -1);
    case Op::step:
      return powers(at.x, marks_until(t.first, at.marks), marks_until(t.last, at.marks));
    case Op::table: return entries(reals.data() + at.real, at, t);
    case Op::ramp: return mapped(child(t), [&](double x) { return at.y + (at.x - at.y) * x; });
    case Op::stretch:
      return moved([&](std::int64_t clock) { return at.m == 0 ? 1 : std::min(clock, at.m); });
    case Op::join: return parts(at, t, global);
    case Op::product:
    case Op::sum:
    case Op::min:
    case Op::max: {
      ValueRange x = child(t);
      for (std::uint32_t i = 1; i < at.children; ++i) x = folded(at.op, x, child(t, i));
      return x;
    }
    case Op::affine: return mapped(child(t), [&](double x) { return at.x * x + at.y; });
    case Op::clamp: return mapped(child(t), [&](double x) { return std::clamp(x, at.x, at.y); });
    case Op::inv: {
      const ValueRange x = child(t);
      return x.low > 0 || x.high < 0 ? mapped(x, [](double v) { return 1.0 / v; })
                                     : ValueRange::unknown();
    }
    case Op::sqrt: return mapped(child(t), [](double x) { return std::sqrt(x); });
    case Op::round: return mapped(child(t), round_ties);
    case Op::floor: return mapped(child(t), floor_ties);
    case Op::pick: return picks(at, child(t));
    case Op::delay:
      return moved([&](std::int64_t clock) { return std::max<std::int64_t>(clock - at.m, 0); });
    case Op::hold_from: return moved([&](std::int64_t clock) { return std::min(clock, at.m); });
    case Op::sample: return moved([&](std::int64_t clock) { return sampled(at, clock); });
    case Op::rev: return child({at.span - t.last, at.span - t.first});
    case Op::neg: return mapped(child(t), [](double x) { return 1.0 - x; });
    case Op::norm: return mapped(child(t), [&](double x) { return (x - at.y) / (at.x - at.y); });
    case Op::warm: {
      if (t.first >= at.m) return child(t);
      const auto factor = [&](std::int64_t clock) {
        return at.x + (1.0 - at.x) * static_cast<double>(clock) / static_cast<double>(at.m);
      };
      const ValueRange rising = between(factor(t.first), factor(std::min(t.last, at.m)));
      return times(t.last < at.m ? rising : united(rising, between(1, 1)), child(t));
    }
    case Op::cycle:
    case Op::zigzag: return cycles(at, t, global);
    case Op::group:
    case Op::refine: return child(t);
  }
  return ValueRange::unknown();
}

/// The parts of a join that the clocks pass, see value().
ValueRange Program::parts(const Step& at, Clocks t, Clocks global) const {
  const std::int64_t* const begins = marks.data() + at.mark;
  const auto part_at = [&](std::int64_t clock) {
    return static_cast<std::uint32_t>(std::upper_bound(begins, begins + at.children, clock) -
                                      begins - 1);
  };
  ValueRange all;
  const std::uint32_t first = part_at(t.first), last = part_at(t.last);
  for (std::uint32_t part = first; part <= last; ++part) {
    const std::int64_t begin = std::max(t.first, begins[part]);
    const std::int64_t end = part < last ? std::min(t.last, begins[part + 1] - 1) : t.last;
    if (end < begin) continue;  // a part of no updates, which only the very last clock can meet
    const std::int64_t length = begins[at.children + part];
    const auto clock = [&](std::int64_t of) {
      return length == 0 ? 1 : std::min(of - begins[part], length);
    };
    ValueRange inner = range(links[at.child + part], {clock(begin), clock(end)}, global);
    if (at.x != 1) inner = times(inner, powers(at.x, part, part));
    all = part == first ? inner : united(all, inner);
  }
  return all;
}

ValueRange Program::cycles(const Step& at, Clocks t, Clocks global) const {
  const auto child = [&](Clocks clocks) { return range(links[at.child], clocks, global); };
  const auto index = [&](std::int64_t clock) { return clock >= at.span ? at.n - 1 : clock / at.m; };
  const std::int64_t first = index(t.first), last = index(t.last);
  const auto mirrored = [&](const ValueRange& x) {
    return mapped(x, [](double v) { return 1.0 - v; });
  };
  ValueRange inner;
  if (first == last && t.last < at.span) {
    const Clocks within{t.first % at.m, t.last % at.m};
    const bool falling = at.op == Op::zigzag && first % 2 == 0;
    inner = child(falling && at.y == 2 ? Clocks{at.m - within.last, at.m - within.first} : within);
    if (falling && at.y == 1) inner = mirrored(inner);
  } else {
    inner = child({0, at.m});
    if (at.op == Op::zigzag && at.y == 1) inner = united(inner, mirrored(inner));
  }
  if (at.op == Op::zigzag || at.x == 1) return inner;
  const std::int64_t stray = std::min(t.last, at.span - 1) / at.m;  // may be one beyond the last
  return times(inner, powers(at.x, std::min(first, last), std::max({first, last, stray})));
}

ValueRange Program::picks(const Step& at, const ValueRange& x) const {
  if (!x.is_number()) return ValueRange::unknown();
  if (at.marks > 0) {
    const bool one = pick_index(at, x.low) == pick_index(at, x.high);
    return one ? ValueRange::of(pick(at, x.low)) : ValueRange::unknown();
  }
  const auto values = std::span(reals).subspan(at.real, at.reals);
  double largest = std::max(std::fabs(x.low), std::fabs(x.high));
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  // Values so near each other that rounding or the tie decides between them need not follow x: take
  // them all.
  const bool exact = largest <= 1e6;
  const double low = exact ? pick(at, x.low).number - kNear : -largest,
               high = exact ? pick(at, x.high).number + kNear : largest;
  ValueRange range{.low = high, .high = low};
  for (const double value : values) {
    if (value < low || value > high) continue;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

}  // namespace schedules

ValueRange range_of(const Bound& bound, std::int64_t first, std::int64_t last) {
  require<ConfigError>(first >= 0 && first <= last,
                       "[schedule] expected updates 0 <= first <= last, got ", first, " and ",
                       last);
  const schedules::Program& program = bound.program();
  const schedules::Clocks clocks{std::min(first, program.updates), std::min(last, program.updates)};
  return program.range(program.root, clocks, clocks);
}

void halve(const Bound& bound, std::int64_t first, std::int64_t last, const Settled& settled) {
  if (settled(first, last, range_of(bound, first, last)) || first == last) return;
  const std::int64_t middle = std::midpoint(first, last);
  halve(bound, first, middle, settled);
  halve(bound, middle + 1, last, settled);
}

std::vector<Segment> segments_of(const Bound& bound) {
  std::vector<Segment> segments;
  halve(bound, 0, bound.updates() - 1,
        [&](std::int64_t first, std::int64_t last, const ValueRange& range) {
          if (first < last && !range.is_one()) return false;
          const Value value = bound.value(first);
          const std::int64_t updates = last - first + 1;
          if (!segments.empty() && segments.back().value == value) {
            segments.back().updates += updates;
            return true;
          }
          require<ConfigError>(
              std::ssize(segments) < kMaxSegments, "[schedule] over ", bound.updates(),
              " updates the value changes more than ", kMaxSegments,
              " times, which is too often to add it up; round it, or take fewer updates");
          segments.push_back({first, updates, value});
          return true;
        });
  return segments;
}

}  // namespace ebb
