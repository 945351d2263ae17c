#include "train/app/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/math.h"
#include "layers/probe.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/report.h"
#include "train/app/tables.h"
#include "train/config.h"
#include "train/costs.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

double total_seconds(const EvaluationReport& report) {
  double seconds = 0;
  for (const EvalRow& row : report.splits) seconds += row.seconds;
  return seconds;
}

}  // namespace

EvaluationReport evaluate_all(const Task& task, RunState& state, const LoopSettings& settings,
                              const Precision& precision, const LoopEvents& events) {
  CostLedger before = std::exchange(state.evaluation_ledger, {});
  EvaluationReport report{.metric = task.metric.name,
                          .baselines = task.baselines,
                          .costs = precision.costs,
                          .arithmetic = precision.arithmetic};
  for (const Split& split : task.splits) {
    report.splits.push_back(evaluate(task, split, state, settings, events));
    if (events.evaluation) events.evaluation(report.splits.back());
  }
  report.ledger = std::exchange(state.evaluation_ledger, std::move(before));
  report.weights_sha256 = weights_sha256(state.params);
  report.kernel =
      kernel_name(evaluation_plan(settings, state.iteration), state.params, settings.simd);
  report.iterations = state.iteration;
  return report;
}

namespace {

// The mean of the operands' ratios of noise to signal, in dB.
double mean_sqnr_db(const std::vector<OperandQuality>& operands, Role role) {
  double sum = 0, count = 0;
  for (const OperandQuality& operand : operands) {
    if (operand.role != role) continue;
    count += 1;
    sum += math::exp(-operand.sqnr_db / 10 * math::log(10.0));  // nothing of what lost nothing
  }
  return sum > 0 ? -10 * math::log(sum / count) / math::log(10.0)
                 : std::numeric_limits<double>::infinity();
}

Json json_of(const EvaluationReport& report) {
  Json json;
  for (const char* name :
       {"test", "validation"}) {  // both, whichever the data have, as after a training
    const auto row = std::ranges::find(report.splits, name, &EvalRow::split);
    const bool scored = row != report.splits.end();
    const auto add = [&](const std::string& member, auto EvalRow::*value) {
      json[concat(name, '_', member)] = scored ? Json((*row).*value) : Json(nullptr);
    };
    add(report.metric, &EvalRow::score);
    add("loss", &EvalRow::loss);
    json[concat(name, "_examples")] = scored ? Json((*row).examples) : Json(nullptr);
    json[concat(name, "_bits")] = scored ? Json::parse(to_line(*row)).at("bits") : Json(nullptr);
    json[concat(name, "_bit_ops")] = scored ? Json(to_text(row->bit_ops)) : Json(nullptr);
    add("seconds", &EvalRow::seconds);
    if (scored) json.update(Json::parse(more_scores_json(*row)));
  }
  json["arithmetic"] = Json::parse(texts_json(report.arithmetic));
  json["bit_ops"] = to_text(report.ledger.total_bit_ops());
  json["gbitops"] = CostLedger::giga_bit_ops(report.ledger.total_bit_ops());
  json["effective_flops"] = CostLedger::effective_flops(report.ledger.total_bit_ops());
  json["relative_cost"] = relative_cost(report.ledger, report.costs).exact;
  json["cost_reference"] = cost_reference_text(report.costs.reference);
  json["cost_model"] = to_text(report.costs.model);
  json["costs"] = Json::parse(costs_json(report.ledger, report.costs.reference));
  json["accumulator_overflows"] = to_text(report.ledger.overflow_events());
  json["accumulator_overflows_by_site"] = Json::parse(overflows_json(report.ledger));
  json["seconds"] = total_seconds(report);
  json["peak_rss_bytes"] = peak_rss_bytes();
  json["weights_sha256"] = report.weights_sha256;
  json["iterations"] = report.iterations;
  json["kernel"] = report.kernel;
  for (const auto& [name, value] : report.baselines) json[name] = value;
  return json;
}

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string to_json(const EvaluationReport& report) { return dump(json_of(report)); }

FormatScore score_format(Format format, const Task& task, RunState& state,
                         const LoopSettings& settings, const Precision& precision,
                         const LoopEvents& events) {
  FormatScore score{.format = format,
                    .report = evaluate_all(task, state, settings, precision, events)};
  Measurements measured;
  if (!task.splits.empty())
    observe_evaluation(task.splits[0], state, settings, measuring(measured, true, {}));
  score.weight_sqnr_db = mean_sqnr_db(measured.operands, Role::weight);
  score.activation_sqnr_db = mean_sqnr_db(measured.operands, Role::activation);
  return score;
}

std::string to_json(std::span<const FormatScore> scores) {
  const auto ratio = [](double db) { return std::isfinite(db) ? Json(db) : Json(nullptr); };
  Json all = Json::array();
  for (const FormatScore& score : scores) {
    Json json{{"format", to_text(score.format)},
              {"weight_sqnr_db", ratio(score.weight_sqnr_db)},
              {"activation_sqnr_db", ratio(score.activation_sqnr_db)}};
    json.update(json_of(score.report));
    all.push_back(std::move(json));
  }
  return dump(all);
}

std::string heading_of(const FormatScore& score) {
  std::vector<std::string> names{"format"};
  for (const EvalRow& row : score.report.splits) {
    names.push_back(concat(row.split, '_', row.metric));
    names.push_back(concat(row.split, "_loss"));
  }
  for (const char* each :
       {"weight_sqnr_db", "activation_sqnr_db", "bit_ops", "relative_cost", "cost_model"})
    names.emplace_back(each);
  return format_row(names);
}

std::string to_row(const FormatScore& score) {
  std::vector<std::string> fields{to_text(score.format)};
  for (const EvalRow& row : score.report.splits) {
    fields.push_back(to_text(row.score));
    fields.push_back(to_text(row.loss));
  }
  for (const double db : {score.weight_sqnr_db, score.activation_sqnr_db})
    fields.push_back(format_fixed(db, 2));
  const CostLedger& ledger = score.report.ledger;
  fields.push_back(to_text(ledger.total_bit_ops()));
  fields.push_back(format_fixed(relative_cost(ledger, score.report.costs).exact, 4));
  fields.push_back(to_text(score.report.costs.model));
  return format_row(fields);
}

std::string to_table(const EvaluationReport& report) {
  std::vector<std::vector<std::string>> facts;
  for (const EvalRow& row : report.splits) {
    facts.push_back({concat(row.split, ' ', row.metric),
                     concat(format_score(row.metric, row.score), " in ", formats_text(row.formats),
                            ", loss ", format_fixed(row.loss, 4))});
    if (!row.more.empty()) facts.push_back({"  and", more_scores_text(row)});
  }
  if (const std::string arithmetic = format_options(report.arithmetic); !arithmetic.empty())
    facts.push_back({"with", arithmetic});
  for (const auto& baseline : report.baselines) {
    std::string name = baseline.first;
    std::ranges::replace(name, '_', ' ');
    facts.push_back({name, format_score(name, baseline.second)});
  }
  facts.push_back({"steps of training", to_text(report.iterations)});
  facts.push_back({"bit-operations",
                   concat(format_bit_ops(report.ledger.total_bit_ops()), " of this evaluation")});
  facts.push_back({"cost", format_cost(report.ledger, relative_cost(report.ledger, report.costs))});
  facts.push_back({"accumulator overflows", format_overflows(report.ledger)});
  facts.push_back({"time", format_duration(total_seconds(report))});
  facts.push_back({"weights SHA-256", report.weights_sha256});
  return format_facts(facts);
}

}  // namespace ebb::train
