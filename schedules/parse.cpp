#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/mark.h"
#include "core/read_number.h"
#include "quant/formats/names.h"
#include "schedules/node.h"
#include "schedules/schedule.h"

namespace ebb {
namespace schedules {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// Recursive descent over the grammar of SCHEDULES.md; each function reads the rule of its name.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  NodePtr whole_text() {
    NodePtr node = join();
    if (!at_end()) fail(at_, concat("expected '@', '*', '+', ';' or the end, got ", here()));
    return node;
  }

 private:
  NodePtr join() {
    const std::size_t start = skip_space();
    Node node{.op = Op::join, .children = {sum()}};
    while (accept(";")) node.children.push_back(sum());
    return node.children.size() == 1 ? node.children[0] : checked(std::move(node), start);
  }

  NodePtr sum() {
    const std::size_t start = skip_space();
    Node node{.op = Op::sum, .children = {product()}};
    while (accept("+")) node.children.push_back(product());
    return node.children.size() == 1 ? node.children[0] : checked(std::move(node), start);
  }

  NodePtr product() {
    const std::size_t start = skip_space();
    Node node{.op = Op::product, .children = {stretched()}};
    while (accept("*")) node.children.push_back(stretched());
    return node.children.size() == 1 ? node.children[0] : checked(std::move(node), start);
  }

  NodePtr stretched() {
    const std::size_t start = skip_space();
    NodePtr operand = unary();
    if (!accept("@")) return operand;
    Node node{.op = Op::stretch, .lengths = {length()}, .children = {std::move(operand)}};
    node.numbers = {accept_word("closed") ? 1.0 : 0.0};
    return checked(std::move(node), start);
  }

  NodePtr unary() {
    const std::size_t start = skip_space();
    // A printed tree of kMaxDepth needs at most two calls a level: round(x) is a word and a
    // parenthesis.
    if (++depth_ > 2 * kMaxDepth + 2)
      fail(start, concat("the expression is nested more than ", kMaxDepth, " levels deep"));
    NodePtr node = operand(start);
    --depth_;
    return node;
  }

  NodePtr operand(std::size_t start) {
    if (accept("(")) {
      NodePtr inner = join();
      expect(")");
      return inner;
    }
    if (begins_number()) return number_or_ramp(start);
    if (std::string name = format_name(); !name.empty())
      return checked({.op = Op::name, .words = {std::move(name)}}, start);
    const std::string_view word = identifier();
    if (word.empty())
      fail(start, concat("expected a number, a profile or an operator, got ", here()));
    if (is_reserved(word)) {
      fail(start, concat("'", word,
                         "' is a closed-loop controller: it needs metrics of the running training "
                         "and is not available yet"));
    }
    if (const ControllerRule* const rule = find_controller_rule(word); rule != nullptr)
      return checked(controller(*rule), start);
    const OpInfo* info = find_op(word);
    if (info == nullptr) {
      at_ = start;
      fail(start, unknown_word("word", word, known_words()));
    }
    return checked(operator_of(*info), start);
  }

  NodePtr number_or_ramp(std::size_t start) {
    Node node{.op = Op::number, .numbers = {number()}};
    const bool to = accept("->");
    if (to || accept(":")) {  // "a : f" is "a->0 : f", as a bare profile f is "1->0 : f"
      node.op = Op::ramp;
      node.numbers.push_back(to ? number() : 0.0);
      if (to) expect(":");
      node.children = {unary()};
    }
    return checked(std::move(node), start);
  }

  Node operator_of(const OpInfo& info) {
    Node node{.op = info.op};
    switch (info.op) {
      case Op::ref: {
        expect("(");
        node.words = {std::string(identifier())};
        expect(")");
        return node;
      }
      case Op::group: group_parts(node); return node;
      case Op::step: step_marks(node); return node;
      case Op::table: {
        expect("(");
        do node.numbers.push_back(number());
        while (accept(","));
        expect(")");
        return node;
      }
      case Op::pick: pick_list(node); break;
      case Op::sample: sample_marks(node); break;
      default: {
        if (info.form == Form::function) {
          expect("(");
          node.children = {join()};
          while (info.params.empty() && accept(",")) node.children.push_back(join());
          if (!info.params.empty()) {
            expect(",");
            arguments(info, node);
          }
          expect(")");
          return node;
        }
        const bool optional = !info.params.empty() && info.params[0].optional;
        if (!info.params.empty() && (!optional || peek("("))) {
          expect("(");
          arguments(info, node);
          expect(")");
        } else {
          for (const Param& param : info.params) node.numbers.push_back(param.default_value);
        }
        if (info.form == Form::leaf) return node;
      }
    }
    node.children = {unary()};
    return node;
  }

  void group_parts(Node& node) {
    expect("{");
    do {
      node.words.emplace_back(accept("*") ? "*" : identifier());
      expect(":");
      node.children.push_back(join());
    } while (accept(","));
    expect("}");
  }

