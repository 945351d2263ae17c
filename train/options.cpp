#include "train/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <variant>

#include "core/error.h"
#include "core/simd.h"
#include "quant/format.h"

namespace ebb::train {
namespace {

using Member =
    std::variant<std::string Options::*, std::int64_t Options::*, double Options::*, bool Options::*,
                 std::optional<std::string> Options::*, std::optional<std::int64_t> Options::*, std::optional<double> Options::*>;

/// One option: the command line, the help, the recorded configuration and the comparison on resuming all read this table.
struct Field {
  const char* group;
  const char* name;  // without the dashes
  const char* value;
  const char* fallback;  // text for the help where the default is not a constant
  const char* help;
  Member member;
  bool shapes_results = true;
};

const Field kFields[] = {
    {"Model and data", "arch", "NAME", "", "network to train; the table below lists them", &Options::arch},
    {"Model and data", "data", "DIR|NAME", "", "directory with IDX or CIFAR files, or synthetic, or synthetic-cifar",
     &Options::data},
    {"Model and data", "augment", "auto|none|crop-flip", "", "change training images at random; auto: crop-flip for colour images",
     &Options::augment},
    {"Model and data", "validation", "F", "none",
     "share of the training images set aside and scored instead of the test set on the way", &Options::validation},

    {"Precision", "schedule", "NAME", "", "static, fp32, or one of CR LR ER RR CT LT ETV ETH RTV RTH", &Options::schedule},
    {"Precision", "bits", "EXPR", "none", "forward bits as a schedule expression, in place of --schedule", &Options::bits},
    {"Precision", "cycles", "N", "", "cycles of a cyclic schedule", &Options::cycles},
    {"Precision", "period", "floor+1|floor", "", "cycle length floor(T/n)+1, or floor(T/n) as in the papers' cost scripts",
     &Options::period},
    {"Precision", "min-bits", "N", "", "lowest forward bits of a cyclic schedule", &Options::min_bits},
    {"Precision", "max-bits", "N", "", "highest forward bits, and those of the static run that costs are compared with",
     &Options::max_bits},
    {"Precision", "gradient-bits", "N|fp32", "", "bits of the gradients; float32 whenever the forward bits are",
     &Options::gradient_bits},
    {"Precision", "eval-bits", "N|fp32", "max-bits", "forward bits of evaluations", &Options::eval_bits},
    {"Precision", "grid", "affine|symmetric", "", "how codes lie over the values", &Options::grid},
    {"Precision", "keep-fp32", "LIST", "none", "layers left in float32: first, last, shortcut or names, separated by commas",
     &Options::keep_fp32},
    {"Precision", "accumulator", "exact|wrapN|satN", "", "register that integer products are summed in", &Options::accumulator},
    {"Precision", "simulate", "", "", "multiply decoded codes in float32 (fake quantization), for comparison", &Options::simulate},

    {"Training", "iterations", "N", "from --epochs", "optimizer steps", &Options::iterations},
    {"Training", "epochs", "N", "see below", "passes over the training set", &Options::epochs},
    {"Training", "batch", "N", "", "images of a step", &Options::batch},
    {"Training", "accumulate", "N", "", "micro-batches that a batch is cut into", &Options::accumulate},
    {"Training", "optimizer", "sgd|adam|adamw", "see below", "rule that moves the parameters", &Options::optimizer},
    {"Training", "lr", "X", "see below", "learning rate", &Options::lr},
    {"Training", "lr-schedule", "EXPR", "see below", "schedule expression that multiplies --lr", &Options::lr_schedule},
    {"Training", "momentum", "X", "", "momentum of sgd", &Options::momentum},
    {"Training", "weight-decay", "X", "see below", "pull of all parameters towards zero", &Options::weight_decay},
    {"Training", "clip", "X", "none", "largest global norm of the gradients", &Options::clip},
    {"Training", "seed", "N", "", "of everything random", &Options::seed},
    {"Training", "eval-every", "N", "an epoch", "steps between evaluations", &Options::eval_every},

    {"Machine", "threads", "N", "", "threads; never changes a result", &Options::threads, false},
    {"Machine", "simd", "auto|scalar|avx2|avx512", "", "instruction set; never changes a result", &Options::simd, false},
    {"Machine", "no-prefetch", "", "", "prepare batches between steps instead of beside them", &Options::no_prefetch, false},

    {"Run", "out", "DIR", "none", "run directory to make: configuration, record, checkpoint", &Options::out, false},
    {"Run", "save-every", "N", "--eval-every", "steps between checkpoints", &Options::save_every, false},
    {"Run", "resume", "", "", "go on with the run in --out, bit for bit; its options need not be given again", &Options::resume,
     false},
    {"Run", "evaluate", "RUN", "none", "score the checkpoint of a run directory instead of training", &Options::evaluate, false},
    {"Run", "statistics-every", "N", "none", "steps between records of how well operands survive their encoding",
     &Options::statistics_every, false},
    {"Run", "dry-run", "", "", "show layers, formats and the predicted bit-operations; train nothing", &Options::dry_run, false},
    {"Run", "json", "", "", "one JSON object on stdout at the end", &Options::json, false},
    {"Run", "quiet", "", "", "no progress", &Options::quiet, false},
};

std::string flag(std::string_view name) { return concat("--", name); }

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::int64_t integer(const Field& field, const std::string& text) {
  std::int64_t value = 0;
  require<ConfigError>(parse(text, value), "[command line] ", flag(field.name), ": expected an integer, got '", text, "'");
  return value;
}

double real(const Field& field, const std::string& text) {
  double value = 0;
  require<ConfigError>(parse(text, value), "[command line] ", flag(field.name), ": expected a number, got '", text, "'");
  return value;
}

void set(Options& options, const Field& field, const std::string& text) {
  std::visit(Overloaded{
                 [&](std::string Options::*member) { options.*member = text; },
                 [&](std::int64_t Options::*member) { options.*member = integer(field, text); },
                 [&](double Options::*member) { options.*member = real(field, text); },
                 [&](bool Options::*member) { options.*member = text == "true"; },
                 [&](std::optional<std::string> Options::*member) { options.*member = text; },
                 [&](std::optional<std::int64_t> Options::*member) { options.*member = integer(field, text); },
                 [&](std::optional<double> Options::*member) { options.*member = real(field, text); },
             },
             field.member);
}

std::string text_of(const Options& options, const Field& field) {
  return std::visit(
      Overloaded{
          [&](auto Options::*member) { return to_text(options.*member); },
          [&](std::optional<std::string> Options::*member) { return (options.*member).value_or(""); },
          [&](std::optional<std::int64_t> Options::*member) { return options.*member ? to_text(*(options.*member)) : ""; },
          [&](std::optional<double> Options::*member) { return options.*member ? to_text(*(options.*member)) : ""; },
      },
      field.member);
}

bool is_flag(const Field& field) { return std::holds_alternative<bool Options::*>(field.member); }

const Field* find_field(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFields), std::end(kFields), [&](const Field& field) { return field.name == name; });
  return found == std::end(kFields) ? nullptr : found;
}

