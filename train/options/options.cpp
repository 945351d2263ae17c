#include "train/options/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "core/error.h"
#include "core/text.h"
#include "train/options/moot.h"
#include "train/options/precision.h"

namespace ebb::train {
namespace {

using SettingIndex = std::size_t;  // in Options::settings
using Member = std::variant<std::string Options::*, std::int64_t Options::*, double Options::*,
                            bool Options::*, std::optional<std::string> Options::*,
                            std::optional<std::int64_t> Options::*,
                            std::optional<double> Options::*, SettingIndex>;

/// One option: the command line, the help, the recorded configuration and the comparison on
/// resuming all read a table of these.
struct Field {
  std::string_view group;
  std::string_view name;  // without the dashes
  std::string_view value;
  std::string_view fallback;  // text for the help where the default is not a constant
  std::string_view help;
  Member member;
  bool shapes_results = true;
  Moot moot = nullptr;                   // when it means nothing; null: never
  std::optional<OptionSpec::Use> use{};  // none: that of the group
};

constexpr std::string_view kModelGroup = OptionSpec::kModelGroup;

const Field kFields[] = {
    {kModelGroup, "arch", "NAME", "", "network to train; the table below lists them",
     &Options::arch},
    {kModelGroup, "preset", "NAME", "none",
     "options of a known experiment; explicit flags override it", &Options::preset},
    {kModelGroup, "from", "RUN", "none",
     "begin with the parameters of a run's checkpoint, those that fit by name and shape",
     &Options::from},

    {"Precision", "schedule", "NAME", "",
     "static, fp32, or one of CR LR ER RR CT LT ETV ETH RTV RTH", &Options::schedule},
    {"Precision", "bits", "EXPR", "none",
     "forward bits as a schedule expression, in place of --schedule; group{...} sets layers and "
     "roles apart",
     &Options::bits},
    {"Precision", "cycles", "N", "", "cycles of a cyclic schedule", &Options::cycles, true,
     moot_without_cycles},
    {"Precision", "period", "floor+1|floor", "",
     "cycle length floor(T/n)+1, or floor(T/n) as in the papers' cost scripts", &Options::period,
     true, moot_without_cycles},
    {"Precision", "min-bits", "N", "", "lowest forward bits of a cyclic schedule",
     &Options::min_bits, true, moot_without_cycles},
    {"Precision", "max-bits", "N", "",
     "highest forward bits of a cyclic schedule, those of a static one", &Options::max_bits, true,
     moot_without_schedule_of_bits},
    {"Precision", "gradient-bits", "N|fp32|EXPR", "",
     "bits of the gradients, group{...} for each layer; float32 whenever the forward bits are",
     &Options::gradient_bits},
    {"Precision", "eval-bits", "N|fp32|current", "highest of the run",
     "forward bits of evaluations; current: those of the last step", &Options::eval_bits, true,
     nullptr, OptionSpec::Use::evaluation},
    {"Precision", "cost-reference", "W/A/G", "",
     "widths of weights, activations and gradients that costs are compared with",
     &Options::cost_reference, true, nullptr, OptionSpec::Use::evaluation},
    {"Precision", "grid", "affine|symmetric", "", "how codes are laid over the range of values",
     &Options::grid, true, nullptr, OptionSpec::Use::evaluation},
    {"Precision", "gradient-grid", "affine|symmetric", "--grid",
     "the same for gradients; a symmetric grid has a code for zero", &Options::gradient_grid},
    {"Precision", "keep-fp32", "LIST", "none",
     "layers left in float32: first, last, shortcut, aggregate (sums over neighbours) or names, "
     "separated by commas",
     &Options::keep_fp32, true, nullptr, OptionSpec::Use::evaluation},
    {"Precision", "accumulator", "exact|wrapN|satN", "",
     "register that integer products are summed in", &Options::accumulator, true, nullptr,
     OptionSpec::Use::evaluation},
    {"Precision", "simulate", "", "",
     "multiply decoded codes in float32 (fake quantization), for comparison", &Options::simulate,
     true, nullptr, OptionSpec::Use::evaluation},

    {"Training", "iterations", "N", "from --epochs", "optimizer steps", &Options::iterations},
    {"Training", "epochs", "N", "see below", "passes over the training set", &Options::epochs},
    {"Training", "batch", "N", "see below", "examples of a step", &Options::batch, true,
     moot_on_whole_graphs, OptionSpec::Use::evaluation},
    {"Training", "accumulate", "N", "", "micro-batches that a batch is cut into",
     &Options::accumulate, true, moot_on_whole_graphs},
    {"Training", "optimizer", "sgd|adam|adamw", "see below", "optimizer", &Options::optimizer},
    {"Training", "lr", "X", "see below", "learning rate", &Options::lr},
    {"Training", "lr-schedule", "EXPR", "see below",
     "schedule expression that multiplies --lr; group{...} sets parameters apart",
     &Options::lr_schedule},
    {"Training", "lr-plateau", "F", "none",
     "factor of the learning rate whenever an evaluation's loss is no new low",
     &Options::lr_plateau},
    {"Training", "momentum", "X", "", "momentum of sgd", &Options::momentum, true,
     moot_without_momentum},
    {"Training", "weight-decay", "X", "see below", "weight decay", &Options::weight_decay},
    {"Training", "clip", "X", "see below", "largest global norm of the gradients", &Options::clip},
    {"Training", "seed", "N", "", "random seed", &Options::seed, true, nullptr,
     OptionSpec::Use::network},
    {"Training", "eval-every", "N", "an epoch", "steps between evaluations", &Options::eval_every},

    {"Machine", "threads", "N", "", "threads; never changes a result", &Options::threads, false},
    {"Machine", "simd", "auto|scalar|avx2|avx512", "", "instruction set; never changes a result",
     &Options::simd, false},

    {"Run", "out", "DIR", "none", "run directory to make: configuration, record, checkpoint",
     &Options::out, false},
    {"Run", "save-every", "N", "--eval-every", "steps between checkpoints", &Options::save_every,
     false},
    {"Run", "resume", "", "",
     "go on with the run in --out, bit for bit, with its options; where the data moved, give "
     "--data; where the schedules do not "
     "span the run, more --iterations or --epochs make it longer",
     &Options::resume, false},
    {"Run", "evaluate", "RUN", "none",
     "score the checkpoint of a run directory instead of training", &Options::evaluate, false},
    {"Run", "statistics-every", "N", "none",
     "steps between records of how well operands survive their encoding",
     &Options::statistics_every, false},
    {"Run", "dry-run", "", "",
     "show layers, formats and the predicted bit-operations; train nothing", &Options::dry_run,
     false},
    {"Run", "json", "", "", "one JSON object on stdout at the end", &Options::json, false},
    {"Run", "quiet", "", "", "no progress", &Options::quiet, false},
};

/// All options of a program: those of every program, and the settings of its family.
std::vector<Field> fields_of(const Options& options) {
  std::vector<Field> fields(std::begin(kFields), std::end(kFields));
  std::vector<Field> settings;
  for (SettingIndex i = 0; i < options.settings.size(); ++i) {
    const OptionSpec& setting = options.settings[i];
    (setting.group == kModelGroup ? settings : fields)
        .push_back({setting.group, setting.name, setting.value,
                    setting.fallback.empty() ? "none" : std::string_view(setting.fallback),
                    setting.help, i, setting.shapes_results, setting.moot, setting.use});
  }
  const auto end_of_group =
      std::ranges::find_if(fields, [](const Field& field) { return field.group != kModelGroup; });
  fields.insert(end_of_group, settings.begin(), settings.end());
  return fields;
}

std::string flag(std::string_view name) { return concat("--", name); }

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::int64_t integer(const Field& field, const std::string& text) {
  std::int64_t value = 0;
  require<ConfigError>(parse_number(text, value), "[command line] ", flag(field.name),
                       ": expected an integer, got '", text, "'");
  return value;
}

double real(const Field& field, const std::string& text) {
  double value = 0;
  require<ConfigError>(parse_number(text, value), "[command line] ", flag(field.name),
                       ": expected a number, got '", text, "'");
  return value;
}

void set(Options& options, const Field& field, const std::string& text) {
  std::visit(
      Overloaded{
          [&](std::string Options::*member) { options.*member = text; },
          [&](std::int64_t Options::*member) { options.*member = integer(field, text); },
          [&](double Options::*member) { options.*member = real(field, text); },
          [&](bool Options::*member) { options.*member = text == "true"; },
          [&](std::optional<std::string> Options::*member) { options.*member = text; },
          [&](std::optional<std::int64_t> Options::*member) {
            options.*member = integer(field, text);
          },
          [&](std::optional<double> Options::*member) { options.*member = real(field, text); },
          [&](SettingIndex index) {
            check(options.settings[index], text);
            options.settings[index].text = text;
          },
      },
      field.member);
}

std::string text_of(const Options& options, const Field& field) {
  return std::visit(Overloaded{
                        [&](auto Options::*member) { return to_text(options.*member); },
                        [&](std::optional<std::string> Options::*member) {
                          return (options.*member).value_or("");
                        },
                        [&](std::optional<std::int64_t> Options::*member) {
                          return options.*member ? to_text(*(options.*member)) : "";
                        },
                        [&](std::optional<double> Options::*member) {
                          return options.*member ? to_text(*(options.*member)) : "";
                        },
                        [&](SettingIndex index) { return options.settings[index].text; },
                    },
                    field.member);
}

bool is_flag(const Options& options, const Field& field) {
  const SettingIndex* index = std::get_if<SettingIndex>(&field.member);
  return std::holds_alternative<bool Options::*>(field.member) ||
         (index != nullptr && options.settings[*index].kind == OptionSpec::Kind::flag);
}

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

/// What an architecture makes of a setting that is not given.
const std::string& default_text(const OptionSpec& setting, const Arch& arch) {
  const auto own = std::ranges::find(arch.settings, setting.name, &KeyValues::value_type::first);
  return own == arch.settings.end() ? setting.fallback : own->second;
}

bool varies(const OptionSpec& setting, const Program& program) {
  return std::ranges::any_of(program.archs, [&](const Arch& arch) {
    return default_text(setting, arch) != setting.fallback;
  });
}

std::string table_of(const Program& program) {
  std::vector<std::vector<std::string>> rows{{"--arch", "--epochs", "--batch", "--optimizer",
                                              "--lr", "--weight-decay", "--clip", "--lr-schedule"}};
  for (const Arch& arch : program.archs) {
    rows.push_back({arch.name, to_text(arch.epochs), to_text(arch.batch), arch.optimizer,
                    to_text(arch.lr), to_text(arch.weight_decay),
                    arch.clip ? to_text(*arch.clip) : "none", arch.lr_schedule});
  }
  for (const OptionSpec& setting : program.settings) {
    if (!varies(setting, program)) continue;
    rows[0].push_back(flag(setting.name));
    for (std::size_t i = 0; i < program.archs.size(); ++i)
      rows[i + 1].push_back(default_text(setting, program.archs[i]));
  }
  rows[0].emplace_back();
  for (std::size_t i = 0; i < program.archs.size(); ++i)
    rows[i + 1].push_back(program.archs[i].summary);
  std::string text = "Defaults by architecture:\n";
  for (const auto& row : rows) {
    std::string line = " ";
    for (std::size_t column = 0; column < row.size(); ++column) {
      std::size_t width = 0;
      for (const auto& other : rows) width = std::max(width, other[column].size());
      line += concat(' ', row[column], std::string(width - row[column].size() + 1, ' '));
    }
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  for (const Preset& preset : program.presets)
    text += concat("\n--preset ", preset.name, ": ", preset.summary, '\n');
  return text +
         "\nExit codes: 0 done; 3 interrupted by Ctrl-C and saved in --out; 2 the command line "
         "itself is wrong; 1 anything else.\n"
         "Progress and warnings go to stderr; NO_COLOR switches colours off.";
}

void add_options(CLI::App& app, CommandLine& line, const std::vector<Field>& fields,
                 const Program& program) {
  const Options defaults = line.options;
  for (const Field& field : fields) {
    if (field.name == "preset" && program.presets.empty()) continue;
    const SettingIndex* index = std::get_if<SettingIndex>(&field.member);
    const bool by_arch = index != nullptr && varies(program.settings[*index], program);
    const std::string fallback(by_arch                   ? "see below"
                               : !field.fallback.empty() ? field.fallback
                                                         : text_of(defaults, field));
    const std::string help(field.help);
    CLI::Option* option = nullptr;
    if (is_flag(defaults, field)) {
      option = app.add_flag_function(
          flag(field.name), [&line, &field](std::int64_t) { set(line.options, field, "true"); },
          help);
    } else {
      option = app.add_option_function<std::string>(
          flag(field.name),
          [&line, &field](const std::string& text) { set(line.options, field, text); },
          concat(help, " [", fallback, "]"));
      option->type_name(std::string(field.value))
          ->take_last();  // more than one are refused afterwards, in our words
    }
    option->group(std::string(field.group));
  }
}

// Options of which only one has a meaning.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kEither{
    {{"schedule", "bits"}, {"iterations", "epochs"}}};

// What the preset says, where the command line says nothing.
void apply_preset(CommandLine& line, const std::vector<Field>& fields, const Program& program) {
  if (line.options.preset.empty()) return;
  const Preset& preset = find_preset(program, line.options.preset);
  for (const auto& [name, text] : preset.options) {
    const auto settled = [&, &option = name](const auto& either) {
      return (either.first == option && line.gave(either.second)) ||
             (either.second == option && line.gave(either.first));
    };
    if (line.gave(name) || std::ranges::any_of(kEither, settled)) continue;
    const auto field = std::ranges::find(fields, name, &Field::name);
    require<ConfigError>(field != fields.end(), "[preset ", preset.name, "] no option --", name);
    set(line.options, *field, text);
  }
}

// What can be told from the words alone, before a run directory is opened.
void check_combinations(const CommandLine& line) {
  const Options& options = line.options;
  const auto not_both = [](bool a, std::string_view first, bool b, std::string_view second) {
    require<ConfigError>(!(a && b), "[command line] --", first, " and --", second,
                         " contradict each other; give one of them");
  };
  for (const auto& [a, b] : kEither) not_both(line.gave(a), a, line.gave(b), b);
  require<ConfigError>(!line.gave("gradient-bits") || !sets_gradients(options),
                       "[command line] --gradient-bits means nothing beside a --bits whose group "
                       "has a part for gradients");
  for (const Field& field :
       kFields) {  // an empty list exempts nothing; any other option that is given has a value
    require<ConfigError>(
        !line.gave(field.name) || field.name == "keep-fp32" || !text_of(options, field).empty(),
        "[command line] --", field.name, ": expected ", field.value, ", got ''");
  }
  not_both(!options.evaluate.empty(), "evaluate", !options.out.empty(), "out");
  not_both(!options.evaluate.empty(), "evaluate", options.dry_run, "dry-run");
  not_both(options.resume, "resume", options.dry_run, "dry-run");
  for (const char* name : {"evaluate", "out", "dry-run"})
    not_both(line.gave("generate"), "generate", line.gave(name), name);
  not_both(options.resume, "resume", !options.evaluate.empty(), "evaluate");
  not_both(options.resume, "resume", line.gave("generate"), "generate");
  for (const char* name : {"save-every", "statistics-every"}) {
    for (const char* other : {"evaluate", "generate"})
      refuse_given(options, name,
                   line.gave(other) ? concat("with --", other, ", where nothing is trained") : "");
  }
  for (const char* name : {"save-every", "resume", "statistics-every"}) {
    require<ConfigError>(!line.gave(name) || !options.out.empty(), "[command line] --", name,
                         " needs the run directory: add --out DIR");
  }
  for (const OptionSpec& setting : options.settings) {
    require<ConfigError>(
        setting.beside.empty() || !line.gave(setting.name) || line.gave(setting.beside),
        "[command line] --", setting.name, " means nothing without --", setting.beside);
  }
}

void check_extras(const std::vector<std::string>& extras, const std::vector<Field>& fields) {
  if (extras.empty()) return;
  const std::string name = extras[0].substr(0, extras[0].find('='));
  std::vector<std::string> known;
  for (const Field& field : fields) known.push_back(flag(field.name));
  const std::string nearest = name.starts_with("--") ? nearest_word(name, known) : "";
  throw ConfigError(concat(
      "[command line] ", name.starts_with('-') ? "unknown option '" : "unexpected argument '", name,
      "'; ", nearest.empty() ? "" : concat("did you mean '", nearest, "'? "),
      "--help lists all options"));
}

}  // namespace

CommandLine parse_command_line(std::span<const std::string> args, const Program& program) {
  CommandLine line;
  line.options.arch = program.archs.at(0).name;
  line.options.settings = program.settings;
  const std::vector<Field> fields = fields_of(line.options);
  CLI::App app(program.summary, program.name);
  app.set_version_flag("--version", concat(program.name, " ", EBB_VERSION));
  app.allow_extras();
  app.footer(table_of(program));
  add_options(app, line, fields, program);

  std::vector<std::string> reversed(args.rbegin(),
                                    args.rend());  // the order that CLI11 takes vectors in
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.text = concat(version.what(), '\n');
    return line;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(concat("[command line] ", error.what(), "; --help lists all options"));
  }
  check_extras(app.remaining(), fields);
  for (const Field& field : fields) {
    const CLI::Option* option = app.get_option_no_throw(flag(field.name));
    const std::size_t count = option == nullptr ? 0 : option->count();
    require<ConfigError>(count <= 1 || is_flag(line.options, field), "[command line] --",
                         field.name, " is given ", count, " times; give it once");
    if (count > 0) line.options.given.emplace_back(field.name);
  }
  check_combinations(line);
  apply_preset(line, fields, program);
  return line;
}

