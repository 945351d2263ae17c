#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"

namespace ebb::train {

struct Options;

/// Why an option means nothing beside the others: "with --optimizer adam; it is of --optimizer
/// sgd". Empty if it means something.
using Moot = std::string (*)(const Options& options);

/// An option that one family of models has beside those of every program: declared once, then
/// served by the command line, --help, the record and --resume like any other.
struct OptionSpec {
  enum class Kind : std::uint8_t { integer, real, text, flag };

  /// What an option is for when the checkpoint of a run is scored.
  enum class Use : std::uint8_t {
    network,     ///< makes the network and what it is scored on, and so is as in the run
    training,    ///< means nothing then
    evaluation,  ///< each evaluation has its own
  };

  /// An integer of `least` (0 or 1) and more.
  static OptionSpec count(std::string name, std::string fallback, std::string help, int least = 1);
  /// Layers of a network: 1 to 1000, since each has parameters of its own.
  static OptionSpec depth(std::string fallback, std::string help);
  /// A probability of 0 to below 1, of what is random in training alone.
  static OptionSpec probability(std::string name, std::string fallback, std::string help);

  static constexpr const char* kModelGroup = "Model and data";

  std::string name, value;  ///< as in --NAME VALUE
  Kind kind = Kind::text;
  std::string fallback{};  ///< its text unless it is given; an architecture may know better
  std::string help{};
  std::vector<std::string> choices{};  ///< the texts there are; none: any
  std::string expected{};              ///< what a number has to be, in words
  bool (*accepts)(double) = nullptr;   ///< what a number has to be; null: any
  std::string group = kModelGroup;     ///< its heading in --help
  std::string beside{};  ///< the option without which it means nothing; empty: it stands alone
  Moot moot = nullptr;   ///< when it means nothing; null: never
  bool shapes_results =
      true;  ///< of training; others are no part of a run, and may differ when it goes on
  Use use = Use::network;
  std::string text{};  ///< its value; empty until it is given or filled in
};

/// @throws ConfigError unless the text is a value of the setting, e.g. "[command line] --layers:
/// expected 1 and more, got '0'"
void check(const OptionSpec& setting, const std::string& text);

/// The setting of that name. @throws ConfigError if there is none: a program reads what it did not
/// declare
const OptionSpec& find_setting(const std::vector<OptionSpec>& settings, std::string_view name);

}  // namespace ebb::train