std::vector<std::string> names_of(const std::vector<Arch>& archs) {
  std::vector<std::string> names;
  for (const Arch& arch : archs) names.push_back(arch.name);
  return names;
}

const Arch& find_arch(const Options& options, const Program& program) {
  const auto found =
      std::find_if(program.archs.begin(), program.archs.end(), [&](const Arch& arch) { return arch.name == options.arch; });
  require<ConfigError>(found != program.archs.end(),
                       "[command line] --arch: ", unknown_word("architecture", options.arch, names_of(program.archs)));
  return *found;
}

std::string table_of(const std::vector<Arch>& archs) {
  const std::vector<std::vector<std::string>> header{
      {"--arch", "--epochs", "--optimizer", "--lr", "--weight-decay", "--lr-schedule", ""}};
  std::vector<std::vector<std::string>> rows = header;
  for (const Arch& arch : archs) {
    rows.push_back({arch.name, to_text(arch.epochs), arch.optimizer, to_text(arch.lr), to_text(arch.weight_decay), arch.lr_schedule,
                    arch.summary});
  }
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
  return text +
         "\nExit codes: 0 done (also after Ctrl-C, which saves first); 2 the command line itself is wrong; 1 anything else.\n"
         "Progress and warnings go to stderr; NO_COLOR switches colours off.";
}

