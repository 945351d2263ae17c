#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/math.h"
#include "schedules/program.h"
#include "schedules/schedule.h"

namespace ebb {
namespace schedules {
namespace {

constexpr std::int64_t kMaxUpdates = std::int64_t{1} << 53;
constexpr std::int64_t kMaxSpan =
    std::int64_t{1}
    << 60;  // a part may be longer than the run, but sums of clocks must not overflow
constexpr std::size_t kMaxSteps = 1u << 16;
constexpr std::size_t kMaxNestedReferences = 8;

bool is_profile(Op op) { return op >= Op::constant && op <= Op::smooth; }

class Binder {
 public:
  Binder(const Totals& totals, const Schedule::References& references,
         const Schedule::Member& member)
      : totals_(totals), references_(references), member_(member) {}

  Program bind(const Node& node) {
    program_.updates = totals_.updates;
    std::vector<std::string> referred;
    number_controllers(node, referred);
    program_.first_readings = readings_of(program_.controllers);
    program_.root = bound(node, totals_.updates);
    return std::move(program_);
  }

 private:
  /// Gives the controllers of the text their places, whichever parts of groups are chosen, and then
  /// those of the schedules that it refers to.
  void number_controllers(const Node& node, std::vector<std::string>& referred) {
    if (node.op == Op::control) {
      places_.emplace(&node, std::ssize(program_.controllers));
      program_.controllers.push_back(controller_of(node));
    }
    for (const NodePtr& child : node.children) number_controllers(*child, referred);
    if (node.op != Op::ref) return;
    const auto found = references_.by_name.find(node.words[0]);
    if (found == references_.by_name.end() ||
        std::find(referred.begin(), referred.end(), node.words[0]) != referred.end())
      return;
    referred.push_back(node.words[0]);
    number_controllers(*found->second.node(), referred);
  }

  /// Appends the step of a node over a span of updates, its operands first.
  /// @returns its index
  std::uint32_t bound(const Node& node, std::int64_t span) {
    require<ConfigError>(program_.steps.size() < kMaxSteps,
                         "[schedule] the expression unrolls to more than ", kMaxSteps,
                         " operators; use fewer cycles of unequal length");
    require<ConfigError>(span <= kMaxSpan, "[schedule] a part of ", span,
                         " updates is too long to count; the limit is 2^60");
    Step step{.op = node.op, .span = span};
    switch (node.op) {
      case Op::number: step.x = node.numbers[0]; break;
      case Op::name: step.n = format(node.words[0]); break;
      case Op::ref: link(step, {reference(node.words[0])}); break;
      case Op::control: step.m = places_.at(&node); break;
      case Op::group: link(step, {bound(chosen(node), span)}); break;
      case Op::step:
        marks(step, ascending(node, span));
        step.x = node.numbers[0];
        break;
      case Op::table: reals(step, node.numbers); break;
      case Op::stretch: stretch(step, node, span); break;
      case Op::join: join(step, node, span); break;
      case Op::delay: {
        step.m = updates(node.lengths[0], span);
        link(step, {bound(*node.children[0], std::max<std::int64_t>(span - step.m, 1))});
        break;
      }
      case Op::hold_from:
        step.m = updates(node.lengths[0], span);
        operands(step, node, span);
        break;
      case Op::sample: sample(step, node, span); break;
      case Op::pick: pick(step, node, span); break;
      case Op::norm: norm(step, node, span); break;
      case Op::warm: warm(step, node, span); break;
      case Op::cycle:
        if (node.numbers[1] != 1) {
          unequal_cycles(step, node, span);
          break;
        }
        [[fallthrough]];
      case Op::zigzag: cycles(step, node, span); break;
      default:
        if (is_profile(node.op)) {
          profile(step, node);
        } else if (!node.numbers.empty()) {
          step.x = node.numbers[0];
          step.y = node.numbers[1];
        }
        operands(step, node, span);
    }
    program_.steps.push_back(step);
    return static_cast<std::uint32_t>(program_.steps.size() - 1);
  }

