#include "train/options/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "train/options/conflicts.h"
#include "train/options/help.h"
#include "train/options/knobs.h"
#include "train/options/option_file.h"

namespace ebb::train {
namespace {

std::string flag(std::string_view name) { return concat("--", name); }

/// The one of that name among architectures or presets.
template <class Named>
const Named& find_named(const std::vector<Named>& known, const std::string& name,
                        std::string_view option, std::string_view what) {
  std::vector<std::string> names;
  for (const Named& one : known) names.push_back(one.name);
  const auto found = std::ranges::find(names, name);
  require<ConfigError>(found != names.end(), "[command line] --", option, ": ",
                       unknown_word(what, name, names));
  return known[static_cast<std::size_t>(found - names.begin())];
}

void add_options(CLI::App& app, Options& options, const Program& program) {
  for (const OptionSpec& spec : options.specs) {
    if (spec.name == "preset" && program.presets.empty()) continue;
    const std::string name = spec.name;
    CLI::Option* option = nullptr;
    if (spec.kind == OptionSpec::Kind::flag) {
      option = app.add_flag_function(flag(name),
                                     [&options, name](std::int64_t) { options.set(name, "true"); });
    } else {
      const auto set = [&options, name](const std::string& given) {
        const std::string text = text_of_given(options.at(name), given);
        check(options.at(name), text);  // also ''
        options.set(name, text);
      };
      if (spec.repeats) {
        const auto set_all = [set](const std::vector<std::string>& texts) {
          set(join_words(texts, "\n"));
        };
        option = app.add_option_function<std::vector<std::string>>(flag(name), set_all);
        option->expected(1)->take_all();
        continue;
      }
      option = app.add_option_function<std::string>(flag(name), set);
      option->take_last();  // more than one are refused afterwards
    }
  }
}

// Options of which only one may be given.
constexpr std::array<std::pair<std::string_view, std::string_view>, 35> kExclusive{
    {{"schedule", "bits"},     {"iterations", "epochs"},
     {"evaluate", "out"},      {"evaluate", "dry-run"},
     {"resume", "dry-run"},    {"resume", "evaluate"},
     {"generate", "evaluate"}, {"generate", "out"},
     {"generate", "dry-run"},  {"generate", "resume"},
     {"config", "resume"},     {"config", "evaluate"},
     {"config", "generate"},   {"config", "dump"},
     {"dump", "evaluate"},     {"dump", "generate"},
     {"dump", "resume"},       {"dump", "dry-run"},
     {"import", "from"},       {"import", "evaluate"},
     {"import", "generate"},   {"import", "dump"},
     {"import", "resume"},     {"import", "dry-run"},
     {"import", "json"},       {"eval-format", "eval-bits"},
     {"eval-format", "input"}, {"export", "evaluate"},
     {"export", "generate"},   {"export", "dump"},
     {"export", "resume"},     {"export", "dry-run"},
     {"export", "import"},     {"export", "config"},
     {"export", "json"}}};

// Whether the command line says what an option is, by itself or by what excludes it.
bool settled(const Options& options, std::string_view option) {
  return options.gave(option) || std::ranges::any_of(kExclusive, [&](const auto& pair) {
           return (pair.first == option && options.gave(pair.second)) ||
                  (pair.second == option && options.gave(pair.first));
         });
}

// What the preset says, where the command line says nothing.
void apply_preset(Options& options, const Program& program) {
  if (!options.gave("preset")) return;
  for (const auto& [name, text] : find_preset(program, options.text("preset")).options) {
    if (!settled(options, name)) options.set(name, text);
  }
}

// The same of the file of --config.
void apply_file(Options& options, const Program& program) {
  if (!options.has("config")) return;
  const std::string path = options.text("config");
  const OptionFile file = read_options(path, program.name);
  std::vector<std::string> known, written;
  for (const OptionSpec& option : options.specs) known.push_back(option.name);
  for (const auto& [name, text] : file.options) {
    require<ConfigError>(std::ranges::find(known, name) != known.end() && name != "config",
                         "[config] ", path, ": ", unknown_word("option", name, known));
    if (settled(options, name) || text.empty()) continue;
    try {
      options.set(name, file.written ? text_of_given(options.at(name), text) : text);
    } catch (const ConfigError& error) {
      throw ConfigError(concat("[config] ", path, ": ", error.what()));
    }
    if (file.written) written.push_back(name);
  }
  options.given.insert(options.given.end(), written.begin(), written.end());
}

// What can be told from the words alone, before a run directory is opened.
void check_combinations(const Options& options, const Program& program) {
  for (const auto& [a, b] : kExclusive) {
    if (b == "out" && !saves(options)) continue;  // said anyway
    require<ConfigError>(!(options.gave(a) && options.gave(b)), "[command line] --", a, " and --",
                         b, " contradict each other; give one of them");
  }
  require<ConfigError>(!options.gave("resume") || (options.gave("out") && saves(options)),
                       "[command line] --resume needs --out RUN, the directory of the run that is "
                       "to go on, as its last line named it: ",
                       program.name, " --resume --out runs/", program.name, '-',
                       program.archs.at(0).name, "-CR-seed1");
  for (const OptionSpec& option : options.specs) {
    if (!options.gave(option.name)) continue;
    if (option.conflict != nullptr && option.use == OptionSpec::Use::session)
      refuse_given(options, option.name, option.conflict(options));
    if (option.requires_option.empty()) continue;
    const OptionSpec& other = options.at(option.requires_option);
    require<ConfigError>(options.gave(other.name), "[command line] --", option.name, " needs --",
                         other.name, ' ', other.value, "; add it");
  }
}

void check_extras(const std::vector<std::string>& extras, const Options& options) {
  if (extras.empty()) return;
  const std::string name = extras[0].substr(0, extras[0].find('='));
  std::vector<std::string> known;
  for (const OptionSpec& option : options.specs) known.push_back(flag(option.name));
  const std::string nearest = name.starts_with("--") ? nearest_word(name, known) : "";
  throw ConfigError(concat(
      "[command line] ", name.starts_with('-') ? "unknown option '" : "unexpected argument '", name,
      "'; ", nearest.empty() ? "" : concat("did you mean '", nearest, "'? "),
      "--help lists all options"));
}

}  // namespace

Options::Options(const std::vector<OptionSpec>& family, const KeyValues& values)
    : specs(common_options()) {
  for (const OptionSpec& option : family) {
    auto place = specs.end();
    if (option.group == OptionSpec::kModelGroup)
      place = std::ranges::find_if(
          specs, [](const OptionSpec& other) { return other.group != OptionSpec::kModelGroup; });
    specs.insert(place, option);
  }
  for (const auto& [name, text] : values) set(name, text);
}

bool Options::gave(std::string_view name) const {
  return std::ranges::find(given, name) != given.end();
}

const OptionSpec* Options::find(std::string_view name) const {
  const auto found = std::ranges::find(specs, name, &OptionSpec::name);
  return found == specs.end() ? nullptr : &*found;
}

const OptionSpec& Options::at(std::string_view name) const {
  const OptionSpec* found = find(name);
  require<ConfigError>(found != nullptr, "[options] this program has no --", name);
  return *found;
}

OptionSpec& Options::at(std::string_view name) {
  return specs[static_cast<std::size_t>(&std::as_const(*this).at(name) - specs.data())];
}

std::int64_t Options::integer(std::string_view name) const {
  std::int64_t value = 0;
  require<ConfigError>(parse_number(text(name), value), "[options] --", name, " is no integer");
  return value;
}

double Options::real(std::string_view name) const {
  double value = 0;
  require<ConfigError>(parse_number(text(name), value), "[options] --", name, " is no number");
  return value;
}

std::optional<std::int64_t> Options::optional_integer(std::string_view name) const {
  return has(name) ? std::optional(integer(name)) : std::nullopt;
}

std::optional<double> Options::optional_real(std::string_view name) const {
  return has(name) ? std::optional(real(name)) : std::nullopt;
}

void Options::set(std::string_view name, const std::string& text) {
  OptionSpec& option = at(name);
  if (!text.empty()) check(option, text);
  option.chosen = canonical(option, text);
}

CommandLine parse_command_line(std::span<const std::string> args, const Program& program) {
  CommandLine line{.options = Options(program.options), .text = {}};
  Options& options = line.options;
  options.at("arch").fallback = program.archs.at(0).name;
  CLI::App app(program.summary, program.name);
  app.set_version_flag("--version", concat(program.name, " ", EBB_VERSION));
  app.allow_extras();
  add_options(app, options, program);

  std::vector<std::string> words;
  for (const std::string& word : args) {
    const bool empty = word.starts_with("--") && word.find('=') == word.size() - 1;
    words.push_back(empty ? word.substr(0, word.size() - 1) : word);
    if (empty) words.emplace_back();  // CLI11 would take the next word for the value
  }
  std::ranges::reverse(words);  // the order that CLI11 takes vectors in
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
    line.text = help_text(program);
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.text = concat(version.what(), '\n');
    return line;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(concat("[command line] ", error.what(), "; --help lists all options"));
  }
  check_extras(app.remaining(), options);
  for (const OptionSpec& spec : options.specs) {
    const CLI::Option* option = app.get_option_no_throw(flag(spec.name));
    const std::size_t count = option == nullptr ? 0 : option->count();
    require<ConfigError>(count <= 1 || spec.kind == OptionSpec::Kind::flag || spec.repeats,
                         "[command line] --", spec.name, " is given ", count,
                         " times; give it once");
    if (count > 0) options.given.emplace_back(spec.name);
  }
  apply_file(options, program);
  spell_out_knobs(options);
  check_combinations(options, program);
  apply_preset(options, program);
  return line;
}

