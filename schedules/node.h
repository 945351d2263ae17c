#pragma once

// The expression tree behind Schedule, and the one table that the parser, the printer and the
// checks read.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schedules/controller.h"
#include "schedules/length.h"

namespace ebb::schedules {

enum class Op : std::uint8_t {
  number,
  name,
  update,
  ref,
  group,
  control,  // leaves and choices
  constant,
  lin,
  cos,
  rex,
  exp,
  pow,
  sqrt1,
  smooth,
  step,
  table,  // profiles
  ramp,
  stretch,
  join,
  product,
  sum,
  min,
  max,
  affine,
  clamp,  // operators
  inv,
  sqrt,
  round,
  floor,
  pick,
  delay,
  hold_from,
  sample,
  rev,
  neg,
  norm,
  warm,
  refine,
  cycle,
  zigzag,  // of the clock and of the span
};

/// One operator with its arguments. Which of them it has is in its OpInfo; numbers hold counts and
/// choices (as their index) too.
struct Node {
  Op op = Op::number;
  std::vector<double> numbers = {};
  std::vector<Length> lengths = {};
  std::vector<std::string> words = {};
  std::vector<std::shared_ptr<const Node>> children = {};
  std::int32_t depth = 1, size = 1;  ///< of the tree, for the limits
  bool may_name = false;             ///< can yield a name instead of a number
  bool closed = false;               ///< has a controller
  bool whole = false;                ///< yields whole numbers or names only

  bool operator==(const Node& other) const;
};
using NodePtr = std::shared_ptr<const Node>;

/// Text nests and grows at will; these keep hostile text from exhausting the stack and the memory.
inline constexpr std::int32_t kMaxDepth = 64, kMaxNodes = 4096;
inline constexpr std::size_t kMaxPicks = 1024;

/// An argument between parentheses.
struct Param {
  enum class Kind : std::uint8_t { number, count, choice, length };
  std::string_view name;
  Kind kind = Kind::number;
  double low = 0, high = 0;  ///< admissible numbers; the ends are excluded where open says so
  bool open_low = false, open_high = false;
  bool optional = false;  ///< may be left out; `default_value` then stands for it
  double default_value = 0;
  bool named = false;  ///< printed as name=value, and only if it is not the default_value
  std::span<const std::string_view> choices = {};
};

/// How an operator is written: a word, a word before its operand, or a word with operands in
/// parentheses. `special` has its own rules.
enum class Form : std::uint8_t { special, leaf, prefix, function };
struct OpInfo {
  Op op = Op::number;
  std::string_view word;
  Form form = Form::special;
  std::span<const Param> params = {};
};

const OpInfo& info_of(Op op);
/// The operator of a word, or nullptr.
const OpInfo* find_op(std::string_view word);
/// Every word that can begin an operand, for "did you mean".
std::vector<std::string> known_words();
/// True for the controller whose name is kept free until the optimizer can take part in it.
bool is_reserved(std::string_view word);
/// The rule of a controller's name, or nullptr.
const ControllerRule* find_controller_rule(std::string_view word);
/// The controller that a node of Op::control stands for, as it begins. Its words are the rule's
/// name and the rule's words, its numbers the hyperparameters, then the list of values.
/// @throws ConfigError for arguments that the rule refuses
Controller controller_of(const Node& node);
/// True for [A-Za-z_][A-Za-z0-9_.]*.
bool is_identifier(std::string_view text);

/// What is wrong with the arguments of a node, or "".
std::string problem_of(const Node& node);
/// Fills in the summary fields. Call it on a node without problem.
NodePtr finished(Node node);

}  // namespace ebb::schedules