  static void profile(Step& step, const Node& node) {
    if (!node.numbers.empty()) step.x = node.numbers[0];
    if (node.op == Op::pow && step.x == std::floor(step.x))
      step.n = static_cast<std::int64_t>(step.x);
    if (node.op == Op::smooth) {
      step.y = node.numbers[1];
      const double up_to_mid = math::pow(step.x, step.y);
      step.z = 1.0 / (up_to_mid + step.y * (up_to_mid / step.x) * (1.0 - step.x));
    }
  }

  void operands(Step& step, const Node& node, std::int64_t span) {
    std::vector<std::uint32_t> children;
    for (const NodePtr& child : node.children) children.push_back(bound(*child, span));
    link(step, children);
  }

  void link(Step& step, const std::vector<std::uint32_t>& children) {
    step.child = static_cast<std::uint32_t>(program_.links.size());
    step.children = static_cast<std::uint32_t>(children.size());
    program_.links.insert(program_.links.end(), children.begin(), children.end());
  }
  void marks(Step& step, const std::vector<std::int64_t>& values) {
    step.mark = static_cast<std::uint32_t>(program_.marks.size());
    step.marks = static_cast<std::uint32_t>(values.size());
    program_.marks.insert(program_.marks.end(), values.begin(), values.end());
  }
  void reals(Step& step, const std::vector<double>& values) {
    step.real = static_cast<std::uint32_t>(program_.reals.size());
    step.reals = static_cast<std::uint32_t>(values.size());
    program_.reals.insert(program_.reals.end(), values.begin(), values.end());
  }

  std::int64_t updates(const Length& length, std::int64_t span) const {
    return length.in_updates(span, totals_).ceil();
  }

  std::vector<std::int64_t> ascending(const Node& node, std::int64_t span) const {
    std::vector<std::int64_t> values;
    for (const Length& length : node.lengths) values.push_back(updates(length, span));
    require<ConfigError>(std::is_sorted(values.begin(), values.end()), "[schedule] the marks of ",
                         info_of(node.op).word, " must not go back, but over ", span, " updates ",
                         to_text(node.lengths.back()), " or one before it does");
    return values;
  }

  void warning(const std::string& sentence) {
    std::vector<std::string>& warnings = program_.warnings;
    if (std::find(warnings.begin(), warnings.end(), sentence) == warnings.end())
      warnings.push_back(sentence);
  }

  const Node& chosen(const Node& node) const {
    for (std::size_t i = node.words.size(); i-- > 0;) {
      if (node.words[i] != "*" && member_.is(node.words[i])) return *node.children[i];
    }
    const auto others = std::find(node.words.begin(), node.words.end(), "*");
    require<ConfigError>(others != node.words.end(), "[schedule] the group has no part for '",
                         member_.name, "'; known: ", join_words(node.words),
                         "; add '*: ...' for all others");
    return *node.children[static_cast<std::size_t>(others - node.words.begin())];
  }

  std::uint32_t reference(const std::string& name) {
    if (const auto bound_before = bound_references_.find(name);
        bound_before != bound_references_.end())
      return bound_before->second;
    const auto found = references_.by_name.find(name);
    if (found == references_.by_name.end()) {
      std::vector<std::string> known;
      for (const auto& [known_name, schedule] : references_.by_name) known.push_back(known_name);
      throw ConfigError(concat("[schedule] ", unknown_word("reference", name, known),
                               known.empty() ? "(none: no other schedule was given)" : ""));
    }
    const Node& node = *found->second.node();
    require<ConfigError>(!node.may_name, "[schedule] ref(", name,
                         ") needs a schedule of numbers, but '", found->second.text(),
                         "' can be a name");
    require<ConfigError>(
        std::find(open_references_.begin(), open_references_.end(), name) == open_references_.end(),
        "[schedule] ref(", name, ") refers to itself");
    require<ConfigError>(open_references_.size() < kMaxNestedReferences, "[schedule] more than ",
                         kMaxNestedReferences, " references lead to one another");
    open_references_.push_back(name);
    const std::uint32_t step = bound(node, totals_.updates);
    open_references_.pop_back();
    bound_references_.emplace(name, step);
    return step;
  }

  /// Over how many updates an operand is bound; `closed` reaches the end value one update earlier.
  static std::int64_t open_length(std::int64_t length, const Node& stretched) {
    return stretched.numbers[0] != 0 ? std::max<std::int64_t>(length - 1, 0) : length;
  }