void apply_defaults(Options& options, const Program& program) {
  for (const auto& [name, text] : defaults_of(find_arch(program, options.text("arch")))) {
    OptionSpec& option = options.at(name);
    const bool counted = name == "epochs" && options.has("iterations");
    if (option.chosen.empty() && !counted) option.chosen = text;
  }
  OptionSpec& schedule = options.at("schedule");
  if (options.has("bits") && schedule.chosen.empty()) schedule.fallback = "";  // not in effect
}

const Arch& find_arch(const Program& program, const std::string& name) {
  return find_named(program.archs, name, "arch", "architecture");
}

const Preset& find_preset(const Program& program, const std::string& name) {
  return find_named(program.presets, name, "preset", "preset");
}

KeyValues option_texts(const Options& options, bool results_only) {
  KeyValues texts;
  for (const OptionSpec& option : options.specs) {
    if (option.use != OptionSpec::Use::session || !results_only)
      texts.emplace_back(option.name, option.text());
  }
  return texts;
}

KeyValues arithmetic_options(const KeyValues& all) {
  KeyValues texts;
  for (const auto& by_default : option_texts(Options(), true)) {
    constexpr std::array<std::string_view, 9> kNames{
        "eval-bits", "grid",     "gradient-grid", "keep-fp32",        "accumulator",
        "simulate",  "numerics", "multiplier",    "multiplier-signed"};
    if (std::ranges::find(kNames, by_default.first) == kNames.end()) continue;
    const auto found = std::ranges::find(all, by_default.first, &KeyValues::value_type::first);
    texts.push_back(found == all.end() ? by_default : *found);
  }
  return texts;
}

