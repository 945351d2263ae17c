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

// Weights of convolutions are [out, height, width, in]. Those of one tap are dense products; those
// of one channel each, depthwise, have no product of their own.
bool convolves(const ParamStore& params) {
  return std::ranges::any_of(params.entries(), [](const ParamStore::Entry& entry) {
    const Shape& shape = entry.value.shape();
    return entry.kind == ParamStore::Kind::parameter && shape.rank() == 4 &&
           shape[1] * shape[2] > 1 && shape[3] > 1;
  });
}

Json maybe(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

std::string kernel_name(const PrecisionPlan& plan, const ParamStore& params, Simd simd) {
  const Site site{"kernel"};
  const auto chosen = [&](const Operand& a, std::int64_t depth) {
    const Tensor w = Tensor::filled({64, depth}, 1.0f);
    const Operand b(w.matrix(), plan.encoding(site, Role::weight), Granularity::per_row, Key(0),
                    {.simd = simd, .simulate = plan.simulate});
    return std::string(choose_kernel(a, b.transposed(),
                                     {.site = site,
                                      .accumulator = plan.base.forward,
                                      .simd = simd,
                                      .multiplier = plan.multiplier.get()}));
  };
  // 64 rows of 64 numbers; as an image 8 x 8 pixels of 64 channels.
  const Tensor x = Tensor::filled({64, 64}, 1.0f);
  const Encoding& activation = plan.encoding(site, Role::activation);
  const bool blocks = has_blocks(activation.format);  // of which a patch matrix is a dense one
  const Operand a(x.matrix(), activation, blocks ? Granularity::per_row : Granularity::per_tensor,
                  Key(0), {.simd = simd, .simulate = plan.simulate});
  std::string dense = chosen(a, 64);
  if (!convolves(params) || blocks) return dense;
  constexpr PatchGeometry kPatches{.images = 1,
                                   .height = 8,
                                   .width = 8,
                                   .channels = 64,
                                   .pixel_stride = 64,
                                   .out_height = 8,
                                   .out_width = 8,
                                   .taps_y = 3,
                                   .taps_x = 3,
                                   .pad_top = 1,
                                   .pad_left = 1,
                                   .nominal_positions = 64};
  const std::string convolution = chosen(a.patches(kPatches), kPatches.cols());
  return convolution == dense ? dense : concat(dense, ", convolutions ", convolution);
}

KeyValues build_fingerprint(const PrecisionPlan& plan, const ParamStore& params, Simd simd) {
#ifdef __clang__
  const std::string compiler = concat("clang ", __clang_version__);
#else
  const std::string compiler = concat("gcc ", __VERSION__);
#endif
  return {{"version", EBB_VERSION},
          {"compiler", compiler},
          {"simd", to_text(simd)},
          {"kernel", kernel_name(plan, params, simd)}};
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
                  const CostBasis& costs, const PrecisionPlan& plan, Simd simd) {
  Summary summary{.metric = task.metric.name,
                  .baselines = task.baselines,
                  .ledger = state.ledger,
                  .evaluation_ledger = state.evaluation_ledger,
                  .cost = relative_cost(state.ledger, costs),
                  .peak_rss_bytes = peak_rss_bytes(),
                  .weights_sha256 = weights_sha256(state.params),
                  .iterations = state.iteration,
                  .kernel = kernel_name(plan, state.params, simd)};
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
  const std::optional<EvalRow>& best = summary.monitor.best;
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
      {"cost_reference", cost_reference_text(summary.cost.basis.reference)},
      {"cost_model", to_text(summary.cost.basis.model)},
      {"costs", Json::parse(costs_json(summary.ledger, summary.cost.basis.reference))},
      {"block_scale_bytes", to_text((summary.ledger.scale_bits() + 7) / 8)},
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
      {"interrupted", summary.interrupted},
      {"ended_early", summary.ended_early},
      {"best_split", best ? Json(best->split) : Json(nullptr)},
      {"best_score", best ? Json(best->score) : Json(nullptr)},
      {"best_iteration", iteration(best)},
      {"run", summary.directory.empty() ? Json(nullptr) : Json(summary.directory)}};
  for (const std::optional<EvalRow>& row : {summary.test, summary.validation}) {
    if (row) json.update(Json::parse(more_scores_json(*row)));
  }
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

std::string more_scores_json(const EvalRow& row) {
  Json json = Json::object();
  for (const auto& [name, score] : row.more) {
    const std::size_t cut = name.find('/');
    Json& member = json[concat(row.split, '_', name.substr(0, cut))];
    (cut == std::string::npos ? member : member[name.substr(cut + 1)]) = score;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string more_scores_text(const EvalRow& row) {
  std::string text;
  for (const auto& [name, score] : row.more) {
    std::string words = name;
    std::ranges::replace(words, '/', ' ');
    text += concat(text.empty() ? "" : ", ", printable(words), ' ', format_score(name, score));
  }
  return text;
}

std::string training_loss_text(double loss) {
  return concat(format_fixed(loss, 4), ", mean of the last epoch's steps");
}

std::string format_cost(double ratio, const CostBasis& basis) {
  return concat(format_fixed(ratio, 4), " of ", basis);
}

std::string format_cost(const CostLedger& ledger, const RelativeCost& relative) {
  const CostModel& model = relative.basis.model;
  return concat(model.kind == CostModel::Kind::bits
                    ? format_bit_ops(ledger.total_bit_ops())
                    : concat(format_si(cost(ledger, model).value()), model.unit()),
                ", ", format_cost(relative.exact, relative.basis));
}

void add_scales(const CostLedger& ledger, std::vector<std::vector<std::string>>& facts) {
  if (ledger.scale_bits() == 0) return;
  facts.push_back({"block scales", concat(format_si(static_cast<double>(ledger.scale_bits()) / 8),
                                          "B read, which no cost counts")});
}

std::string costs_of_fp32(const CostLedger& ledger) {
  std::vector<std::string> texts;
  for (const RelativeCost& each : relative_costs(ledger, SiteFormats::fp32()))
    texts.push_back(concat(each.basis.model.short_text(), ' ', format_fixed(each.exact, 4)));
  return join_words(texts);
}

std::string costs_json(const CostLedger& ledger, const SiteFormats& reference) {
  Json costs = Json::array();
  const std::vector<RelativeCost> of_fp32 = relative_costs(ledger, SiteFormats::fp32()),
                                  of_reference = relative_costs(ledger, reference);
  for (std::size_t i = 0; i < of_fp32.size(); ++i) {
    const CostModel& model = of_fp32[i].basis.model;
    costs.push_back({{"model", to_text(model)},
                     {"unit", model.unit()},
                     {"total", cost(ledger, model).value()},
                     {"relative_cost", of_reference[i].exact},
                     {"relative_to_fp32", of_fp32[i].exact}});
  }
  return costs.dump();
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

std::string early_end_text(const Monitor& monitor) {
  return concat("ended early, after ", monitor.evaluations_without_better,
                monitor.evaluations_without_better == 1 ? " evaluation" : " evaluations",
                " without a better score");
}

namespace {

void add_scores(const Summary& summary, std::vector<std::vector<std::string>>& facts) {
  for (const std::optional<EvalRow>& row : {summary.test, summary.validation}) {
    if (!row) continue;
    facts.push_back(
        {concat(row->split, ' ', row->metric),
         concat(format_score(row->metric, row->score), " in ", formats_text(row->formats),
                row->iteration == summary.iterations
                    ? ""
                    : concat(" after ", row->iteration, " steps"))});
    if (!row->more.empty()) facts.push_back({"  and", more_scores_text(*row)});
  }
  const std::optional<EvalRow>& best = summary.monitor.best;
  if (best && best->iteration != summary.iterations)
    facts.push_back(
        {concat("  best on ", best->split),
         concat(format_score(best->metric, best->score), " after ", best->iteration, " steps")});
  for (const auto& [metric, score] : summary.baselines) {
    std::string name = metric;
    std::ranges::replace(name, '_', ' ');
    facts.push_back({name, format_score(name, score)});
  }
}

}  // namespace

std::string to_table(const Summary& summary) {
  std::vector<std::vector<std::string>> facts;
  add_scores(summary, facts);
  if (summary.train_loss)
    facts.push_back({"training loss", training_loss_text(*summary.train_loss)});
  facts.push_back(
      {"steps", concat(summary.iterations,
                       summary.ended_early ? concat("; ", early_end_text(summary.monitor)) : "")});
  facts.push_back({"cost", format_cost(summary.ledger, summary.cost)});
  facts.push_back({"  of fp32's", costs_of_fp32(summary.ledger)});
  add_scales(summary.ledger, facts);
  facts.push_back(
      {"papers' cost", concat(format_bit_ops(summary.ledger.paper_bit_ops()), ", ",
                              format_cost(summary.cost.paper, {summary.cost.basis.reference}))});
  facts.push_back({"accumulator overflows", format_overflows(summary.ledger)});
  facts.push_back({"  in evaluations", format_overflows(summary.evaluation_ledger)});
  if (summary.seconds_per_step)
    facts.push_back(
        {"time", concat(format_fixed(1e3 * *summary.seconds_per_step, 1), " ms a step (median)")});
  facts.push_back({"weights SHA-256", summary.weights_sha256});
  facts.push_back({"saved in", summary.directory.empty() ? "nothing is saved with --out none"
                                                         : summary.directory});
  return format_facts(facts);
}

}  // namespace ebb::train
