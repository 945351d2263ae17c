#include "schedules/node.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/text.h"
#include "quant/formats/names.h"
#include "schedules/value.h"

namespace ebb::schedules {
namespace {

using Kind = Param::Kind;
constexpr double kAny = std::numeric_limits<double>::max();
constexpr std::string_view kCycleLengths[] = {"floor+1", "floor"};
constexpr std::string_view kMirrors[] = {"V", "H"};
constexpr double kMaxCycles = 1e9;

constexpr Param kRex[] = {
    {.name = "b", .low = 0, .high = 1, .open_high = true, .optional = true, .default_value = 0.5}};
constexpr Param kExp[] = {
    {.name = "k", .low = -100, .high = 100, .optional = true, .default_value = 3}};
constexpr Param kPow[] = {{.name = "p", .low = 0, .high = 100, .open_low = true}};
constexpr Param kSmooth[] = {
    {.name = "mid", .low = 0, .high = 1, .open_low = true, .optional = true, .default_value = 0.25},
    {.name = "p", .low = 1, .high = 100, .optional = true, .default_value = 4}};
constexpr Param kAffine[] = {{.name = "p", .low = -kAny, .high = kAny},
                             {.name = "q", .low = -kAny, .high = kAny}};
constexpr Param kClamp[] = {{.name = "lo", .low = -kAny, .high = kAny},
                            {.name = "hi", .low = -kAny, .high = kAny}};
constexpr Param kLength[] = {{.name = "length", .kind = Kind::length}};
constexpr Param kWarm[] = {
    {.name = "length", .kind = Kind::length},
    {.name = "w0", .low = 0, .high = kAny, .optional = true, .default_value = -1, .named = true}};
constexpr Param kCycle[] = {
    {.name = "n", .kind = Kind::count, .low = 1, .high = kMaxCycles},
    {.name = "mul",
     .low = 0,
     .high = 1000,
     .open_low = true,
     .optional = true,
     .default_value = 1,
     .named = true},
    {.name = "decay", .low = 0, .high = 1000, .optional = true, .default_value = 1, .named = true},
    {.name = "len",
     .kind = Kind::choice,
     .high = 1,
     .optional = true,
     .named = true,
     .choices = kCycleLengths}};
constexpr Param kZigzag[] = {
    {.name = "n", .kind = Kind::count, .low = 1, .high = kMaxCycles},
    {.name = "mirror", .kind = Kind::choice, .high = 1, .optional = true, .choices = kMirrors},
    {.name = "len",
     .kind = Kind::choice,
     .high = 1,
     .optional = true,
     .named = true,
     .choices = kCycleLengths}};

constexpr OpInfo kOps[] = {{Op::number, "a number"},
                           {Op::name, "a name"},
                           {Op::update, "update", Form::leaf},
                           {Op::ref, "ref"},
                           {Op::group, "group"},
                           {Op::control, "a controller"},
                           {Op::constant, "const", Form::leaf},
                           {Op::lin, "lin", Form::leaf},
                           {Op::cos, "cos", Form::leaf},
                           {Op::rex, "rex", Form::leaf, kRex},
                           {Op::exp, "exp", Form::leaf, kExp},
                           {Op::pow, "pow", Form::leaf, kPow},
                           {Op::sqrt1, "sqrt1", Form::leaf},
                           {Op::smooth, "smooth", Form::leaf, kSmooth},
                           {Op::step, "step"},
                           {Op::table, "table"},
                           {Op::ramp, "->"},
                           {Op::stretch, "@"},
                           {Op::join, ";"},
                           {Op::product, "*"},
                           {Op::sum, "+"},
                           {Op::min, "min", Form::function},
                           {Op::max, "max", Form::function},
                           {Op::affine, "affine", Form::function, kAffine},
                           {Op::clamp, "clamp", Form::prefix, kClamp},
                           {Op::inv, "inv", Form::prefix},
                           {Op::sqrt, "sqrt", Form::prefix},
                           {Op::round, "round", Form::prefix},
                           {Op::floor, "floor", Form::prefix},
                           {Op::pick, "pick"},
                           {Op::delay, "delay", Form::prefix, kLength},
                           {Op::hold_from, "hold_from", Form::prefix, kLength},
                           {Op::sample, "sample"},
                           {Op::rev, "rev", Form::prefix},
                           {Op::neg, "neg", Form::prefix},
                           {Op::norm, "norm", Form::prefix},
                           {Op::warm, "warm", Form::prefix, kWarm},
                           {Op::refine, "refine", Form::prefix},
                           {Op::cycle, "cycle", Form::prefix, kCycle},
                           {Op::zigzag, "zigzag", Form::prefix, kZigzag}};

constexpr bool in_order_of_op() {
  for (std::size_t i = 0; i < std::size(kOps); ++i) {
    if (kOps[i].op != static_cast<Op>(i)) return false;
  }
  return true;
}
static_assert(in_order_of_op() && std::size(kOps) == static_cast<std::size_t>(Op::zigzag) + 1,
              "info_of looks operators up by their index");

constexpr std::string_view kReserved = "lossscale";

constexpr bool is_word(const OpInfo& info) {
  return info.word[0] >= 'a' && info.word.find(' ') == std::string_view::npos;
}

std::string number_problem(const OpInfo& info, const Param& param, double x) {
  const bool below = param.open_low ? !(x > param.low) : !(x >= param.low);
  const bool above = param.open_high ? !(x < param.high) : !(x <= param.high);
  if (param.kind == Kind::count && x != std::floor(x))
    return concat(info.word, " expects a whole ", param.name, ", got ", x);
  if (!below && !above) return "";
  if (param.kind == Kind::count) {
    return concat(info.word, " expects ", param.name, " from ", param.low, " to ", param.high,
                  ", got ", x);
  }
  const std::string low =
      param.low == -kAny ? "" : concat(param.open_low ? " > " : " >= ", param.low);
  const std::string high =
      param.high == kAny ? "" : concat(param.open_high ? " < " : " <= ", param.high);
  return concat(info.word, " expects ", param.name, low, low.empty() || high.empty() ? "" : " and",
                high, ", got ", x);
}

/// Operators whose operand may be a name: they only move the clock.
bool passes_names(const Node& node) {
  switch (node.op) {
    case Op::stretch:
    case Op::join:
    case Op::group:
    case Op::delay:
    case Op::hold_from:
    case Op::sample:
    case Op::rev: return true;
    case Op::cycle: return node.numbers[2] == 1;
    default: return false;
  }
}

bool whole_numbers(const std::vector<double>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](double x) { return x == std::floor(x); });
}