  void step_marks(Node& node) {
    expect("(");
    node.numbers = {0.1};
    do {
      const std::size_t start = skip_space();
      Rational count;
      const std::size_t digits = parse_rational(text_.substr(at_), count);
      const bool has_unit = digits > 0 && at_ + digits < text_.size() &&
                            (text_[at_ + digits] == '%' || is_letter(text_[at_ + digits]));
      if (has_unit) {
        node.lengths.push_back(length());
        continue;
      }
      if (!begins_number())
        fail(start, concat("expected a length with a unit or the factor, got ", here()));
      node.numbers = {number()};
      break;
    } while (accept(",") || accept(";"));
    expect(")");
  }

  void sample_marks(Node& node) {
    expect("(");
    const bool every = accept_word("every");
    if (!every && !accept_word("at"))
      fail(skip_space(), concat("expected 'every LENGTH' or 'at LENGTH, ...', got ", here()));
    node.numbers = {every ? 1.0 : 0.0};
    do node.lengths.push_back(length());
    while (!every && accept(","));
    expect(")");
  }

  void pick_list(Node& node) {
    expect("{");
    do {
      const std::size_t start = skip_space();
      if (begins_number() && node.words.empty()) {
        node.numbers.push_back(number());
      } else if (std::string name = format_name(); !name.empty() && node.numbers.empty()) {
        node.words.push_back(std::move(name));
      } else {
        at_ = start;
        fail(start, concat("pick expects numbers only or names such as fp32 only, got ", here()));
      }
    } while (accept(","));
    expect("}");
  }

  /// The arguments of a table-driven operator: by position, then by name.
  void arguments(const OpInfo& info, Node& node) {
    std::vector<std::optional<double>> numbers(info.params.size());
    std::vector<std::optional<Length>> lengths(info.params.size());
    std::size_t next = 0;
    do {
      const std::size_t start = skip_space();
      const std::size_t index = named_argument(info).value_or(next);
      if (index >= info.params.size())
        fail(start, concat(info.word, " takes no further argument here"));
      if (numbers[index] || lengths[index])
        fail(start, concat(info.word, " is given ", info.params[index].name, " twice"));
      const Param& param = info.params[index];
      switch (param.kind) {
        case Param::Kind::length: lengths[index] = length(); break;
        case Param::Kind::choice: numbers[index] = choice(param); break;
        default: numbers[index] = number();
      }
      // The stand-in for "not given" may lie outside what can be given: warm's w0 = 1/W.
      if (param.optional && numbers[index] && *numbers[index] < param.low) {
        fail(start, concat(info.word, " expects ", param.name, " >= ", param.low));
      }
      next = index + 1;
    } while (accept(","));
    for (std::size_t i = 0; i < info.params.size(); ++i) {
      const Param& param = info.params[i];
      if (!param.optional && !numbers[i] && !lengths[i])
        fail(skip_space(), concat(info.word, " needs the argument ", param.name));
      if (param.kind == Param::Kind::length) {
        node.lengths.push_back(*lengths[i]);
      } else {
        node.numbers.push_back(numbers[i].value_or(param.default_value));
      }
    }
  }

  std::optional<std::size_t> named_argument(const OpInfo& info) {
    std::vector<std::string> names;
    for (const Param& param : info.params) names.emplace_back(param.name);
    return named_argument(info.word, names);
  }

  /// Reads "name =" if it stands here.
  std::optional<std::size_t> named_argument(std::string_view of,
                                            const std::vector<std::string>& names) {
    const std::size_t start = skip_space();
    const std::string_view word = identifier();
    if (word.empty() || !accept("=")) {
      at_ = start;
      return std::nullopt;
    }
    const auto found = std::find(names.begin(), names.end(), word);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    fail(start, concat(unknown_word("argument", word, names), " (of ", of, ")"));
  }

  /// The arguments of a controller: numbers by position, then its words; any by name.
  Node controller(const ControllerRule& rule) {
    const std::size_t numbers = rule.hyperparameters.size();
    std::vector<std::string> names;
    for (const Hyperparameter& row : rule.hyperparameters) names.emplace_back(row.name);
    for (const ControllerWord& row : rule.words) names.emplace_back(row.name);
    std::vector<bool> given(names.size(), false);
    Node node{.op = Op::control, .words = {std::string(rule.name)}};
    for (const Hyperparameter& row : rule.hyperparameters)
      node.numbers.push_back(row.default_value);
    for (const ControllerWord& row : rule.words) node.words.emplace_back(row.default_value);
    std::size_t next_number = 0, next_word = numbers;
    const bool any = accept("(");
    while (any) {
      const std::size_t start = skip_space();
      const std::optional<std::size_t> named = named_argument(rule.name, names);
      const bool number_here = named ? *named < numbers : begins_number();
      if (rule.list && !named && number_here) {
        node.numbers.push_back(number());
      } else {
        const std::size_t index = named ? *named : number_here ? next_number : next_word;
        if (index >= (number_here ? numbers : names.size()))
          fail(start, concat(rule.name, " takes no further argument here"));
        if (given[index]) fail(start, concat(rule.name, " is given ", names[index], " twice"));
        given[index] = true;
        (number_here ? next_number : next_word) = index + 1;
        if (number_here)
          node.numbers[index] = number();
        else
          node.words[1 + index - numbers] = identifier();
      }
      if (!accept(",")) break;
    }
    if (any) expect(")");
    for (std::size_t i = 0; i < rule.required; ++i) {
      if (!given[i]) fail(skip_space(), concat(rule.name, " needs the argument ", names[i]));
    }
    return node;
  }