void apply_defaults(Options& options, const Program& program) {
  const Arch& arch = find_arch(program, options.arch);
  if (!options.optimizer) options.optimizer = arch.optimizer;
  if (!options.lr) options.lr = arch.lr;
  if (!options.lr_schedule) options.lr_schedule = arch.lr_schedule;
  if (!options.weight_decay) options.weight_decay = arch.weight_decay;
  if (!options.batch) options.batch = arch.batch;
  if (!options.clip) options.clip = arch.clip;
  if (!options.iterations && !options.epochs) options.epochs = arch.epochs;
  for (OptionSpec& setting : options.settings) {
    if (setting.text.empty()) setting.text = default_text(setting, arch);
  }
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

const Arch& find_arch(const Program& program, const std::string& name) {
  return find_named(program.archs, name, "arch", "architecture");
}

const Preset& find_preset(const Program& program, const std::string& name) {
  return find_named(program.presets, name, "preset", "preset");
}

KeyValues option_texts(const Options& options, bool results_only) {
  KeyValues texts;
  for (const Field& field : fields_of(options)) {
    if (field.shapes_results || !results_only)
      texts.emplace_back(field.name, text_of(options, field));
  }
  return texts;
}

KeyValues arithmetic_options(const KeyValues& all) {
  KeyValues texts;
  for (const auto& by_default : option_texts(Options(), true)) {
    constexpr std::array<std::string_view, 6> kNames{"eval-bits", "grid",        "gradient-grid",
                                                     "keep-fp32", "accumulator", "simulate"};
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
    if (option.second != "true") words.push_back(option.second);
  }
  return join_words(words, " ");
}

namespace {

OptionSpec::Use use_of(const Field& field) {
  return field.use.value_or(field.group == kModelGroup ? OptionSpec::Use::network
                                                       : OptionSpec::Use::training);
}

std::string show(const std::string& text) {
  return text.empty() ? "nothing" : concat("'", text, "'");
}

// The options of a recorded run, with those of this command line that cannot change its results. Of
// the others, `differs(field, now, recorded)` is asked where one was given another value: true
// takes it, false leaves the run's.
template <class Differs>
Options merged(const CommandLine& now, const KeyValues& recorded, const Differs& differs) {
  Options options = now.options;
  const std::vector<Field> fields = fields_of(options);
  for (const auto& [name, text] : recorded) {
    const auto field = std::ranges::find(fields, name, &Field::name);
    require<DataError>(field != fields.end(), "[run] the run was made with --", name,
                       ", which this version does not know");
    if (!field->shapes_results) continue;
    const std::string wanted = text_of(now.options, *field);
    if (now.gave(name) && (wanted == text || differs(*field, wanted, text))) continue;
    if (text.empty()) {
      std::visit(
          Overloaded{[](auto Options::*) {},
                     [&](std::string Options::*member) { (options.*member).clear(); },
                     [&]<class T>(std::optional<T> Options::*member) { (options.*member).reset(); },
                     [&](SettingIndex index) { options.settings[index].text.clear(); }},
          field->member);
    } else {
      set(options, *field, text);
    }
  }
  return options;
}

}  // namespace

void check_given(const Options& options) {
  for (const Field& field : fields_of(options)) {
    if (field.moot != nullptr && options.gave(field.name))
      refuse_given(options, field.name, field.moot(options));
  }
}

Options resumed_options(const CommandLine& now, const KeyValues& recorded,
                        std::span<const std::string> free) {
  const auto is_in = [](const auto& names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  for (const Field& field : kFields) {
    // What a run of an earlier version does not record was as it is by default.
    if (!field.shapes_results || !now.gave(field.name) || is_in(free, field.name)) continue;
    const bool known =
        std::ranges::find(recorded, field.name, &KeyValues::value_type::first) != recorded.end();
    const std::string wanted = text_of(now.options, field), before = text_of(Options(), field);
    require<DataError>(known || wanted == before, "[resume] --", field.name, " is ", show(wanted),
                       " now and was ", show(before), " in the run; leave it out");
  }
  return merged(now, recorded,
                [&](const Field& field, const std::string& wanted, const std::string& text) {
                  require<DataError>(is_in(free, field.name), "[resume] --", field.name, " is ",
                                     show(wanted), " now and was ", show(text),
                                     " in the run, which would change its results; leave --",
                                     field.name, " out, or begin a new run in another --out");
                  return true;
                });
}

Options options_to_evaluate(const CommandLine& now, const KeyValues& recorded,
                            std::span<const std::string> free, std::vector<std::string>& warnings) {
  return merged(
      now, recorded, [&](const Field& field, const std::string& wanted, const std::string& text) {
        const OptionSpec::Use use = use_of(field);
        if (use == OptionSpec::Use::evaluation || std::ranges::find(free, field.name) != free.end())
          return true;
        require<DataError>(use == OptionSpec::Use::training, "[run] --", field.name, " is ",
                           show(wanted), " now and was ", show(text),
                           " in the run, which makes another network or other data than the "
                           "checkpoint is of; leave --",
                           field.name, " out");
        warnings.push_back(
            concat("--", field.name, " ", wanted, " means nothing here, where nothing is trained",
                   field.group == "Precision" ? "; --eval-bits says in how many bits" : ""));
        return false;
      });
}

}  // namespace ebb::train