std::string list_problem(const Node& node) {
  switch (node.op) {
    case Op::product:
    case Op::sum:
    case Op::min:
    case Op::max:
      return node.children.size() < 2
                 ? concat("'", info_of(node.op).word, "' expects at least two operands")
                 : "";
    case Op::step:
      return node.lengths.empty() ? "step expects at least one length, as in step(50%,75%,0.1)"
                                  : "";
    case Op::control:
      try {
        const Controller controller = controller_of(node);
        return controller.rule->list && controller.values.empty()
                   ? concat(node.words[0], " expects at least one value")
                   : "";
      } catch (const ConfigError& error) {
        return error.what();
      }
    case Op::refine:
      return node.children[0]->op == Op::control && node.children[0]->words[0] == "record"
                 ? ""
                 : "refine expects what it is made of, as in refine(record(gnorm2))";
    case Op::table: return node.numbers.empty() ? "table expects at least one number" : "";
    case Op::pick:  // it looks at every value, at every update
      if (node.numbers.empty() && node.words.empty()) return "pick expects at least one value";
      return node.numbers.size() + node.words.size() > kMaxPicks
                 ? concat("pick expects at most ", kMaxPicks, " values")
                 : "";
    case Op::clamp:
      return node.numbers[0] <= node.numbers[1] ? ""
                                                : concat("clamp expects lo <= hi, got ",
                                                         node.numbers[0], " and ", node.numbers[1]);
    case Op::cycle:
      if (node.numbers[1] != 1 && node.numbers[3] != 0)
        return "cycle lengths grow by mul, so len= has no meaning with it; leave one out";
      return node.numbers[1] != 1 && node.numbers[0] > 1024
                 ? "cycle with mul expects n from 1 to 1024"
                 : "";
    case Op::join: {
      const auto rests =
          std::count_if(node.children.begin(), node.children.end(), [](const NodePtr& part) {
            return part->op == Op::stretch && part->lengths[0].unit == Length::Unit::rest;
          });
      const bool all = std::all_of(node.children.begin(), node.children.end(),
                                   [](const NodePtr& part) { return part->op == Op::stretch; });
      if (node.children.size() < 2) return "a join expects at least two parts";
      if (!all)
        return "each part of a join needs a length of its own, as in '1 @10% ; 2 @rest'; put a "
               "product or a sum in parentheses";
      return rests > 1 ? "only one part of a join can be '@rest'" : "";
    }
    case Op::ref:
      return is_identifier(node.words[0])
                 ? ""
                 : concat("ref expects a name of letters, digits, _ and ., got '", node.words[0],
                          "'");
    case Op::group: {
      if (node.words.empty())
        return "group expects at least one part, as in group{first: fp32, *: 4}";
      for (const std::string& word : node.words) {
        if (word != "*" && !is_identifier(word))
          return concat("group expects names of letters, digits, _ and ., or *, got '", word, "'");
      }
      std::vector<std::string> names = node.words;
      std::sort(names.begin(), names.end());
      const auto twice = std::adjacent_find(names.begin(), names.end());
      return twice == names.end() ? "" : concat("group lists '", *twice, "' twice");
    }
    default: return "";
  }
}

}  // namespace