std::string format_options(const KeyValues& options) {
  const KeyValues defaults = option_texts(Options(), true);
  std::vector<std::string> words;
  for (const auto& option : options) {
    if (std::ranges::find(defaults, option) != defaults.end()) continue;
    words.push_back(flag(option.first));
    const bool quoted = option.second.find(' ') != std::string::npos;
    if (option.second != "true")
      words.push_back(quoted ? concat('\'', option.second, '\'') : option.second);
  }
  return join_words(words, " ");
}

namespace {

std::string show(const std::string& text) {
  return text.empty() ? "nothing" : concat("'", text, "'");
}

// The options of a recorded run, with those of this command line that cannot change its results. Of
// the others, `differs(option, now, recorded)` is asked where one was given another value: true
// takes it, false leaves the run's.
template <class Differs>
Options merged(const CommandLine& now, const KeyValues& recorded, const Differs& differs) {
  Options options = now.options;
  for (const auto& [name, text] : recorded) {
    const OptionSpec* option = now.options.find(name);
    require<DataError>(option != nullptr, "[run] the run was made with --", name,
                       ", which this version does not know");
    if (option->use == OptionSpec::Use::session) continue;
    const std::string& wanted = option->text();
    if (now.gave(name) && (wanted == canonical(*option, text) || differs(*option, wanted, text)))
      continue;
    options.set(name, text);
  }
  return options;
}

}  // namespace

void check_given(const Options& options) {
  for (const OptionSpec& option : options.specs) {
    if (option.conflict != nullptr && options.gave(option.name))
      refuse_given(options, option.name, option.conflict(options));
  }
}

Options resumed_options(const CommandLine& now, const KeyValues& recorded) {
  for (const OptionSpec& option : now.options.specs) {
    // What a run of an earlier version does not record was as it is by default.
    if (option.use == OptionSpec::Use::session || option.adjustable || !now.gave(option.name))
      continue;
    const bool known =
        std::ranges::find(recorded, option.name, &KeyValues::value_type::first) != recorded.end();
    require<DataError>(known || option.text() == option.fallback, "[resume] --", option.name,
                       " is ", show(option.text()), " now and was ", show(option.fallback),
                       " in the run; leave it out");
  }
  return merged(now, recorded,
                [&](const OptionSpec& option, const std::string& wanted, const std::string& text) {
                  require<DataError>(option.adjustable, "[resume] --", option.name, " is ",
                                     show(wanted), " now and was ", show(text),
                                     " in the run, which would change its results; leave --",
                                     option.name, " out, or begin a new run in another --out");
                  return true;
                });
}

Options options_to_evaluate(const CommandLine& now, const KeyValues& recorded,
                            std::span<const std::string> free, std::vector<std::string>& warnings) {
  return merged(
      now, recorded,
      [&](const OptionSpec& option, const std::string& wanted, const std::string& text) {
        if (option.use == OptionSpec::Use::evaluation ||
            std::ranges::find(free, option.name) != free.end())
          return true;
        require<DataError>(option.use == OptionSpec::Use::training, "[run] --", option.name, " is ",
                           show(wanted), " now and was ", show(text),
                           " in the run, which makes another network or other data than "
                           "the checkpoint is of; leave --",
                           option.name, " out");
        warnings.push_back(
            concat("--", option.name, " ", wanted, " has no effect here, where nothing is trained",
                   option.group == "Precision" ? "; --eval-bits says in how many bits" : ""));
        return false;
      });
}

}  // namespace ebb::train
