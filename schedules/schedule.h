#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schedules/bound.h"
#include "schedules/length.h"
#include "schedules/value.h"

namespace ebb {

namespace schedules {
struct Node;
}

/// A rule that gives every update of a run a value: bits, a learning-rate multiplier, a masking
/// rate, any knob.
///
/// An immutable expression: copies are cheap and share it, threads may read it freely. It has one
/// line of text (docs/SCHEDULES.md is the grammar), `parse(s.text()) == s` for every schedule, and
/// no meaning of its own until `bind` tells it how long the run is.
class Schedule {
 public:
  struct References;
  struct Member;

  /// @throws ConfigError with the place of the first mistake marked by a caret
  static Schedule parse(std::string_view text);

  /// The canonical text: one line, every default argument spelled the same way.
  std::string text() const;

  /// Fixes every length as a whole number of updates: boundaries are ceilings of exact cumulative
  /// fractions. References say what ref(name) means; the member chooses among the parts of
  /// group{...}: the last one that names it, or `*`.
  /// @throws ConfigError if parts do not fill their span, a unit or reference is unknown, no part
  /// is for the member, or the totals
  ///         are impossible
  Bound bind(const Totals& totals) const;
  Bound bind(const Totals& totals, const References& references, const Member& member) const;
  /// For a member that matches only parts of exactly its own name.
  Bound bind(const Totals& totals, const References& references, std::string_view group = "") const;
  /// The same for a run of so many updates whose lengths all are in updates or %.
  Bound bind(std::int64_t updates) const { return bind(Totals{.updates = updates}); }

  /// True if every value is a whole number or a name by construction, as it must be for bits:
  /// round(...), 8, fp32 @10% ; 4 @rest.
  bool is_whole() const;
  /// True if it has a controller: its values then follow what the run measures.
  bool is_closed_loop() const;
  /// The names of all parts of all groups, `*` left out, in the order of the text.
  std::vector<std::string> group_names() const;

  /// Equal expressions, not merely equal values: "1->0 : lin" and "lin" differ.
  friend bool operator==(const Schedule& a, const Schedule& b);

  explicit Schedule(std::shared_ptr<const schedules::Node> node) : node_(std::move(node)) {}
  const std::shared_ptr<const schedules::Node>& node() const { return node_; }