void add_options(CLI::App& app, CommandLine& line, const std::string& default_arch) {
  Options defaults;
  defaults.arch = default_arch;
  for (const Field& field : kFields) {
    const std::string fallback = *field.fallback != '\0' ? field.fallback : text_of(defaults, field);
    CLI::Option* option = nullptr;
    if (is_flag(field)) {
      option = app.add_flag_function(
          flag(field.name), [&line, &field](std::int64_t) { set(line.options, field, "true"); }, field.help);
    } else {
      option = app.add_option_function<std::string>(
          flag(field.name), [&line, &field](const std::string& text) { set(line.options, field, text); },
          concat(field.help, " [", fallback, "]"));
      option->type_name(field.value)->take_last();  // more than one are refused afterwards, in our words
    }
    option->group(field.group);
  }
}

// What can be told from the words alone, before a run directory is opened.
void check_combinations(const CommandLine& line) {
  const Options& options = line.options;
  const auto given = [&](std::string_view name) {
    return std::find(line.given.begin(), line.given.end(), name) != line.given.end();
  };
  const auto not_both = [](bool a, std::string_view first, bool b, std::string_view second) {
    require<ConfigError>(!(a && b), "[command line] --", first, " and --", second, " contradict each other; give one of them");
  };
  not_both(given("schedule"), "schedule", given("bits"), "bits");
  not_both(options.iterations.has_value(), "iterations", options.epochs.has_value(), "epochs");
  not_both(!options.evaluate.empty(), "evaluate", !options.out.empty(), "out");
  not_both(!options.evaluate.empty(), "evaluate", options.dry_run, "dry-run");
  not_both(options.resume, "resume", options.dry_run, "dry-run");
  for (const char* name : {"save-every", "resume", "statistics-every"}) {
    require<ConfigError>(!given(name) || !options.out.empty(), "[command line] --", name,
                         " needs the run directory: add --out DIR");
  }
}

void check_extras(const std::vector<std::string>& extras) {
  if (extras.empty()) return;
  const std::string name = extras[0].substr(0, extras[0].find('='));
  std::vector<std::string> known;
  for (const Field& field : kFields) known.push_back(flag(field.name));
  const std::string nearest = name.starts_with("--") ? nearest_word(name, known) : "";
  throw ConfigError(concat("[command line] ", name.starts_with('-') ? "unknown option '" : "unexpected argument '", name, "'; ",
                           nearest.empty() ? "" : concat("did you mean '", nearest, "'? "), "--help lists all options"));
}

}  // namespace

CommandLine parse_command_line(std::span<const std::string> args, const Program& program) {
  CommandLine line;
  line.options.arch = program.archs.at(0).name;
  CLI::App app(program.summary, program.name);
  app.set_version_flag("--version", concat(program.name, " ", EBB_VERSION));
  app.allow_extras();
  app.footer(table_of(program.archs));
  add_options(app, line, line.options.arch);

  std::vector<std::string> reversed(args.rbegin(), args.rend());  // the order that CLI11 takes vectors in
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
  check_extras(app.remaining());
  for (const Field& field : kFields) {
    const std::size_t count = app.count(flag(field.name));
    require<ConfigError>(count <= 1 || is_flag(field), "[command line] --", field.name, " is given ", count,
                         " times; give it once");
    if (count > 0) line.given.emplace_back(field.name);
  }
  check_combinations(line);
  return line;
}

void apply_defaults(Options& options, const Program& program) {
  const Arch& arch = find_arch(options, program);
  if (!options.optimizer) options.optimizer = arch.optimizer;
  if (!options.lr) options.lr = arch.lr;
  if (!options.lr_schedule) options.lr_schedule = arch.lr_schedule;
  if (!options.weight_decay) options.weight_decay = arch.weight_decay;
  if (!options.iterations && !options.epochs) options.epochs = arch.epochs;
}

std::vector<std::pair<std::string, std::string>> option_texts(const Options& options, bool results_only) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const Field& field : kFields) {
    if (field.shapes_results || !results_only) texts.emplace_back(field.name, text_of(options, field));
  }
  return texts;
}

Options resumed_options(const CommandLine& now, std::span<const std::pair<std::string, std::string>> recorded,
                        std::span<const std::string> free) {
  const auto show = [](const std::string& text) { return text.empty() ? std::string("nothing") : concat("'", text, "'"); };
  Options options = now.options;
  for (const auto& [name, text] : recorded) {
    const Field* field = find_field(name);
    require<DataError>(field != nullptr, "[resume] the run was made with --", name, ", which this version does not know");
    if (!field->shapes_results) continue;
    const bool given = std::find(now.given.begin(), now.given.end(), name) != now.given.end();
    if (given && std::find(free.begin(), free.end(), name) != free.end()) continue;
    const std::string wanted = text_of(now.options, *field);
    require<DataError>(!given || wanted == text, "[resume] --", name, " is ", show(wanted), " now and was ", show(text),
                       " in the run, which would change its results; leave --", name, " out, or begin a new run in another --out");
    if (text.empty()) {
      std::visit(Overloaded{[](auto Options::*) {}, [&](std::string Options::*member) { (options.*member).clear(); },
                            [&]<class T>(std::optional<T> Options::*member) { (options.*member).reset(); }},
                 field->member);
    } else {
      set(options, *field, text);
    }
  }
  return options;
}

