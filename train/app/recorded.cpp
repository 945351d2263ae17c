#include "train/app/recorded.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "train/app/progress.h"
#include "train/config.h"
#include "train/loop.h"
#include "train/options/knobs.h"
#include "train/record.h"

namespace ebb::cli {

using namespace ebb::train;

namespace {

std::string entry_of(const KeyValues& data, std::string_view name) {
  const auto found = std::ranges::find(data, name, &KeyValues::value_type::first);
  return found == data.end() ? "" : found->second;
}

void replace(KeyValues& texts, const KeyValues& now, std::string_view name) {
  for (auto& [known, text] : texts) {
    if (known == name) text = entry_of(now, name);
  }
}

// The same of an option, which the run of an earlier version may not have recorded.
void replace(KeyValues& texts, const KeyValues& now, const OptionSpec& option) {
  const std::string text = entry_of(now, option.name);
  const auto found = std::ranges::find(texts, option.name, &KeyValues::value_type::first);
  if (found != texts.end()) {
    found->second = text;
  } else if (text != option.fallback) {
    texts.emplace_back(option.name, text);
  }
}

// The configuration as the checkpoint keeps it.
RunConfig config_in(const Checkpoint& checkpoint) {
  RunConfig config = parse_config(checkpoint.config);
  const std::string rest = checkpoint.note(kRemainder);
  if (rest.empty()) return config;  // of Ebb 0.1
  RunConfig more = parse_config(rest);
  config.session = std::move(more.session);
  config.data = std::move(more.data);
  return config;
}

void check_same_run(const std::string& directory, const RunConfig& saved, const RunConfig& recorded,
                    const Options& known) {
  const auto check = [&](const RunConfig& one, const RunConfig& other) {
    for (const auto& [name, text] : one.options) {
      const OptionSpec* option = known.find(name);
      require<DataError>(
          option != nullptr, "[run] ", directory, ": the run was made with --", name,
          ", which this version does not know; restore config.json if it is damaged");
      const bool free = option->adjustable;
      require<DataError>(
          free || entry_of(other.options, name) == text, "[run] ", directory,
          ": config.json is not the configuration that the checkpoint was saved under: --", name,
          " is '", entry_of(recorded.options, name), "' and was '", entry_of(saved.options, name),
          "'; restore it");
    }
  };
  check(saved, recorded);
  check(recorded, saved);
  require<DataError>(saved.program == recorded.program, "[run] ", directory,
                     ": config.json names the program ", recorded.program, ", the checkpoint ",
                     saved.program, "; restore it");
}

bool same_numerics(const PrecisionPlan& a, const PrecisionPlan& b) {
  return a.base == b.base && a.rules == b.rules;
}

// Version 0.1 summed the scaled values of floating formats in float32, whatever the accumulator.
void require_same_sums(const Precision& precision, const RunConfig& saved) {
  const auto is_of_options = [&](std::string_view name) {
    return std::ranges::find(saved.options, name, &KeyValues::value_type::first) !=
           saved.options.end();
  };
  if (is_of_options("weight-format")) return;  // of a later version
  const auto is_small_float = [](Format format) {
    return format.kind == Format::Kind::floating && !format.is_fp32();
  };
  const auto has_small_floats = [&](const SiteFormats& formats) {
    return is_small_float(formats.weight) || is_small_float(formats.activation) ||
           is_small_float(formats.gradient);
  };
  bool any = false;
  for (const PrecisionPlan& plan : {precision.narrowest, precision.widest}) {
    any = any || has_small_floats(plan.base.formats()) ||
          std::ranges::any_of(plan.rules, [&](const PrecisionPlan::Rule& rule) {
            return has_small_floats(rule.numerics.formats());
          });
  }
  require<DataError>(!any,
                     "[resume] the run was begun by version 0.1, which summed products of formats "
                     "such as e4m3 and bf16 otherwise: this version would go on with other bits; "
                     "go on with that version, or begin a run in another --out");
}

}  // namespace

Recorded read_recorded(const std::string& directory, const Program& program,
                       const std::function<std::optional<Checkpoint>()>& read_checkpoint) {
  Recorded recorded;
  std::optional<DataError> unreadable;
  try {
    recorded.config = parse_config(read_config(directory));
  } catch (const DataError& error) {
    unreadable = error;
  }
  try {
    recorded.checkpoint = read_checkpoint();
  } catch (const DataError&) {
    if (unreadable) throw DataError(*unreadable);
    throw;
  }
  if (unreadable) {
    if (!recorded.checkpoint) throw DataError(*unreadable);
    recorded.config = config_in(*recorded.checkpoint);
    recorded.warning =
        concat(unreadable->what(), "; the configuration in the checkpoint is used",
               recorded.config.data.empty() ? ", which does not say of which data it is" : "");
  }
  require<DataError>(recorded.config.program == program.name, "[run] ", directory, " is a run of ",
                     recorded.config.program, ", not of ", program.name);
  if (!recorded.checkpoint) return recorded;
  const RunConfig saved = parse_config(recorded.checkpoint->config);
  const Options known(program.options);
  check_same_run(directory, saved, recorded.config, known);
  // Of what may change, the checkpoint is told first.
  for (const OptionSpec& option : known.specs) {
    const std::string& name = option.name;
    if (!option.adjustable) continue;
    const std::string before = entry_of(recorded.config.options, name),
                      now = entry_of(saved.options, name);
    if (before == now) continue;
    recorded.warning +=
        concat(recorded.warning.empty() ? "" : "\n", directory, "/config.json has --", name, " '",
               before, "', the checkpoint '", now, "', which is used");
    replace(recorded.config.options, saved.options, name);
  }
  return recorded;
}

std::string identity(const RunConfig& config) {
  return to_json(RunConfig{.program = config.program, .options = config.options});
}

std::string remainder(const RunConfig& config) {
  RunConfig rest{.program = config.program, .data = config.data};
  const Options common;
  for (const auto& entry : config.session) {
    const OptionSpec* option = common.find(entry.first);
    if (option != nullptr && option->adjustable) rest.session.push_back(entry);
  }
  return to_json(rest);
}

Options options_to_resume(const CommandLine& line, const RunConfig& recorded) {
  Options options = resumed_options(line, recorded.options);
  // Each replaces the other.
  if (line.gave("iterations")) options.set("epochs", "");
  if (line.gave("epochs")) options.set("iterations", "");
  for (const OptionSpec& option : line.options.specs) {
    const bool kept = option.use == OptionSpec::Use::session && option.adjustable;
    if (kept && !line.gave(option.name))
      options.set(option.name, entry_of(recorded.session, option.name));
  }
  return options;
}

RunConfig updated(const RunConfig& recorded, const RunConfig& now, const Options& options) {
  RunConfig config = recorded;
  for (const OptionSpec& option : options.specs) {
    if (!option.adjustable) continue;
    const bool session = option.use == OptionSpec::Use::session;
    session ? replace(config.session, now.session, option)
            : replace(config.options, now.options, option);
  }
  for (const char* name : {"iterations", "eval_every", "save_every"})
    replace(config.resolved, now.resolved, name);
  // What a configuration from the checkpoint lacks.
  if (config.session.empty()) config.session = now.session;
  if (config.resolved.empty()) config.resolved = now.resolved;
  if (config.build.empty()) config.build = now.build;
  if (config.data.empty()) config.data = now.data;
  return config;
}

void check_same_past(const Precision& before, const Precision& now, std::int64_t done) {
  for (std::int64_t t = 0; t < done; ++t) {
    const PrecisionPlan old_plan = before.plan(t), new_plan = now.plan(t);
    const double old_rate = before.rate(t), new_rate = now.rate(t);
    const auto values = [](const PrecisionPlan& plan, double rate) {
      return concat(cost_reference_text(plan.base.formats()), " bits and the rate ", rate);
    };
    const bool same_rates = old_rate == new_rate && (!now.rates || before.rates(t) == now.rates(t));
    require<DataError>(
        same_numerics(old_plan, new_plan) && same_rates,
        "[resume] the schedules span the run: with another ", "length the step of iteration ", t,
        " would have had ", values(new_plan, new_rate), ", it had ", values(old_plan, old_rate),
        "; leave --iterations and --epochs out, or begin a run of the new length in another --out");
  }
}

bool same_evaluations(const Precision& before, const Precision& now) {
  if (!before.evaluation || !now.evaluation)
    return before.evaluation.has_value() == now.evaluation.has_value();
  return same_numerics(*before.evaluation, *now.evaluation);
}

namespace {

// How a schedule of `option` was bound for a run of another length.
void check_same_values(std::string_view option, const Bound& before, const Bound& now,
                       std::int64_t done) {
  for (std::int64_t t = 0; t < done; ++t) {
    require<DataError>(before(t) == now(t), "[resume] --", option,
                       " spans the run: with another length it would have been ", now(t),
                       " in the step of iteration ", t, ", it was ", before(t),
                       "; leave --iterations and --epochs out, or begin a run of the new length in "
                       "another --out");
  }
}

// As check_same_past, for knobs that are not given anew.
void check_same_knobs(const std::vector<Knob>& planned, const Run& run, std::int64_t done) {
  if (run.options.gave("set")) return;
  for (std::size_t i = 0; i < planned.size(); ++i)
    check_same_values(concat("set ", planned[i].name), planned[i].bound, run.state.knobs[i].bound,
                      done);
}

}  // namespace

std::vector<std::string> check_new_length(const Run& run, const Program& program,
                                          const RunConfig& saved_under) {
  require_same_sums(run.precision, saved_under);
  const CommandLine nothing{.options = Options(program.options), .text = {}};
  const Options before = resumed_options(nothing, saved_under.options);
  Options options = run.options;
  for (const char* name : {"iterations", "epochs"}) options.set(name, before.text(name));
  const std::int64_t length = iterations_of(options, run.task), done = run.state.iteration;
  if (length == run.settings.iterations) return {};
  require<DataError>(run.settings.iterations > done, "[resume] the run has done ", done,
                     " steps already, it cannot end after ", run.settings.iterations,
                     "; give more --iterations or --epochs");
  const Precision planned = precision_of(options, run);
  std::vector<std::string> said;
  check_same_past(planned, run.precision, done);
  for (const char* of_batches : {"batch-multiplier", "masking-rate", "sequence-length"}) {
    if (run.options.find(of_batches) == nullptr || !run.options.has(of_batches)) continue;
    const Schedule schedule = Schedule::parse(run.options.text(of_batches));
    check_same_values(of_batches, schedule.bind(totals_of(options, run)),
                      schedule.bind(totals_of(run.options, run)), done);
  }
  check_same_knobs(
      knobs_of(options, totals_of(options, run), run.state.optimizer, true, run.task.settings), run,
      done);
  for (const char* name : {"certify-epsilon", "certify-kappa"}) {
    if (run.options.find("certify") == nullptr || !run.options.flag("certify")) break;
    const Schedule schedule = Schedule::parse(run.options.text(name));
    check_same_values(name, schedule.bind(totals_of(options, run)),
                      schedule.bind(totals_of(run.options, run)), done);
  }
  if (!same_evaluations(planned, run.precision)) {
    if (!run.state.controllers.empty()) {
      throw DataError(
          concat("[resume] evaluations are at the highest bits of the run, which differ with the "
                 "new length, and --",
                 run.state.controllers.front().rule->option,
                 " has followed those of the old one; leave --iterations and --epochs out, or "
                 "begin a run of the new length in another --out"));
    }
    said.emplace_back(
        "warning: evaluations are at the highest bits of the run, from here on those of the new "
        "length");
  }
  said.push_back(
      concat("the run ends after ", run.settings.iterations, " steps in place of ", length,
             "; bits and rates of the ", done,
             " steps done are the same for both, those to come are those of the new length"));
  return said;
}

void check_never_saved(const RunDirectory& directory, const RunConfig& recorded) {
  const auto entry =
      std::ranges::find(recorded.resolved, "save_every", &KeyValues::value_type::first);
  std::int64_t save_every = 0;
  const auto steps = std::ssize(read_history(directory.path()).steps);
  const bool known = entry != recorded.resolved.end() && parse_number(entry->second, save_every);
  require<DataError>(!known || steps <= save_every, "[resume] ", directory.path(),
                     ": the record holds ", steps, " steps of a run that is saved every ",
                     save_every,
                     ", but there is no checkpoint.safetensors; restore it, or remove the "
                     "directory and begin anew");
}

void check_same_data(const RunConfig& recorded, const KeyValues& now) {
  if (recorded.data.empty())
    return;  // config.json is lost, and the checkpoint is of a version that did not note it
  for (const auto& [name, value] : now) {
    const std::string before = entry_of(recorded.data, name);
    const bool table = name == kMultiplierEntry;
    require<DataError>(before == value, "[run] the ", table ? "multiplier is" : "data are", " not ",
                       table ? "that" : "those", " of the run: ", name, " is '", value,
                       "' now and was '", before, "'; check --", table ? "multiplier" : "data");
  }
}

void check_same_scored(const RunConfig& recorded, KeyValues now, const CommandLine& line) {
  if (line.gave("multiplier"))
    std::erase_if(now, [](const auto& entry) { return entry.first == kMultiplierEntry; });
  check_same_data(recorded, now);
}

TakenParams start_from(const std::string& directory, KeyValues& data, ParamStore& params) {
  const RunConfig config = parse_config(read_config(directory));
  const Checkpoint checkpoint = read_checkpoint(directory);
  const std::string theirs = entry_of(config.data, kVocabularyEntry),
                    ours = entry_of(data, kVocabularyEntry);
  require<DataError>(theirs.empty() == ours.empty(), "[command line] --from ", directory,
                     ": it is a run of ", config.program, ", which was trained ",
                     theirs.empty() ? "on no text" : "on text", ", this network is trained ",
                     ours.empty() ? "on no text" : "on text", "; give a run of this program");
  require<DataError>(theirs == ours, "[command line] --from ", directory,
                     ": its tokens are not those of these data, so its parameters are of other "
                     "tokens; take --data, --unit and --vocabulary of that run");
  TakenParams result = take_params(checkpoint, params);
  data.emplace_back("from", weights_sha256(checkpoint));
  return result;
}

}  // namespace ebb::cli
