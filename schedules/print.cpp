#include "core/text.h"
#include "schedules/node.h"
#include "schedules/schedule.h"

namespace ebb {
namespace schedules {
namespace {

/// How tightly the text of an operator binds; operands that bind less get parentheses.
enum Level { join_level, sum_level, product_level, stretch_level, unary_level };

Level level_of(Op op) {
  switch (op) {
    case Op::join: return join_level;
    case Op::sum: return sum_level;
    case Op::product: return product_level;
    case Op::stretch: return stretch_level;
    default: return unary_level;
  }
}

template <class Items>
std::string listed(const Items& items) {
  std::string text;
  for (const auto& item : items) text += concat(text.empty() ? "" : ", ", to_text(item));
  return text;
}

class Printer {
 public:
  void print(const Node& node, Level least) {
    const bool parentheses = level_of(node.op) < least;
    if (parentheses) text_ += '(';
    bare(node);
    if (parentheses) text_ += ')';
  }
  std::string take() { return std::move(text_); }

 private:
  void bare(const Node& node) {
    const OpInfo& info = info_of(node.op);
    switch (node.op) {
      case Op::number: text_ += to_text(node.numbers[0]); return;
      case Op::name: text_ += node.words[0]; return;
      case Op::ref: text_ += concat("ref(", node.words[0], ")"); return;
      case Op::group: group(node); return;
      case Op::control: text_ += controller(node); return;
      case Op::step:
        text_ += concat("step(", listed(node.lengths), ", ", node.numbers[0], ")");
        return;
      case Op::table: text_ += concat("table(", listed(node.numbers), ")"); return;
      case Op::ramp:
        text_ += concat(node.numbers[0], "->", node.numbers[1], " : ");
        return print(*node.children[0], unary_level);
      case Op::stretch:
        print(*node.children[0], unary_level);
        text_ += concat(" @", to_text(node.lengths[0]), node.numbers[0] != 0 ? " closed" : "");
        return;
      case Op::join: return operands(node, " ; ", stretch_level);
      case Op::sum: return operands(node, " + ", product_level);
      case Op::product: return operands(node, " * ", stretch_level);
      case Op::pick:
        text_ += concat("pick{", listed(node.numbers), listed(node.words), "} ");
        return print(*node.children[0], unary_level);
      case Op::sample:
        text_ +=
            concat("sample(", node.numbers[0] != 0 ? "every " : "at ", listed(node.lengths), ") ");
        return print(*node.children[0], unary_level);
      default: break;
    }
    text_ += info.word;
    if (info.form == Form::leaf || (info.form == Form::prefix && !info.params.empty())) {
      const std::string arguments = listed(arguments_of(info, node));
      if (!arguments.empty()) text_ += concat("(", arguments, ")");
      if (info.form == Form::leaf) return;
      text_ += ' ';
      return print(*node.children[0], unary_level);
    }
    text_ += '(';
    operands(node, ", ", join_level);
    for (const std::string& argument : arguments_of(info, node)) text_ += concat(", ", argument);
    text_ += ')';
  }

  void operands(const Node& node, std::string_view separator, Level least) {
    bool first = true;
    for (const NodePtr& child : node.children) {
      if (!first) text_ += separator;
      first = false;
      print(*child, least);
    }
  }

  void group(const Node& node) {
    text_ += "group{";
    for (std::size_t i = 0; i < node.words.size(); ++i) {
      text_ += concat(i == 0 ? "" : ", ", node.words[i], ": ");
      print(*node.children[i], join_level);
    }
    text_ += '}';
  }

  /// What must be given, the list and a lone word by position; by name what differs from its
  /// default.
  static std::string controller(const Node& node) {
    const ControllerRule& rule = *find_controller_rule(node.words[0]);
    std::vector<std::string> arguments;
    for (std::size_t i = 0; i < node.numbers.size(); ++i) {
      const bool listed_value = i >= rule.hyperparameters.size();
      if (listed_value || i < rule.required)
        arguments.push_back(to_text(node.numbers[i]));
      else if (node.numbers[i] != rule.hyperparameters[i].default_value)
        arguments.push_back(concat(rule.hyperparameters[i].name, "=", node.numbers[i]));
    }
    for (std::size_t i = 0; i < rule.words.size(); ++i) {
      const std::string& word = node.words[i + 1];
      if (rule.hyperparameters.empty())
        arguments.push_back(word);
      else if (word != rule.words[i].default_value)
        arguments.push_back(concat(rule.words[i].name, "=", word));
    }
    return concat(rule.name, "(", listed(arguments), ")");
  }

  /// By position those that are printed always, by name those that differ from their default. A
  /// lone default is left out (rex).
  static std::vector<std::string> arguments_of(const OpInfo& info, const Node& node) {
    std::vector<std::string> arguments;
    std::size_t number = 0, length = 0;
    for (const Param& param : info.params) {
      if (param.kind == Param::Kind::length) {
        arguments.push_back(to_text(node.lengths[length++]));
        continue;
      }
      const double x = node.numbers[number++];
      if (x == param.default_value && (param.named || info.op == Op::rex)) continue;
      const std::string value = param.kind == Param::Kind::choice
                                    ? std::string(param.choices[static_cast<std::size_t>(x)])
                                    : to_text(x);
      arguments.push_back(param.named ? concat(param.name, "=", value) : value);
    }
    return arguments;
  }

  std::string text_;
};

}  // namespace
}  // namespace schedules

std::string Schedule::text() const {
  schedules::Printer printer;
  printer.print(*node_, schedules::join_level);
  return printer.take();
}

}  // namespace ebb
