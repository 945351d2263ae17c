#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/options/option_spec.h"

namespace ebb::train {

/// The options of a training program and their values: those of every program, and those of its
/// family of models.
struct Options {
  /// @throws ConfigError as `set` does
  explicit Options(const std::vector<OptionSpec>& family = {}, const KeyValues& values = {});

  std::vector<OptionSpec> specs;   ///< in the order of --help and of the record
  std::vector<std::string> given;  ///< names of those that this command line gave, as in "batch"

  [[nodiscard]] bool gave(std::string_view name) const;

  /// Null if the program has no such option.
  [[nodiscard]] const OptionSpec* find(std::string_view name) const;
  /// @throws ConfigError if the program has no such option: it reads what it did not declare
  [[nodiscard]] const OptionSpec& at(std::string_view name) const;
  [[nodiscard]] OptionSpec& at(std::string_view name);

  /// Values; of an option that has none ("" as text, such as --clip) `has` is false. @throws
  /// ConfigError as `at` does
  [[nodiscard]] const std::string& text(std::string_view name) const { return at(name).text(); }
  [[nodiscard]] bool has(std::string_view name) const { return !text(name).empty(); }
  [[nodiscard]] bool flag(std::string_view name) const { return text(name) == "true"; }
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] std::optional<std::int64_t> optional_integer(std::string_view name) const;
  [[nodiscard]] std::optional<double> optional_real(std::string_view name) const;

  /// "" leaves the option to its default. @throws ConfigError unless the text is one of its values
  void set(std::string_view name, const std::string& text);
};

/// A network that a program can train, with what the options default to for it.
struct Arch {
  std::string name{}, summary{};
  double lr = 0.1;
  std::string lr_schedule{}, optimizer = "sgd";
  double weight_decay = 1e-4;
  std::int64_t epochs = 10, batch = 128;
  std::optional<double> clip{};
  KeyValues options{};  ///< of the family, where they differ from what the program declares
};

/// Options of a known experiment, by name. What the command line gives overrides it.
struct Preset {
  std::string name{}, summary{};
  KeyValues options{};
  std::vector<std::string> warnings{};  ///< what is not known of the experiment, each a sentence
};

/// What the command line of one program offers.
struct Program {
  std::string name{}, summary{};
  std::vector<Arch> archs{};          ///< the first is the default
  std::vector<OptionSpec> options{};  ///< of its family, besides those of every program
  std::vector<Preset> presets{};
};

/// A parsed command line.
struct CommandLine {
  Options options;  ///< as given or by the preset, without the defaults of the architecture
  std::optional<std::string>
      text;  ///< asked for by --help or --version: show it and do nothing else

  [[nodiscard]] bool gave(std::string_view name) const { return options.gave(name); }
};

/// Reads arguments (without the program's name).
/// @throws ConfigError for unknown flags and for malformed, unknown or contradictory values, with
/// the nearest known word
CommandLine parse_command_line(std::span<const std::string> args, const Program& program);

/// @throws ConfigError for a name that the program does not know, with the nearest known word
const Arch& find_arch(const Program& program, const std::string& name);
const Preset& find_preset(const Program& program, const std::string& name);

/// Fills what was left to the architecture.
void apply_defaults(Options& options, const Program& program);

/// Checks every value by itself and with the others. @throws ConfigError naming the option, what
/// was expected and what came
void check(const Options& options, const Program& program);

/// Refuses what was given on the command line and has no effect with the other options; what a
/// preset says is ignored then. Once the defaults are filled in. @throws ConfigError naming
/// both options
void check_given(const Options& options);

/// Name and text of every option; `results_only` leaves out those that cannot change a result
/// (threads, SIMD, logging), which a resumed run may choose anew. An option without value has the
/// text "".
KeyValues option_texts(const Options& options, bool results_only);

/// Those of the texts of all options that say how products are computed, widths excepted: grids,
/// layers kept in float32, accumulator, simulation, and the bits of evaluations. What a run of an
/// earlier version does not record is as by default.
KeyValues arithmetic_options(const KeyValues& all);
/// Those that are not as by default, as on a command line: "--grid symmetric --simulate"; "" if
/// there are none.
std::string format_options(const KeyValues& options);

/// The options of a recorded run, with those of this command line that change no result and those
/// that are adjustable.
/// @throws DataError naming the first given option whose value differs from the run's, with both
/// values, or an option that this version does not know
Options resumed_options(const CommandLine& now, const KeyValues& recorded);

/// The options for scoring the checkpoint of a recorded run, or for writing a text with it: its
/// network and data stay as they were, what an evaluation has for itself (OptionSpec::Use, and
/// options named in `free`) is the command line's. Options of training stay the run's too; where
/// this command line says otherwise a sentence of it goes to `warnings`.
/// @throws DataError naming the first given option that makes another network or other data, with
/// both values
Options options_to_evaluate(const CommandLine& now, const KeyValues& recorded,
                            std::span<const std::string> free, std::vector<std::string>& warnings);

}  // namespace ebb::train