  void stretch(Step& step, const Node& node, std::int64_t span) {
    const Length& length = node.lengths[0];
    step.m = open_length(length.unit == Length::Unit::rest ? span : updates(length, span), node);
    link(step, {bound(*node.children[0], std::max<std::int64_t>(step.m, 1))});
  }

  void join(Step& step, const Node& node, std::int64_t span) {
    Rational fixed;
    bool has_rest = false;
    for (const NodePtr& part : node.children) {
      if (part->lengths[0].unit == Length::Unit::rest) {
        has_rest = true;
      } else {
        fixed = fixed + part->lengths[0].in_updates(span, totals_);
      }
    }
    const std::int64_t filled = fixed.ceil();
    require<ConfigError>(has_rest || filled >= span, "[schedule] the parts of a join fill ", filled,
                         " of ", span, " updates; end with a part '@rest'");
    if (filled > span) {
      warning(concat("the parts of a join take ", filled, " updates, longer than the ", span,
                     " there are: what lies beyond is cut off"));
    }
    const Rational rest = fixed < Rational(span) ? Rational(span) - fixed : Rational(0);
    Rational end;
    std::vector<std::int64_t> begins, lengths;
    std::vector<std::uint32_t> parts;
    for (const NodePtr& part : node.children) {
      const Length& length = part->lengths[0];
      const std::int64_t begin = end.ceil();
      end = end + (length.unit == Length::Unit::rest ? rest : length.in_updates(span, totals_));
      begins.push_back(begin);
      lengths.push_back(open_length(end.ceil() - begin, *part));
      parts.push_back(bound(*part->children[0], std::max<std::int64_t>(lengths.back(), 1)));
    }
    segments(step, begins, lengths, parts, 1);
  }

  void segments(Step& step, std::vector<std::int64_t> begins,
                const std::vector<std::int64_t>& lengths, const std::vector<std::uint32_t>& parts,
                double decay) {
    begins.insert(begins.end(), lengths.begin(), lengths.end());
    step.op = Op::join;
    step.x = decay;
    marks(step, begins);
    link(step, parts);
  }

  void sample(Step& step, const Node& node, std::int64_t span) {
    if (node.numbers[0] == 0) {
      marks(step, ascending(node, span));
    } else {
      const Rational period = node.lengths[0].in_updates(span, totals_);
      require<ConfigError>(Rational(0) < period, "[schedule] sample(every ",
                           to_text(node.lengths[0]), ") is every 0 updates; ",
                           "leave sample out to read the clock at every update");
      require<ConfigError>(
          period.num() <= kMaxUpdates * 512 && period.den() <= kMaxUpdates * 512,
          "[schedule] the period of sample is too finely divided; write it with fewer digits");
      step.m = static_cast<std::int64_t>(period.num());
      step.n = static_cast<std::int64_t>(period.den());
    }
    operands(step, node, span);
  }

  /// The place of a format in the program.
  std::int64_t format(std::string_view name) {
    program_.formats.push_back(Format::parse(name));
    return std::ssize(program_.formats) - 1;
  }

  void pick(Step& step, const Node& node, std::int64_t span) {
    reals(step, node.numbers);
    std::vector<std::int64_t> formats;
    for (const std::string& word : node.words) formats.push_back(format(word));
    marks(step, formats);
    operands(step, node, span);
  }

  void norm(Step& step, const Node& node, std::int64_t span) {
    operands(step, node, span);
    const std::uint32_t child = program_.links[step.child];
    step.x = program_.value(child, 0, 0).number;
    step.y = program_.value(child, span, totals_.updates).number;
    require<ConfigError>(step.x != step.y && std::isfinite(step.x - step.y),
                         "[schedule] norm needs an operand that ends elsewhere than it starts; ",
                         "this one goes from ", step.x, " to ", step.y);
  }

  void warm(Step& step, const Node& node, std::int64_t span) {
    step.m = updates(node.lengths[0], span);
    step.x = node.numbers[0] >= 0 ? node.numbers[0]
                                  : 1.0 / static_cast<double>(std::max<std::int64_t>(step.m, 1));
    if (step.m > span) {
      warning(concat("the warm-up takes ", step.m, " updates, longer than the ", span,
                     " there are: the full value is never reached"));
    }
    operands(step, node, span);
  }