 private:
  std::shared_ptr<const schedules::Node> node_;
};

/// What ref(name) stands for: other schedules, each on the clock of the whole run.
struct Schedule::References {
  std::map<std::string, Schedule, std::less<>> by_name;
};

/// Whom a schedule is bound for: an operand of a layer, a parameter, a knob.
struct Schedule::Member {
  std::string name;  ///< for messages
  std::function<bool(std::string_view part)>
      is{};  ///< whether a part of that name is for this member; `*` is not asked
};

/// How long one of n cycles over N updates is. The last cycle of `floor_plus_one` is cut short by
/// the end of the run; `floor` can leave up to n-1 updates that begin a stray cycle.
enum class CycleLength : std::uint8_t { floor_plus_one, floor };
/// How the falling cycles of a zigzag come from the rising ones: values upside down (1 - f) or
/// backwards in time (f(1-s)).
enum class Mirror : std::uint8_t { vertical, horizontal };

/// The operators of the text form as functions. Each throws ConfigError for an argument that the
/// text form would refuse. A profile is a schedule that falls from 1 at the start of its span; s is
/// the share of the span gone by.
namespace schedules {

Schedule number(double value);
Schedule named(std::string_view name);  ///< a format, such as fp32
Schedule update();                      ///< the clock of the surrounding part, in updates
Schedule ref(std::string_view name);    ///< another schedule's value, given to bind
Schedule constant();                    ///< 1
Schedule linear();                      ///< 1 - s
Schedule cosine();                      ///< (1 + cos(pi s)) / 2
Schedule rex(double b = 0.5);  ///< (1-s) / ((1-b) + b (1-s)), 0 <= b < 1. Source: arXiv 2107.04197;
                               ///< b = 0.9 in 2403.02243
Schedule exponential(double k = 3);     ///< exp(-k s): ends at exp(-k), not at 0
Schedule power(double p);               ///< (1-s)^p, p > 0
Schedule one_minus_sqrt();              ///< 1 - sqrt(s). Source: arXiv 2412.17743
Schedule smooth(double mid, double p);  ///< 1 - ramp; the ramp is A s^p up to mid, then straight
                                        ///< to 1. Source: arXiv 2103.17268
Schedule step(std::vector<Length> marks, double factor);  ///< factor^(number of marks gone by)
Schedule table(std::vector<double> values);  ///< each value for an equal share of the span

Schedule ramp(double from, double to, const Schedule& profile);  ///< to + (from - to) profile
/// The expression over `length`, then its end value. Closed: the end value is reached at the last
/// update, not one after it.
Schedule stretch(const Schedule& a, const Length& length, bool closed = false);
/// One part after the other, each a `stretch` with its own clock.
Schedule join(const std::vector<Schedule>& parts);
Schedule product(const std::vector<Schedule>& factors);
Schedule sum(const std::vector<Schedule>& terms);
Schedule minimum(const std::vector<Schedule>& of);
Schedule maximum(const std::vector<Schedule>& of);
Schedule affine(const Schedule& a, double p, double q);  ///< p a + q
Schedule clamp(double low, double high, const Schedule& a);
Schedule inv(const Schedule& a);   ///< 1 / a
Schedule root(const Schedule& a);  ///< square root
/// To the nearest whole number, ties to even; a value within 1e-9 of a half counts as that half, so
/// that no order of evaluation matters.
Schedule round(const Schedule& a);
/// To the next whole number below; a value within 1e-9 of a whole number counts as that.
Schedule floor(const Schedule& a);
Schedule pick(std::vector<double> values,
              const Schedule& a);  ///< the nearest listed value, the first of equally near ones
Schedule pick(std::vector<std::string> names,
              const Schedule& a);  ///< the name at index round(a), counted from 0

Schedule delay(const Length& by,
               const Schedule& a);  ///< its first value for so long, then all of it in what is left
Schedule hold_from(const Length& from, const Schedule& a);  ///< the clock stops there
Schedule sample_every(const Length& period, const Schedule& a);
Schedule sample_at(std::vector<Length> marks, const Schedule& a);
Schedule reversed(const Schedule& a);    ///< a(1-s)
Schedule negated(const Schedule& a);     ///< 1 - a(s)
Schedule normalised(const Schedule& a);  ///< (a - a(end)) / (a(start) - a(end))
/// Warm-up: the value times start + (1 - start) t/W in the first W updates.
Schedule warm(const Length& length, double start, const Schedule& a);
Schedule warm(const Length& length,
              const Schedule& a);  ///< start = 1/W, so that the first update is not wasted

/// n repeats of the profile f; within a cycle of P updates f is read at s = (t mod P) / P.
/// P = floor(T/n) + 1 as in the authors' training code, so the last cycle is cut short; `floor` is
/// what their cost scripts use. Source: Wolfe & Kyrillidis, arXiv 2403.02243;
/// wolfecameron/BetterPrecisionSchedules, cpt_cifar/train.py.
/// @throws ConfigError unless n >= 1
Schedule cycle(std::int64_t n, const Schedule& f, CycleLength length = CycleLength::floor_plus_one);
/// Warm restarts: each of the n cycles is `mul` times as long as the one before and `decay` times
/// as high. Source: arXiv 1608.03983.
Schedule restarts(std::int64_t n, double mul, double decay, const Schedule& f);
/// n half-waves: cycles 0, 2, ... are mirrored, cycles 1, 3, ... are f itself.
Schedule zigzag(std::int64_t n, Mirror mirror, const Schedule& f,
                CycleLength length = CycleLength::floor_plus_one);

/// A controller as a part of an expression; see Bound::controllers.
Schedule controlled(const Controller& controller);
Schedule refined(const Schedule& record);  ///< of a `record`: 1, while it is recorded for `refine`

/// Each member its own schedule: of parts that name it the last one counts, and "*" is for those
/// that none names.
Schedule group(const std::vector<std::pair<std::string, Schedule>>& parts);

}  // namespace schedules
}  // namespace ebb
