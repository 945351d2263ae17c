#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"

namespace ebb::train {

struct Options;

/// Why an option has no effect with the others: "with --optimizer adam, only with --optimizer sgd".
/// Empty if it has one.
using Conflict = std::string (*)(const Options& options);

/// An option of a program, and its value. Those of every program and those of one family of models
/// are declared alike, once, and then served by the command line, --help, validation, the record,
/// --resume and --evaluate.
struct OptionSpec {
  enum class Kind : std::uint8_t { integer, real, text, flag };

  /// What an option is for; decides what it may do when the checkpoint of a run is scored.
  enum class Use : std::uint8_t {
    network,     ///< makes the network and what it is scored on, and so is as in the run
    training,    ///< has no effect then
    evaluation,  ///< each evaluation has its own
    session,     ///< changes no result: no part of a run, and may differ when it goes on
  };

  /// An integer of `least` (0 or 1) and more.
  static OptionSpec count(std::string name, std::string fallback, std::string help, int least = 1);
  /// Layers of a network: 1 to 1000, since each has parameters of its own.
  static OptionSpec depth(std::string fallback, std::string help);
  /// A probability of 0 to below 1, of what is random in training alone.
  static OptionSpec probability(std::string name, std::string fallback, std::string help);

  static constexpr const char* kModelGroup = "Model and data";

  std::string name{}, value{};  ///< as in --NAME VALUE
  Kind kind = Kind::text;
  std::string fallback{};  ///< the default; an architecture may know better
  std::string help{};
  std::vector<std::string> choices{};  ///< the texts there are; none: any
  std::string expected{};              ///< what a number has to be, in words
  bool (*accepts)(double) = nullptr;   ///< what a number has to be; null: any
  /// Reads a text. @throws ConfigError for one that is no value; null: any is
  void (*parse)(const std::string&) = nullptr;
  /// Of an option that is given as the name of a file and whose text is what the file says: reads
  /// it. @throws DataError, ConfigError; null: the text is what was given
  std::string (*content)(const std::string& path) = nullptr;
  bool repeats = false;             ///< may be given more than once: one line of its text each
  bool may_be_empty = false;        ///< whether '' is a text that may be given
  std::string group = kModelGroup;  ///< its heading in --help
  std::string default_help{};       ///< in --help, of a default that is no constant
  std::string requires_option{};    ///< without which it has no effect; empty: it stands alone
  Conflict conflict = nullptr;      ///< when it has no effect; null: never
  Use use = Use::network;
  bool adjustable = false;  ///< one given with --resume replaces the run's from there on
  std::string chosen{};     ///< its text; empty until it is given or filled in

  [[nodiscard]] const std::string& text() const { return chosen.empty() ? fallback : chosen; }
};

/// @throws ConfigError unless the text is a value of the option, e.g. "[command line] --layers:
/// expected 1 and more, got '0'"
void check(const OptionSpec& option, const std::string& text);

/// The text of what was given for an option, see OptionSpec::content.
std::string text_of_given(const OptionSpec& option, const std::string& given);

/// The one spelling of a value: "0.001" of "1e-3" for a real option. Other texts come back as they
/// are.
std::string canonical(const OptionSpec& option, const std::string& text);

/// The options of every program, in the order of --help and of the record.
std::vector<OptionSpec> common_options();

}  // namespace ebb::train
