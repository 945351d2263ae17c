#include "schedules/schedule.h"

#include "core/error.h"
#include "schedules/node.h"

namespace ebb {

bool Schedule::is_whole() const { return node_->whole; }
bool Schedule::is_closed_loop() const { return node_->closed; }

std::vector<std::string> Schedule::group_names() const {
  std::vector<std::string> names;
  const std::function<void(const schedules::Node&)> collect = [&](const schedules::Node& node) {
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      if (node.op == schedules::Op::group && node.words[i] != "*") names.push_back(node.words[i]);
      collect(*node.children[i]);
    }
  };
  collect(*node_);
  return names;
}

bool operator==(const Schedule& a, const Schedule& b) { return *a.node_ == *b.node_; }

namespace schedules {
namespace {

Schedule made(Node node) {
  const std::string problem = problem_of(node);
  require<ConfigError>(problem.empty(), "[schedule] ", problem);
  return Schedule(finished(std::move(node)));
}

std::vector<NodePtr> nodes_of(const std::vector<Schedule>& parts) {
  std::vector<NodePtr> nodes;
  for (const Schedule& part : parts) nodes.push_back(part.node());
  return nodes;
}

Schedule many(Op op, const std::vector<Schedule>& parts) {
  return made({.op = op, .children = nodes_of(parts)});
}

Schedule over(Op op, const Schedule& a, std::vector<double> numbers = {},
              std::vector<Length> lengths = {}) {
  return made({.op = op,
               .numbers = std::move(numbers),
               .lengths = std::move(lengths),
               .children = {a.node()}});
}

}  // namespace

Schedule number(double value) { return made({.op = Op::number, .numbers = {value}}); }
Schedule named(std::string_view name) {
  static_cast<void>(Format::parse(name));
  return made({.op = Op::name, .words = {std::string(name)}});
}
Schedule update() { return made({.op = Op::update}); }
Schedule ref(std::string_view name) { return made({.op = Op::ref, .words = {std::string(name)}}); }

Schedule constant() { return made({.op = Op::constant}); }
Schedule linear() { return made({.op = Op::lin}); }
Schedule cosine() { return made({.op = Op::cos}); }
Schedule rex(double b) { return made({.op = Op::rex, .numbers = {b}}); }
Schedule exponential(double k) { return made({.op = Op::exp, .numbers = {k}}); }
Schedule power(double p) { return made({.op = Op::pow, .numbers = {p}}); }
Schedule one_minus_sqrt() { return made({.op = Op::sqrt1}); }
Schedule smooth(double mid, double p) { return made({.op = Op::smooth, .numbers = {mid, p}}); }
Schedule step(std::vector<Length> marks, double factor) {
  return made({.op = Op::step, .numbers = {factor}, .lengths = std::move(marks)});
}
Schedule table(std::vector<double> values) {
  return made({.op = Op::table, .numbers = std::move(values)});
}

Schedule ramp(double from, double to, const Schedule& profile) {
  return over(Op::ramp, profile, {from, to});
}
Schedule stretch(const Schedule& a, const Length& length, bool closed) {
  return over(Op::stretch, a, {closed ? 1.0 : 0.0}, {length});
}
Schedule join(const std::vector<Schedule>& parts) { return many(Op::join, parts); }
Schedule product(const std::vector<Schedule>& factors) { return many(Op::product, factors); }
Schedule sum(const std::vector<Schedule>& terms) { return many(Op::sum, terms); }
Schedule minimum(const std::vector<Schedule>& of) { return many(Op::min, of); }
Schedule maximum(const std::vector<Schedule>& of) { return many(Op::max, of); }
Schedule affine(const Schedule& a, double p, double q) { return over(Op::affine, a, {p, q}); }
Schedule clamp(double low, double high, const Schedule& a) {
  return over(Op::clamp, a, {low, high});
}
Schedule inv(const Schedule& a) { return over(Op::inv, a); }
Schedule root(const Schedule& a) { return over(Op::sqrt, a); }
Schedule round(const Schedule& a) { return over(Op::round, a); }
Schedule floor(const Schedule& a) { return over(Op::floor, a); }
Schedule pick(std::vector<double> values, const Schedule& a) {
  return over(Op::pick, a, std::move(values));
}
Schedule pick(std::vector<std::string> names, const Schedule& a) {
  for (const std::string& name : names) named(name);
  return made({.op = Op::pick, .words = std::move(names), .children = {a.node()}});
}

Schedule delay(const Length& by, const Schedule& a) { return over(Op::delay, a, {}, {by}); }
Schedule hold_from(const Length& from, const Schedule& a) {
  return over(Op::hold_from, a, {}, {from});
}
Schedule sample_every(const Length& period, const Schedule& a) {
  return over(Op::sample, a, {1}, {period});
}
Schedule sample_at(std::vector<Length> marks, const Schedule& a) {
  return over(Op::sample, a, {0}, std::move(marks));
}
Schedule reversed(const Schedule& a) { return over(Op::rev, a); }
Schedule negated(const Schedule& a) { return over(Op::neg, a); }
Schedule normalised(const Schedule& a) { return over(Op::norm, a); }
Schedule warm(const Length& length, double start, const Schedule& a) {
  require<ConfigError>(start >= 0, "[schedule] warm expects w0 >= 0, got ", start);
  return over(Op::warm, a, {start}, {length});
}
Schedule warm(const Length& length, const Schedule& a) { return over(Op::warm, a, {-1}, {length}); }

Schedule cycle(std::int64_t n, const Schedule& f, CycleLength length) {
  return over(Op::cycle, f, {static_cast<double>(n), 1, 1, static_cast<double>(length)});
}
Schedule restarts(std::int64_t n, double mul, double decay, const Schedule& f) {
  return over(Op::cycle, f, {static_cast<double>(n), mul, decay, 0});
}
Schedule zigzag(std::int64_t n, Mirror mirror, const Schedule& f, CycleLength length) {
  return over(Op::zigzag, f,
              {static_cast<double>(n), static_cast<double>(mirror), static_cast<double>(length)});
}

Schedule controlled(const Controller& controller) {
  Node node{.op = Op::control, .words = {std::string(controller.rule->name)}};
  for (const auto& [name, number] : controller.hyperparameters) node.numbers.push_back(number);
  node.numbers.insert(node.numbers.end(), controller.values.begin(), controller.values.end());
  node.words.insert(node.words.end(), controller.words.begin(), controller.words.end());
  return made(std::move(node));
}
Schedule refined(const Schedule& record) { return over(Op::refine, record); }

Schedule group(const std::vector<std::pair<std::string, Schedule>>& parts) {
  Node node{.op = Op::group};
  for (const auto& [name, schedule] : parts) {
    node.words.push_back(name);
    node.children.push_back(schedule.node());
  }
  return made(std::move(node));
}

}  // namespace schedules
}  // namespace ebb
