#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "train/app/forecast.h"
#include "train/app/progress.h"
#include "train/app/report.h"
#include "train/app/run.h"
#include "train/app/tables.h"

namespace ebb::cli {
namespace {

using namespace ebb::train;

constexpr std::size_t kColumns = 100;

std::string steps_text(std::int64_t steps) {
  return concat(with_separators(static_cast<uint128>(steps)), steps == 1 ? " step" : " steps");
}

// Counts, shape and source. That data are made up is no detail where nobody asked for them.
std::string data_text(const Run& run) {
  const auto described =
      std::ranges::find(run.task.data, "description", &KeyValues::value_type::first);
  std::string text = described == run.task.data.end() ? "" : described->second;
  const OptionSpec* data = run.options.find("data");
  if (data == nullptr) return text;
  if (text.empty()) text = data->text();
  const bool made_up = data->text().starts_with("synthetic") || data->text() == "embedded";
  if (!made_up) text += concat(", from ", data->text());
  if (const OptionSpec* share = run.options.find("validation");
      share != nullptr && run.options.real("validation") > 0)
    text += concat("; ", format_share(run.options.real("validation")),
                   " of the training set held out for validation");
  return made_up && data->chosen.empty()
             ? concat("MADE UP, SINCE NO --data WAS GIVEN; its scores mean little. ", text)
             : text;
}

std::string network_text(const Run& run, const Program& program) {
  const std::string& name = run.options.text("arch");
  const std::string& summary = find_arch(program, name).summary;
  return concat(name, summary.empty() ? "" : concat(", ", summary), "; ",
                with_separators(static_cast<uint128>(run.state.params.parameter_count())),
                " parameters");
}

std::string schedule_text(const Run& run) {
  const std::string &bits = run.precision.bits_text, &gradients = run.precision.gradient_text;
  const std::string name =
      run.options.has("bits") ? "" : concat(run.options.text("schedule"), ": ");
  if (bits == "fp32") return "fp32";
  return concat(name, bits, gradients.empty() ? "" : concat("; gradients ", gradients));
}

// By role, from the narrowest to the widest of the run.
std::string formats_by_role(const Run& run) {
  const RoleFormats low = role_formats(run.precision.narrowest, run.example),
                    high = role_formats(run.precision.widest, run.example);
  const auto span = [](Format from, Format to) {
    return from == to ? to_text(from) : concat(from, " to ", to);
  };
  std::string text = concat("weights ", span(low.weight, high.weight), ", activations ",
                            span(low.activation, high.activation));
  if (low.gradient && high.gradient)
    text += concat(", gradients ", span(*low.gradient, *high.gradient));
  if (low.by_site || high.by_site) text += "; some layers have others, which --dry-run lists";
  const std::string arithmetic = format_options(run.precision.arithmetic);
  return concat(text, arithmetic.empty() ? "" : concat("; with ", arithmetic));
}

std::string optimizer_text(const Run& run) {
  std::string text(run.state.optimizer.rule->name);
  for (const auto& [name, value] : run.state.optimizer.hyperparameters) {
    std::string words = name;
    std::ranges::replace(words, '_', ' ');
    const bool flag = name == "strict_elementwise" || name == "round_update";
    if (!flag) text += concat(", ", words, ' ', format_short(value));
    if (flag && value != 0) text += concat(", ", words);
  }
  if (run.state.loss_scale) text += concat(", loss scale ", run.options.text("loss-scale"));
  if (run.settings.clip)
    text += concat(", gradients clipped to the norm ", format_short(*run.settings.clip));
  for (const Knob& knob : run.state.knobs) {
    if (knob.name != "lr") text += concat("; ", knob.name, " follows ", knob.schedule.text());
  }
  return text;
}

std::string rate_text(const Run& run) {
  for (const Knob& knob : run.state.knobs) {
    if (knob.name == "lr") return knob.schedule.text();
  }
  std::string text = run.options.text("lr");
  if (run.precision.rate_text != "1") text += concat(" times ", run.precision.rate_text);
  for (const Controller& controller : run.state.controllers)
    text += concat(", --", controller.rule->option, ' ', run.options.text(controller.rule->option));
  return text;
}

std::string length_text(const Run& run) {
  const std::int64_t steps = run.settings.iterations, epoch = run.task.steps_per_epoch;
  const double epochs = static_cast<double>(steps) / static_cast<double>(epoch);
  std::string text =
      concat(steps_text(steps), ", ", format_short(epochs), epochs == 1 ? " epoch" : " epochs",
             " of ", with_separators(static_cast<uint128>(epoch)));
  if (run.options.has("batch")) text += concat("; --batch ", run.options.text("batch"));
  if (run.options.integer("accumulate") > 1)
    text += concat(" in ", run.options.text("accumulate"), " micro-batches");
  return concat(text, "; seed ", run.options.text("seed"));
}

std::string evaluation_text(const Run& run) {
  if (run.task.splits.empty()) return "none";
  RoleFormats formats;
  if (run.precision.evaluation) formats = role_formats(*run.precision.evaluation, run.example);
  formats.gradient.reset();
  const std::string& first = run.task.splits[0].name;
  std::string text =
      concat("every ", steps_text(run.settings.eval_every), " on the ", first, " set, in ",
             run.precision.evaluation ? formats_text(formats) : "the formats of the last step");
  for (std::size_t i = 1; i < run.task.splits.size(); ++i)
    text += concat("; at the end on the ", run.task.splits[i].name, " set, too");
  if (run.options.has("patience"))
    text += concat("; ends after ", run.options.text("patience"), " without a better ",
                   run.task.metric.name);
  if (first == "test" && run.options.find("validation") != nullptr)
    text += concat(". What is chosen by these scores is chosen by the test set: --validation 0.1 ",
                   "holds out training examples to choose by");
  return text;
}

std::string place_text(const Run& run, const Destination& where) {
  if (where.directory.empty()) return "not saved (--out none)";
  if (where.resumed)
    return concat(where.directory, ", goes on after ", run.state.iteration, " of ",
                  steps_text(run.settings.iterations));
  const std::string& keep = run.options.text("keep");
  return concat(where.directory, ", saved every ", steps_text(run.settings.save_every),
                keep == "last" ? "" : concat(", --keep ", keep));
}

}  // namespace

std::string banner(const Run& run, const Program& program, const Destination& where) {
  std::vector<std::vector<std::string>> facts{
      {"data", data_text(run)},
      {"network", network_text(run, program)},
      {"schedule", schedule_text(run)},
      {"formats", formats_by_role(run)},
      {"optimizer", optimizer_text(run)},
      {"memory", memory_text(memory_of(run.state.optimizer))},
      {"learning rate", rate_text(run)},
      {"length", length_text(run)},
      {"evaluation", evaluation_text(run)},
      {"cost", concat("relative to that in ", cost_reference_text(run.precision.costs.reference),
                      " bits (weights/activations/gradients)")},
      {"machine", concat(run.options.text("threads"),
                         run.options.integer("threads") == 1 ? " thread, " : " threads, ",
                         to_text(run.settings.simd), ", kernel ",
                         kernel_name(run.precision.plan(0), run.state.params, run.settings.simd))},
      {"run", place_text(run, where)}};
  std::erase_if(facts, [](const auto& fact) { return fact[1].empty(); });
  return format_facts(std::move(facts), kColumns);
}

}  // namespace ebb::cli