void check(const Options& options, const Program& program) {
  find_arch(options, program);
  const auto expect = [](bool ok, std::string_view name, std::string_view expected, const auto& got) {
    require<ConfigError>(ok, "[command line] --", name, ": expected ", expected, ", got ", got);
  };
  const auto one_of = [](std::string_view name, const std::string& text, const std::vector<std::string>& known) {
    require<ConfigError>(std::find(known.begin(), known.end(), text) != known.end(), "[command line] --", name, ": ",
                         unknown_word("value", text, known));
  };
  const auto at_least_one = [&](std::string_view name, std::optional<std::int64_t> value) {
    if (value) expect(*value >= 1, name, "an integer of 1 and more", *value);
  };
  const auto width = [&](std::string_view name, const std::string& text) {
    std::int64_t bits = 0;
    expect(text == "fp32" || (parse(text, bits) && bits >= 1 && bits <= Format::kMaxIntegerBits), name, "1 to 16 bits or fp32",
           concat("'", text, "'"));
  };

  one_of("augment", options.augment, {"auto", "none", "crop-flip"});
  expect(options.validation >= 0 && options.validation < 1, "validation", "a share of 0 to below 1", options.validation);
  expect(!options.data.empty(), "data", "a directory, synthetic or synthetic-cifar", "nothing");

  at_least_one("cycles", options.cycles);
  one_of("period", options.period, {"floor+1", "floor"});
  for (const auto& [name, bits] : {std::pair{"min-bits", options.min_bits}, {"max-bits", options.max_bits}}) {
    expect(bits >= 1 && bits <= Format::kMaxIntegerBits, name, "1 to 16 bits", bits);
  }
  require<ConfigError>(options.min_bits <= options.max_bits, "[command line] --min-bits ", options.min_bits,
                       " is above --max-bits ", options.max_bits, "; exchange them");
  width("gradient-bits", options.gradient_bits);
  if (!options.eval_bits.empty()) width("eval-bits", options.eval_bits);
  parse_grid_style(options.grid);
  require<ConfigError>(
      options.grid != "symmetric" || (options.min_bits >= 2 && options.gradient_bits != "1" && options.eval_bits != "1"),
      "[command line] --grid symmetric has no grid of 1 bit; use 2 bits and more, or --grid affine");
  const Accumulator accumulator = Accumulator::parse(options.accumulator);
  require<ConfigError>(!options.simulate || accumulator.is_exact(),
                       "[command line] --simulate multiplies in float32, which has no --accumulator ", options.accumulator);

  at_least_one("iterations", options.iterations);
  at_least_one("epochs", options.epochs);
  at_least_one("batch", options.batch);
  at_least_one("accumulate", options.accumulate);
  at_least_one("eval-every", options.eval_every);
  if (options.optimizer) one_of("optimizer", *options.optimizer, {"sgd", "adam", "adamw"});
  const auto finite_from_zero = [](double value) { return value >= 0 && value < 1e30; };
  if (options.lr) expect(finite_from_zero(*options.lr), "lr", "a rate of 0 and more", *options.lr);
  if (options.weight_decay)
    expect(finite_from_zero(*options.weight_decay), "weight-decay", "a number of 0 and more", *options.weight_decay);
  if (options.clip) expect(*options.clip > 0 && finite_from_zero(*options.clip), "clip", "a norm above 0", *options.clip);
  expect(options.momentum >= 0 && options.momentum < 1, "momentum", "a number of 0 to below 1", options.momentum);
  expect(options.seed >= 0, "seed", "an integer of 0 and more", options.seed);

  expect(options.threads >= 1 && options.threads <= 1024, "threads", "1 to 1024", options.threads);
  parse_simd(options.simd);
  at_least_one("save-every", options.save_every);
  at_least_one("statistics-every", options.statistics_every);
}

}  // namespace ebb::train