bool Node::operator==(const Node& other) const {
  if (this == &other) return true;
  return op == other.op && numbers == other.numbers && lengths == other.lengths &&
         words == other.words &&
         std::equal(children.begin(), children.end(), other.children.begin(), other.children.end(),
                    [](const NodePtr& a, const NodePtr& b) { return *a == *b; });
}

const OpInfo& info_of(Op op) { return kOps[static_cast<std::size_t>(op)]; }

const OpInfo* find_op(std::string_view word) {
  const auto found = std::find_if(std::begin(kOps), std::end(kOps), [&](const OpInfo& info) {
    return is_word(info) && info.word == word;
  });
  return found == std::end(kOps) ? nullptr : found;
}

std::vector<std::string> known_words() {
  std::vector<std::string> words;
  for (const OpInfo& info : kOps) {
    if (is_word(info)) words.emplace_back(info.word);
  }
  for (const ControllerRule* const rule : controller_rules()) words.emplace_back(rule->name);
  for (std::string& names : known_formats()) words.push_back(std::move(names));
  return words;
}

bool is_reserved(std::string_view word) { return word == kReserved; }

const ControllerRule* find_controller_rule(std::string_view word) {
  for (const ControllerRule* const rule : controller_rules()) {
    if (rule->name == word) return rule;
  }
  return nullptr;
}

Controller controller_of(const Node& node) {
  const ControllerRule& rule = *find_controller_rule(node.words[0]);
  NamedNumbers given;
  for (std::size_t i = 0; i < rule.hyperparameters.size(); ++i)
    given.emplace_back(rule.hyperparameters[i].name, node.numbers[i]);
  return Controller(rule, given, {node.words.begin() + 1, node.words.end()},
                    {node.numbers.begin() + std::ssize(rule.hyperparameters), node.numbers.end()});
}

bool is_identifier(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !text.empty() && letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '.';
  });
}

std::string problem_of(const Node& node) {
  const OpInfo& info = info_of(node.op);
  std::size_t number = 0;
  for (const Param& param : info.params) {
    if (param.kind == Kind::length) continue;
    const double x = node.numbers[number++];
    if (param.optional && x == param.default_value) continue;
    if (std::string problem = number_problem(info, param, x); !problem.empty()) return problem;
  }
  if (!std::all_of(node.numbers.begin(), node.numbers.end(),
                   [](double x) { return std::isfinite(x); }))
    return concat(info.word, " expects finite numbers");
  if (node.op != Op::stretch) {
    for (const Length& length : node.lengths) {
      if (length.unit == Length::Unit::rest)
        return concat("'rest' is the length of a part behind '@'; ", info.word,
                      " needs a length with a unit");
    }
  }
  for (const Length& length : node.lengths) {
    if (length.count < Rational(0))
      return concat(info.word, " expects lengths >= 0, got ", to_text(length));
  }
  if (std::string problem = list_problem(node); !problem.empty()) return problem;
  std::int64_t size = 1;
  std::int32_t depth = 0;
  for (const NodePtr& child : node.children) {
    if (child->may_name && !passes_names(node))
      return concat("'", info.word, "' needs numbers, but its operand can be a name such as fp32");
    size += child->size;
    depth = std::max(depth, child->depth);
  }
  if (size > kMaxNodes) return concat("the expression has more than ", kMaxNodes, " operators");
  return depth >= kMaxDepth
             ? concat("the expression is nested more than ", kMaxDepth, " levels deep")
             : "";
}

NodePtr finished(Node node) {
  bool may_name = node.op == Op::name || (node.op == Op::pick && !node.words.empty());
  bool whole = !node.children.empty();
  node.depth = node.size = 1;
  node.closed = node.op == Op::control;
  for (const NodePtr& child : node.children) {
    node.size += child->size;
    node.depth = std::max(node.depth, child->depth + 1);
    may_name = may_name || child->may_name;
    node.closed = node.closed || child->closed;
    whole = whole && child->whole;
  }
  switch (node.op) {
    case Op::number:
    case Op::table:
    case Op::pick: whole = whole_numbers(node.numbers); break;
    case Op::control: whole = false; break;
    case Op::clamp:
    case Op::affine: whole = whole && whole_numbers(node.numbers); break;
    case Op::name:
    case Op::update:
    case Op::constant:
    case Op::round:
    case Op::floor: whole = true; break;
    case Op::product:
    case Op::sum:
    case Op::min:
    case Op::max:
    case Op::neg: break;
    default: whole = whole && passes_names(node); break;
  }
  node.may_name = may_name;
  node.whole = whole;
  return std::make_shared<const Node>(std::move(node));
}

}  // namespace ebb::schedules