  void cycles(Step& step, const Node& node, std::int64_t span) {
    const bool floor = node.numbers.back() == static_cast<double>(CycleLength::floor);
    step.n = static_cast<std::int64_t>(node.numbers[0]);
    step.m = span / step.n + (floor ? 0 : 1);
    require<ConfigError>(step.m > 0, "[schedule] ", step.n,
                         " cycles of length floor do not fit in ", span, " updates");
    step.x = node.op == Op::cycle ? node.numbers[2] : 1;
    step.y = node.op == Op::zigzag ? node.numbers[1] + 1 : 0;
    if (node.op == Op::zigzag && step.n % 2 == 1) {
      warning(
          concat("a zigzag of ", step.n,
                 " half-waves, an odd number, ends on a falling half: use an even number to end "
                 "on a rising one"));
    }
    if (floor && span % step.n != 0) {
      warning(concat(step.n, " cycles of ", step.m, " updates leave ", span % step.n, " of ", span,
                     " updates: they begin a stray cycle"));
    } else if (!floor && span / step.n < 100) {
      const std::int64_t begun = (span + step.m - 1) / step.m, missing = begun * step.m - span;
      warning(concat("a cycle of ", step.m, " updates is coarse, fewer than 100; of the ", span,
                     " updates the last cycle, number ", begun, ", is ",
                     missing == 0 ? std::string("whole") : concat("cut short by ", missing)));
    }
    link(step, {bound(*node.children[0], step.m)});
  }

  /// Cycle k begins at ceil(N (mul^k - 1) / (mul^n - 1)).
  void unequal_cycles(Step& step, const Node& node, std::int64_t span) {
    Rational mul;
    require<ConfigError>(parse_rational(to_text(node.numbers[1]), mul) > 0,
                         "[schedule] mul = ", node.numbers[1], " has too many digits");
    const auto n = static_cast<std::int64_t>(node.numbers[0]);
    std::vector<Rational> sums = {
        Rational(0)};  // 1 + mul + ... : how long the first k cycles are, in first cycles
    Rational power(1);
    for (std::int64_t k = 0; k < n; ++k, power = power * mul) sums.push_back(sums.back() + power);
    std::vector<std::int64_t> begins, lengths;
    std::vector<std::uint32_t> parts;
    std::map<std::int64_t, std::uint32_t> bound_before;
    for (std::size_t k = 0; k + 1 < sums.size(); ++k) {
      const std::int64_t begin = (Rational(span) * (sums[k] / sums.back())).ceil();
      begins.push_back(begin);
      lengths.push_back((Rational(span) * (sums[k + 1] / sums.back())).ceil() - begin);
      const std::int64_t child_span = std::max<std::int64_t>(lengths.back(), 1);
      const auto found = bound_before.find(child_span);
      parts.push_back(found != bound_before.end() ? found->second
                                                  : bound(*node.children[0], child_span));
      bound_before.emplace(child_span, parts.back());
    }
    segments(step, begins, lengths, parts, node.numbers[2]);
  }

  const Totals& totals_;
  const Schedule::References& references_;
  const Schedule::Member& member_;
  Program program_;
  std::map<const Node*, std::int64_t> places_;  ///< of controllers
  std::map<std::string, std::uint32_t> bound_references_;
  std::vector<std::string> open_references_;
};

}  // namespace
}  // namespace schedules

Bound Schedule::bind(const Totals& totals) const { return bind(totals, References{}, ""); }

Bound Schedule::bind(const Totals& totals, const References& references,
                     std::string_view group) const {
  return bind(totals, references,
              Member{std::string(group), [group](std::string_view part) { return part == group; }});
}

Bound Schedule::bind(const Totals& totals, const References& references,
                     const Member& member) const {
  require<ConfigError>(totals.updates >= 1 && totals.updates <= schedules::kMaxUpdates,
                       "[schedule] expected 1 to 2^53 updates, got ", totals.updates);
  return Bound(std::make_shared<const schedules::Program>(
      schedules::Binder(totals, references, member).bind(*node_)));
}

}  // namespace ebb
