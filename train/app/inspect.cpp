#include "train/app/inspect.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/report.h"
#include "train/app/tables.h"
#include "train/config.h"
#include "train/costs.h"
#include "train/options/options.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kColumns = 100;

const CostLedger::Cell& cell(const CostLedger::Row& row, Product product) {
  return row.cells[static_cast<std::size_t>(product)];
}

uint128 bit_ops(const CostLedger::Row& row) {
  uint128 total = 0;
  for (const CostLedger::Cell& c : row.cells) total += c.bit_ops;
  return total;
}

/// The products of linear layers, and sums over neighbours where there are any.
std::vector<Product> occurring(const CostLedger& ledger) {
  std::vector<Product> products;
  for (const Product product : kAllProducts) {
    const bool any = std::ranges::any_of(
        ledger.rows(), [&](const CostLedger::Row& row) { return cell(row, product).macs > 0; });
    if (any || product < Product::aggregate) products.push_back(product);
  }
  return products;
}

double share(uint128 part, uint128 whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::optional<std::string> find(const KeyValues& texts, std::string_view name) {
  const std::string* const text = find_text(texts, name);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

// What it came to, if that is on record; --iterations is "" where --epochs says how long.
std::string option(const Inspection& inspection, std::string_view name) {
  return find(inspection.config.resolved, name)
      .value_or(find(inspection.config.options, name).value_or(""));
}

// What the options came to: a name such as CR does not tell the widths. Gradients of float32
// products are float32.
std::string schedule_of_bits(const Inspection& inspection) {
  const KeyValues& resolved = inspection.config.resolved;
  const std::string bits = find(resolved, "bits").value_or(option(inspection, "schedule"));
  const std::string gradients =
      find(resolved, "gradient_bits").value_or(option(inspection, "gradient-bits"));
  return bits == "fp32" || gradients.empty() ? bits : concat(bits, ", gradients ", gradients);
}

template <class Row>
double total_seconds(const std::vector<Row>& rows) {
  double total = 0;
  for (const Row& row : rows) total += row.seconds;
  return total;
}

template <class Row>
uint128 total_bit_ops(const std::vector<Row>& rows) {
  uint128 total = 0;
  for (const Row& row : rows) total += row.bit_ops;
  return total;
}

std::optional<double> train_loss(const Inspection& inspection) {
  std::int64_t steps_per_epoch = 1;
  if (!parse_number(option(inspection, "steps_per_epoch"), steps_per_epoch)) steps_per_epoch = 1;
  return training_loss(inspection.history, steps_per_epoch);
}

/// The last and the best evaluation of each split.
void add_scores(const Inspection& inspection, std::vector<std::vector<std::string>>& facts) {
  for (const char* split : {"validation", "test"}) {
    const EvalRow* last = nullptr;
    Monitor monitor{.split = split};
    for (const EvalRow& row : inspection.history.evaluations) {
      monitor.see(row);
      if (row.split == split) last = &row;
    }
    if (last == nullptr) continue;
    const auto told = [](const EvalRow& row) {
      return concat(format_score(row.metric, row.score), " in ", formats_text(row.formats),
                    " after ", row.iteration, " steps");
    };
    const std::string examples =
        last->examples > 0
            ? concat("; of ", with_separators(static_cast<uint128>(last->examples)), " scored")
            : "";
    facts.push_back(
        {concat(split, ' ', last->metric),
         concat(told(*last),
                monitor.best->iteration == last->iteration ? std::string(", the best")
                                                           : concat("; best ", told(*monitor.best)),
                examples)});
  }
}

std::string length_text(const Inspection& inspection) {
  const Monitor monitor = monitor_of(inspection);
  return concat(inspection.history.steps.size(), " of ", option(inspection, "iterations"),
                monitor.exhausted() ? concat("; ", early_end_text(monitor)) : "");
}

// "sgd, --lr 0.1 times step(...), --batch 128, --seed 1": the common options of training that have
// a value.
std::string training_text(const Inspection& inspection) {
  std::string text = option(inspection, "optimizer");
  for (const char* name :
       {"optimizer-formats", "momentum", "beta1", "beta2", "epsilon", "weight-decay", "lr",
        "lr-schedule", "clip", "batch", "batch-multiplier", "accumulate", "patience", "seed"}) {
    const std::string value = find(inspection.config.options, name).value_or("");
    const bool without_effect = (std::string_view(name) == "accumulate" && value == "1") ||
                                (std::string_view(name) == "momentum" && !text.starts_with("sgd"));
    if (!value.empty() && !without_effect) text += concat(", ", name, ' ', value);
  }
  return text;
}

// Those of the model family.
std::string family_text(const Inspection& inspection) {
  const Options common;
  std::vector<std::string> words;
  for (const auto& [name, value] : inspection.config.options) {
    if (common.find(name) == nullptr && name != "data" && !value.empty())
      words.push_back(concat(name, ' ', value));
  }
  return join_words(words);
}

std::string time_text(const History& history) {
  const double steps = total_seconds(history.steps),
               evaluations = total_seconds(history.evaluations);
  const std::size_t count = history.evaluations.size();
  return concat(format_duration(steps + evaluations), ": ", format_duration(steps), " in steps of ",
                format_fixed(1e3 * steps / static_cast<double>(history.steps.size()), 1), " ms, ",
                format_duration(evaluations), " in ", count,
                count == 1 ? " evaluation" : " evaluations");
}

void add_costs(const Inspection& inspection, std::vector<std::vector<std::string>>& facts) {
  const History& history = inspection.history;
  // A ratio takes the products by layer, which are those of the checkpoint.
  const bool saved = inspection.saved_at.has_value();
  const bool whole = saved && *inspection.saved_at == std::ssize(history.steps);
  const std::string up_to =
      saved && !whole ? concat(" in the first ", *inspection.saved_at, " steps") : "";
  if (!whole) facts.push_back({"bit-operations", format_bit_ops(recorded_bit_ops(history.steps))});
  if (saved) {
    facts.push_back({"cost", concat(format_cost(inspection.ledger, inspection.cost), up_to)});
    facts.push_back({"  of fp32's", concat(costs_of_fp32(inspection.ledger), up_to)});
    facts.push_back(
        {"papers' cost",
         concat(format_bit_ops(inspection.ledger.paper_bit_ops()), ", ",
                format_cost(inspection.cost.paper, {inspection.cost.basis.reference}), up_to)});
    add_scales(inspection.ledger, facts);
  }
  facts.push_back({"  of evaluations", concat(format_bit_ops(recorded_bit_ops(history.evaluations)),
                                              ", charged apart")});
  if (!saved) return;
  if (const uint128 probes = inspection.search_ledger.total_bit_ops(); probes != 0)
    facts.push_back(
        {"  of searches",
         concat(format_bit_ops(probes), ", charged apart: ",
                format_share(share(probes, inspection.ledger.total_bit_ops())), " of training's")});
  facts.push_back({"accumulator overflows", format_overflows(inspection.ledger)});
  facts.push_back({"  in evaluations", format_overflows(inspection.evaluation_ledger)});
}

// Where the bit-operations of training went.
std::string sites_table(const CostLedger& ledger) {
  const uint128 total = ledger.total_bit_ops();
  std::vector<std::vector<std::string>> rows{{"layer", "cost", "share"}};
  const std::vector<Product> products = occurring(ledger);
  for (const Product product : products) rows[0].push_back(to_text(product));
  const bool overflowed = ledger.overflow_events() > 0;
  if (overflowed) rows[0].push_back("overflows");
  for (const CostLedger::Row& row : ledger.rows()) {
    rows.push_back(
        {row.site.name, format_bit_ops(bit_ops(row)), format_share(share(bit_ops(row), total))});
    for (const Product product : products)
      rows.back().push_back(format_share(share(cell(row, product).bit_ops, total)));
    if (overflowed) rows.back().push_back(with_separators(row.overflow_events()));
  }
  return format_table(rows);
}

// The operands of the last step that was measured.
std::vector<OperandRow> last_measured(const Inspection& inspection) {
  std::vector<OperandRow> rows;
  for (const OperandRow& row : inspection.operands) {
    if (row.iteration == inspection.operands.back().iteration) rows.push_back(row);
  }
  return rows;
}

std::string operands_table(const std::vector<OperandRow>& operands) {
  std::vector<std::vector<std::string>> rows{
      {"layer", "role", "format", "one grid by", "saturated", "zeros", "SQNR, dB"}};
  for (const OperandRow& row : operands)
    rows.push_back({row.site, row.role, row.format, row.grid, format_share(row.at_ends),
                    format_share(row.zeros),
                    std::isinf(row.sqnr_db) ? "exact" : format_fixed(row.sqnr_db, 1)});
  return format_table(rows);
}

// By parameter, and of all of them.
std::string updates_table(const std::vector<UpdateRow>& updates) {
  std::vector<std::vector<std::string>> rows{{"parameter", "elements", "lost", "zero updates",
                                              "update norm", "EDQ ratio", "with residuals"}};
  UpdateQuality all{.name = "all"};
  const auto add = [&](const UpdateQuality& q) {
    const auto share = [&](std::int64_t count) {
      return format_share(static_cast<double>(count) / static_cast<double>(q.elements));
    };
    rows.push_back({q.name, with_separators(static_cast<uint128>(q.elements)), share(q.lost),
                    share(q.zero_updates), format_short(std::sqrt(q.intended_squares)),
                    format_fixed(q.edq_ratio(), 4), format_fixed(q.whole_edq_ratio(), 4)});
  };
  for (const UpdateRow& row : updates) {
    add(row.quality);
    all += row.quality;
  }
  add(all);
  return format_table(rows);
}

Json to_json(const OperandRow& row) {
  return {{"iteration", row.iteration},
          {"site", row.site},
          {"role", row.role},
          {"format", row.format},
          {"grid", row.grid},
          {"elements", row.elements},
          {"at_ends", row.at_ends},
          {"zeros", row.zeros},
          {"sqnr_db", std::isinf(row.sqnr_db) ? Json("inf") : Json(row.sqnr_db)}};
}

}  // namespace

CostBasis cost_basis(const RunConfig& config, const CostChoice& choice) {
  const auto recorded = [&](std::string_view name) {
    const std::string text = find(config.options, name).value_or("");
    return text.empty() ? Options().text(name) : text;
  };
  return {choice.reference ? *choice.reference : parse_cost_reference(recorded("cost-reference")),
          choice.model ? *choice.model : CostModel::parse(recorded("cost-model"))};
}

Inspection inspect(const std::string& directory, const CostChoice& choice) {
  Inspection result{.directory = directory,
                    .config = parse_config(read_config(directory)),
                    .history = read_history(directory),
                    .operands = read_operands(directory),
                    .updates = read_last_updates(directory)};
  if (!std::filesystem::exists(directory + "/checkpoint.safetensors")) return result;
  const Checkpoint checkpoint = read_checkpoint(directory);
  const SafeTensors ledgers{.metadata = {}, .tensors = checkpoint.group("ledger")};
  result.saved_at = checkpoint.iteration;
  result.ledger = CostLedger::load(ledgers.at("training").text());
  result.evaluation_ledger = CostLedger::load(ledgers.at("evaluation").text());
  if (ledgers.find("search") != nullptr)
    result.search_ledger = CostLedger::load(ledgers.at("search").text());
  result.cost = relative_cost(result.ledger, cost_basis(result.config, choice));
  return result;
}

uint128 recorded_bit_ops(const std::vector<StepRow>& steps) { return total_bit_ops(steps); }
uint128 recorded_bit_ops(const std::vector<EvalRow>& evaluations) {
  return total_bit_ops(evaluations);
}

Monitor monitor_of(const Inspection& inspection) {
  Monitor monitor{.split = monitored_split(inspection.history)};
  std::int64_t patience = 0;
  if (parse_number(find(inspection.config.options, "patience").value_or(""), patience))
    monitor.patience = patience;
  monitor.see(inspection.history);
  return monitor;
}

std::string to_table(const Inspection& inspection) {
  const History& history = inspection.history;
  std::vector<std::vector<std::string>> facts{
      {"run", inspection.directory},
      {"network", concat(option(inspection, "arch"), " on ", option(inspection, "data"))}};
  if (const std::string own = family_text(inspection); !own.empty()) facts.push_back({"", own});
  facts.push_back({"bits", schedule_of_bits(inspection)});
  if (const std::string arithmetic = format_options(arithmetic_options(inspection.config.options));
      !arithmetic.empty())
    facts.push_back({"with", arithmetic});
  facts.push_back({"training", training_text(inspection)});
  if (const std::string set = find(inspection.config.options, "set").value_or(""); !set.empty())
    facts.push_back({"settings", join_words(split_at(set, '\n'), "; ")});
  facts.push_back({"steps", length_text(inspection)});
  add_scores(inspection, facts);
  if (!history.steps.empty()) {
    facts.push_back({"training loss", training_loss_text(train_loss(inspection).value())});
    facts.push_back({"time", time_text(history)});
  }
  if (!history.steps.empty() || inspection.saved_at) add_costs(inspection, facts);
  std::string text = format_facts(facts, kColumns);
  text += inspection.saved_at ? concat("\nWhere the bit-operations of training went, up to step ",
                                       *inspection.saved_at, ":\n", sites_table(inspection.ledger))
                              : std::string("No checkpoint yet, so no costs by layer.\n");
  if (!inspection.operands.empty())
    text += concat("\nOperands as they were encoded at iteration ",
                   inspection.operands.back().iteration, ":\n",
                   operands_table(last_measured(inspection)));
  if (!inspection.updates.empty())
    text += concat("\nUpdates of iteration ", inspection.updates.front().iteration, ":\n",
                   updates_table(inspection.updates));
  return text;
}

std::string to_json(const Inspection& inspection) {
  const History& history = inspection.history;
  Json evaluations = Json::array(), sites = Json::array();
  for (const EvalRow& row : history.evaluations) evaluations.push_back(Json::parse(to_line(row)));
  for (const CostLedger::Row& row : inspection.ledger.rows()) {
    Json site{{"site", row.site.name},
              {"bit_ops", to_text(bit_ops(row))},
              {"share", share(bit_ops(row), inspection.ledger.total_bit_ops())},
              {"accumulator_overflows", to_text(row.overflow_events())}};
    for (const Product product : kAllProducts) {
      const CostLedger::Cell& charged = cell(row, product);
      site[to_text(product)] = {{"macs", static_cast<std::uint64_t>(charged.macs)},
                                {"bit_ops", to_text(charged.bit_ops)},
                                {"accumulator_overflows", to_text(charged.overflow_events)}};
    }
    sites.push_back(site);
  }
  const std::optional<double> loss = train_loss(inspection);
  const Monitor monitor = monitor_of(inspection);
  const bool saved = inspection.saved_at.has_value(), judged = monitor.best.has_value();
  std::int64_t planned = 0;
  const bool known = parse_number(option(inspection, "iterations"), planned);
  Json operands = Json::array();
  for (const OperandRow& row : last_measured(inspection)) operands.push_back(to_json(row));
  Json updates = Json::array();
  for (const UpdateRow& row : inspection.updates) updates.push_back(Json::parse(to_line(row)));
  Json json{
      {"run", inspection.directory},
      {"program", inspection.config.program},
      {"options", Json::parse(texts_json(inspection.config.options))},
      {"iterations", history.steps.size()},
      {"planned_iterations", known ? Json(planned) : Json()},
      {"saved_at", saved ? Json(*inspection.saved_at) : Json()},
      {"ended_early", monitor.exhausted()},
      {"best_split", judged ? Json(monitor.split) : Json()},
      {"best_score", judged ? Json(monitor.best->score) : Json()},
      {"best_iteration", judged ? Json(monitor.best->iteration) : Json()},
      {"train_loss", loss ? Json(*loss) : Json()},
      {"arithmetic", Json::parse(texts_json(arithmetic_options(inspection.config.options)))},
      {"seconds", total_seconds(history.steps) + total_seconds(history.evaluations)},
      {"training_seconds", total_seconds(history.steps)},
      {"evaluation_seconds", total_seconds(history.evaluations)},
      {"bit_ops", to_text(recorded_bit_ops(history.steps))},
      {"bit_ops_paper", saved ? Json(to_text(inspection.ledger.paper_bit_ops())) : Json()},
      {"relative_cost", saved ? Json(inspection.cost.exact) : Json()},
      {"relative_cost_paper", saved ? Json(inspection.cost.paper) : Json()},
      {"cost_reference", cost_reference_text(inspection.cost.basis.reference)},
      {"cost_model", to_text(inspection.cost.basis.model)},
      {"costs", saved ? Json::parse(costs_json(inspection.ledger, inspection.cost.basis.reference))
                      : Json()},
      {"block_scale_bytes",
       saved ? Json(to_text((inspection.ledger.scale_bits() + 7) / 8)) : Json()},
      {"accumulator_overflows", to_text(inspection.ledger.overflow_events())},
      {"evaluation_bit_ops", to_text(recorded_bit_ops(history.evaluations))},
      {"search_bit_ops", saved ? Json(to_text(inspection.search_ledger.total_bit_ops())) : Json()},
      {"evaluation_accumulator_overflows", to_text(inspection.evaluation_ledger.overflow_events())},
      {"evaluation_accumulator_overflows_by_site",
       Json::parse(overflows_json(inspection.evaluation_ledger))},
      {"sites", sites},
      {"operands", operands},
      {"updates", updates},
      {"evaluations", evaluations}};
  for (const EvalRow& row : history.evaluations) {  // the last one stays
    json[concat(row.split, '_', row.metric)] = row.score;
    json[row.split + "_bits"] = Json::parse(to_line(row)).at("bits");
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ebb::train
