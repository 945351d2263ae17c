#include "train/app/report.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/printable.h"
#include "quant/gemm.h"
#include "quant/operand.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/tables.h"
#include "train/costs.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

Json maybe(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

std::string kernel_name(const PrecisionPlan& plan, Simd simd) {
  const Site site{"kernel"};
  const Tensor x = Tensor::filled({64, 64}, 1.0f);
  const Operand a(x.matrix(), plan.encoding(site, Role::activation), Granularity::per_tensor,
                  Key(0), {.simd = simd, .simulate = plan.simulate});
  const Operand b(x.matrix(), plan.encoding(site, Role::weight), Granularity::per_row, Key(0),
                  {.simd = simd, .simulate = plan.simulate});
  return std::string(choose_kernel(a, b.transposed(),
                                   {.site = site, .accumulator = plan.base.forward, .simd = simd}));
}

KeyValues build_fingerprint(const PrecisionPlan& plan, Simd simd) {
#ifdef __clang__
  const std::string compiler = concat("clang ", __clang_version__);
#else
  const std::string compiler = concat("gcc ", __VERSION__);
#endif
  return {{"version", EBB_VERSION},
          {"compiler", compiler},
          {"simd", to_text(simd)},
          {"kernel", kernel_name(plan, simd)}};
}

std::optional<double> training_loss(const History& history, std::int64_t steps_per_epoch) {
  const std::int64_t steps = std::ssize(history.steps), counted = std::min(steps, steps_per_epoch);
  if (counted == 0) return std::nullopt;
  double sum = 0;
  for (auto row = history.steps.end() - counted; row != history.steps.end(); ++row)
    sum += row->loss;
  return sum / static_cast<double>(counted);
}

Summary summarize(const History& history, const RunState& state, const Task& task,
                  const SiteFormats& reference, const PrecisionPlan& plan, Simd simd) {
  Summary summary{.metric = task.metric.name,
                  .baselines = task.baselines,
                  .ledger = state.ledger,
                  .evaluation_ledger = state.evaluation_ledger,
                  .cost = relative_cost(state.ledger, reference),
                  .peak_rss_bytes = peak_rss_bytes(),
                  .weights_sha256 = weights_sha256(state.params),
                  .iterations = state.iteration,
                  .kernel = kernel_name(plan, simd)};
  for (const EvalRow& row : history.evaluations) {
    if (row.split == "test") summary.test = row;
    if (row.split == "validation") summary.validation = row;
  }
  std::vector<double> seconds;
  for (const StepRow& row : history.steps) seconds.push_back(row.seconds);
  summary.train_loss = training_loss(history, task.steps_per_epoch);
  summary.seconds_per_step = median(std::move(seconds));
  return summary;
}

std::string to_json(const Summary& summary) {
  const auto score = [](const std::optional<EvalRow>& row) {
    return row ? Json(row->score) : Json(nullptr);
  };
  const auto loss = [](const std::optional<EvalRow>& row) {
    return row ? Json(row->loss) : Json(nullptr);
  };
  const auto examples = [](const std::optional<EvalRow>& row) {
    return row ? Json(row->examples) : Json(nullptr);
  };
  const auto iteration = [](const std::optional<EvalRow>& row) {
    return row ? Json(row->iteration) : Json(nullptr);
  };
  const auto bits = [](const std::optional<EvalRow>& row) {
    return row ? Json::parse(to_line(*row)).at("bits") : Json(nullptr);
  };
  Json json{
      {"test_" + summary.metric, score(summary.test)},
      {"validation_" + summary.metric, score(summary.validation)},
      {"test_iteration", iteration(summary.test)},
      {"validation_iteration", iteration(summary.validation)},
      {"test_bits", bits(summary.test)},
      {"validation_bits", bits(summary.validation)},
      {"test_loss", loss(summary.test)},
      {"validation_loss", loss(summary.validation)},
      {"test_examples", examples(summary.test)},
      {"validation_examples", examples(summary.validation)},
      {"train_loss", maybe(summary.train_loss)},
      {"bit_ops", to_text(summary.ledger.total_bit_ops())},
      {"bit_ops_paper", to_text(summary.ledger.paper_bit_ops())},
      {"gbitops", CostLedger::giga_bit_ops(summary.ledger.total_bit_ops())},
      {"effective_flops", CostLedger::effective_flops(summary.ledger.total_bit_ops())},
      {"relative_cost", summary.cost.exact},
      {"relative_cost_paper", summary.cost.paper},
      {"cost_reference", cost_reference_text(summary.cost.reference)},
      {"accumulator_overflows", to_text(summary.ledger.overflow_events())},
      {"accumulator_overflows_by_site", Json::parse(overflows_json(summary.ledger))},
      {"evaluation_accumulator_overflows", to_text(summary.evaluation_ledger.overflow_events())},
      {"evaluation_accumulator_overflows_by_site",
       Json::parse(overflows_json(summary.evaluation_ledger))},
      {"seconds_per_step", maybe(summary.seconds_per_step)},
      {"peak_rss_bytes", summary.peak_rss_bytes},
      {"weights_sha256", summary.weights_sha256},
      {"iterations", summary.iterations},
      {"kernel", summary.kernel},
      {"interrupted", summary.interrupted}};
  for (const auto& [name, value] : summary.baselines) json[name] = value;
  return dump(json);
}

std::string to_json(const Generated& generated, const CostLedger& ledger) {
  return dump({{"text", generated.text},
               {"prompt_tokens", generated.prompt},
               {"tokens", generated.tokens},
               {"bit_ops", to_text(ledger.total_bit_ops())},
               {"accumulator_overflows", to_text(ledger.overflow_events())},
               {"accumulator_overflows_by_site", Json::parse(overflows_json(ledger))}});
}

std::string format_cost(double ratio, const SiteFormats& reference) {
  return concat(format_fixed(ratio, 4), " of ", cost_reference_text(reference));
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

std::string to_table(const Summary& summary) {
  std::vector<std::vector<std::string>> facts;
  const auto add = [&](const std::string& name, const std::optional<double>& value) {
    if (value) facts.push_back({name, format_fixed(*value, 4)});
  };
  const auto add_score = [&](const std::optional<EvalRow>& row) {
    if (row)
      facts.push_back(
          {concat(row->split, ' ', row->metric),
           concat(format_fixed(row->score, 4), " at ", formats_text(row->formats),
                  row->iteration == summary.iterations ? ""
                                                       : concat(" after step ", row->iteration))});
  };
  add_score(summary.test);
  add_score(summary.validation);
  for (const auto& baseline : summary.baselines) {
    std::string name = baseline.first;
    std::ranges::replace(name, '_', ' ');
    add(name, baseline.second);
  }
  if (summary.train_loss)
    facts.push_back({"training loss",
                     concat(format_fixed(*summary.train_loss, 4), ", mean of the last epoch")});
  facts.push_back({"steps", to_text(summary.iterations)});
  facts.push_back({"bit-operations", with_separators(summary.ledger.total_bit_ops())});
  facts.push_back({"relative cost", format_cost(summary.cost.exact, summary.cost.reference)});
  facts.push_back(
      {"papers' relative cost", format_cost(summary.cost.paper, summary.cost.reference)});
  facts.push_back({"accumulator overflows", format_overflows(summary.ledger)});
  facts.push_back({"  in evaluations", format_overflows(summary.evaluation_ledger)});
  add("seconds a step (median)", summary.seconds_per_step);
  facts.push_back({"weights SHA-256", summary.weights_sha256});
  return format_facts(facts);
}

}  // namespace ebb::train