  double choice(const Param& param) {
    const std::size_t start = skip_space();
    std::size_t end = at_;
    while (end < text_.size() &&
           (is_letter(text_[end]) || is_digit(text_[end]) || text_[end] == '+'))
      ++end;
    const std::string_view word = text_.substr(at_, end - at_);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < param.choices.size(); ++i) {
      if (param.choices[i] == word) {
        at_ = end;
        return static_cast<double>(i);
      }
      names.emplace_back(param.choices[i]);
    }
    fail(start, unknown_word(param.name, word, names));
  }

  Length length() {
    const std::size_t start = skip_space();
    if (accept_word("rest")) return Length::rest();
    Length read;
    const std::size_t digits = parse_rational(text_.substr(at_), read.count);
    if (digits == 0)
      fail(start, concat("expected a length such as 120up, 3ep, 4e4sp, 5e6tok, 20% or rest, got ",
                         here()));
    at_ += digits;
    std::size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    if (end == at_ && end < text_.size() && text_[end] == '%') ++end;
    for (const UnitName& name : kUnitNames) {
      if (name.suffix != text_.substr(at_, end - at_)) continue;
      read.unit = name.unit;
      at_ = end;
      return read;
    }
    fail(at_,
         "a length carries one of the units up (updates), ep (epochs), sp (samples), tok (tokens) "
         "and %");
  }

  bool begins_number() {
    skip_space();
    const std::size_t digit = at_ < text_.size() && text_[at_] == '-' ? at_ + 1 : at_;
    return digit < text_.size() &&
           (is_digit(text_[digit]) ||
            (text_[digit] == '.' && digit + 1 < text_.size() && is_digit(text_[digit + 1])));
  }

  double number() {
    const std::size_t start = skip_space();
    if (!begins_number()) fail(start, concat("expected a number, got ", here()));
    const double first = decimal();
    if (at_ >= text_.size() || text_[at_] != '/') return first;
    ++at_;
    if (at_ >= text_.size() || !is_digit(text_[at_]))
      fail(at_, "expected the denominator of a quotient such as 1/4000");
    const double quotient = first / decimal();
    if (!std::isfinite(quotient)) fail(start, "a quotient must be finite");
    return quotient;
  }

  double decimal() {
    double value = 0;
    const auto [end, code] = read_real(text_.substr(at_), value);
    if (code != std::errc{}) fail(at_, "the number is beyond the range of double");
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  /// The format that stands here, as it is written but for blanks, or nothing.
  std::string format_name() {
    const std::size_t start = skip_space();
    const FormatText read = read_format(text_.substr(start));
    if (read.length == 0) return {};
    if (!read.problem.empty()) fail(start + read.place, read.problem);
    at_ += read.length;
    std::string name(text_.substr(start, read.length));
    std::erase(name, ' ');
    return name;
  }

  /// [A-Za-z_][A-Za-z0-9_.]*, or nothing.
  std::string_view identifier() {
    const std::size_t start = skip_space();
    if (start < text_.size() && is_letter(text_[start])) {
      while (at_ < text_.size() &&
             (is_letter(text_[at_]) || is_digit(text_[at_]) || text_[at_] == '.'))
        ++at_;
    }
    return text_.substr(start, at_ - start);
  }

  NodePtr checked(Node node, std::size_t start) {
    if (const std::string problem = problem_of(node); !problem.empty()) fail(start, problem);
    return finished(std::move(node));
  }

  std::size_t skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
    return at_;
  }
  bool at_end() { return skip_space() == text_.size(); }
  bool peek(std::string_view token) { return text_.substr(skip_space(), token.size()) == token; }
  bool accept(std::string_view token) {
    const bool found = peek(token);
    if (found) at_ += token.size();
    return found;
  }
  bool accept_word(std::string_view word) {
    const std::size_t start = skip_space();
    if (identifier() == word) return true;
    at_ = start;
    return false;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail(skip_space(), concat("expected '", token, "', got ", here()));
  }
  std::string here() {
    if (at_end()) return "the end";
    return printable(text_[at_]) ? concat("'", text_[at_], "'")
                                 : "a character that is not plain text";
  }
  static bool printable(char c) { return c >= ' ' && c <= '~'; }

  [[noreturn]] void fail(std::size_t place, const std::string& problem) const {
    throw ConfigError(concat("[schedule] ", problem, marked_text(text_, place)));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace
}  // namespace schedules

Schedule Schedule::parse(std::string_view text) {
  return Schedule(schedules::Parser(text).whole_text());
}

}  // namespace ebb
