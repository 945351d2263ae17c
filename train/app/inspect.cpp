#include "train/app/inspect.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/tables.h"
#include "train/config.h"
#include "train/costs.h"
#include "train/options/options.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

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
  const auto entry = std::ranges::find(texts, name, &KeyValues::value_type::first);
  return entry == texts.end() ? std::nullopt : std::optional(entry->second);
}

std::string option(const Inspection& inspection, std::string_view name) {
  return find(inspection.config.options, name)
      .value_or(find(inspection.config.resolved, name).value_or(""));
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

double total_seconds(const History& history) {
  double total = 0;
  for (const StepRow& row : history.steps) total += row.seconds;
  return total;
}

std::optional<double> train_loss(const Inspection& inspection) {
  std::int64_t steps_per_epoch = 1;
  if (!parse_number(option(inspection, "steps_per_epoch"), steps_per_epoch)) steps_per_epoch = 1;
  return training_loss(inspection.history, steps_per_epoch);
}

std::string percent(double value) { return format_fixed(100 * value, 1) + " %"; }

/// The last and the best evaluation of each split.
void add_scores(const History& history, std::vector<std::vector<std::string>>& facts) {
  for (const char* split : {"validation", "test"}) {
    const EvalRow *last = nullptr, *best = nullptr;
    for (const EvalRow& row : history.evaluations) {
      if (row.split != split) continue;
      last = &row;
      if (best == nullptr ||
          (row.lower_is_better ? row.score < best->score : row.score > best->score))
        best = &row;
    }
    if (last == nullptr) continue;
    const auto told = [](const EvalRow& row) {
      return concat(format_fixed(row.score, 4), " at ", formats_text(row.formats), " after step ",
                    row.iteration);
    };
    facts.push_back(
        {concat(split, ' ', last->metric),
         concat(
             told(*last), ", best ", told(*best),
             last->examples > 0
                 ? concat(", of ", with_separators(static_cast<uint128>(last->examples)), " scored")
                 : "")});
  }
}

}  // namespace

Inspection inspect(const std::string& directory, const std::optional<SiteFormats>& reference) {
  Inspection result{.directory = directory,
                    .config = parse_config(read_config(directory)),
                    .history = read_history(directory)};
  if (!std::filesystem::exists(directory + "/checkpoint.safetensors")) return result;
  const Checkpoint checkpoint = read_checkpoint(directory);
  const SafeTensors ledgers{.metadata = {}, .tensors = checkpoint.group("ledger")};
  result.saved_at = checkpoint.iteration;
  result.ledger = CostLedger::load(ledgers.at("training").text());
  result.evaluation_ledger = CostLedger::load(ledgers.at("evaluation").text());
  const std::string recorded = option(result, "cost-reference");
  result.cost = relative_cost(
      result.ledger,
      reference
          ? *reference
          : parse_cost_reference(recorded.empty() ? Options().text("cost-reference") : recorded));
  return result;
}

std::string to_table(const Inspection& inspection) {
  const History& history = inspection.history;
  const uint128 total = inspection.ledger.total_bit_ops();
  const std::string data = option(inspection, "data");
  std::vector<std::vector<std::string>> facts{
      {"run", inspection.directory},
      {"network", concat(option(inspection, "arch"), " on ", data)},
      {"bits", schedule_of_bits(inspection)},
      {"steps", concat(history.steps.size(), " of ", option(inspection, "iterations"))}};
  if (const std::string arithmetic = format_options(arithmetic_options(inspection.config.options));
      !arithmetic.empty())
    facts.insert(facts.begin() + 3, {"with", arithmetic});
  add_scores(history, facts);
  if (!history.steps.empty()) {
    const double seconds = total_seconds(history);
    facts.push_back({"training loss", concat(format_fixed(train_loss(inspection).value(), 4),
                                             ", mean of the last epoch")});
    facts.push_back(
        {"time", concat(format_duration(seconds), ", ",
                        format_fixed(1e3 * seconds / static_cast<double>(history.steps.size()), 1),
                        " ms a step")});
  }
  if (!inspection.saved_at)
    return format_facts(facts) + "No checkpoint yet, so no costs by layer.\n";
  // The ledger is the checkpoint's; the record may go on beyond it.
  const std::string up_to = *inspection.saved_at == std::ssize(history.steps)
                                ? ""
                                : concat(", up to step ", *inspection.saved_at);
  facts.push_back(
      {"cost", concat(with_separators(total), " bit-operations, ",
                      format_cost(inspection.cost.exact, inspection.cost.reference), up_to)});
  facts.push_back({"papers' cost",
                   concat(with_separators(inspection.ledger.paper_bit_ops()), " bit-operations, ",
                          format_cost(inspection.cost.paper, inspection.cost.reference), up_to)});
  facts.push_back(
      {"", concat(format_fixed(CostLedger::giga_bit_ops(total), 3), " GBitOPs, ",
                  format_fixed(CostLedger::effective_flops(total), 0), " effective FLOPs")});
  facts.push_back(
      {"evaluations", concat(with_separators(inspection.evaluation_ledger.total_bit_ops()),
                             " bit-operations, charged apart")});

  for (const auto& [name, ledger] : {std::pair("accumulator overflows", &inspection.ledger),
                                     std::pair("  in evaluations", &inspection.evaluation_ledger)})
    facts.push_back({name, format_overflows(*ledger)});

  std::vector<std::vector<std::string>> rows{{"layer", "bit-operations", "share"}};
  const std::vector<Product> products = occurring(inspection.ledger);
  for (const Product product : products) rows[0].push_back(to_text(product));
  const bool overflowed = inspection.ledger.overflow_events() > 0;
  if (overflowed) rows[0].push_back("overflows");
  for (const CostLedger::Row& row : inspection.ledger.rows()) {
    rows.push_back(
        {row.site.name, with_separators(bit_ops(row)), percent(share(bit_ops(row), total))});
    for (const Product product : products)
      rows.back().push_back(percent(share(cell(row, product).bit_ops, total)));
    if (overflowed) rows.back().push_back(with_separators(row.overflow_events()));
  }
  return concat(format_facts(facts), "\nWhere the bit-operations of training went, up to step ",
                *inspection.saved_at, ":\n", format_table(rows));
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
      site[to_text(product)] = {{"macs", to_text(charged.macs)},
                                {"bit_ops", to_text(charged.bit_ops)},
                                {"accumulator_overflows", to_text(charged.overflow_events)}};
    }
    sites.push_back(site);
  }
  const std::optional<double> loss = train_loss(inspection);
  Json json{
      {"run", inspection.directory},
      {"program", inspection.config.program},
      {"options", Json::parse(texts_json(inspection.config.options))},
      {"iterations", history.steps.size()},
      {"saved_at", inspection.saved_at ? Json(*inspection.saved_at) : Json()},
      {"train_loss", loss ? Json(*loss) : Json()},
      {"arithmetic", Json::parse(texts_json(arithmetic_options(inspection.config.options)))},
      {"seconds", total_seconds(history)},
      {"bit_ops", to_text(inspection.ledger.total_bit_ops())},
      {"bit_ops_paper", to_text(inspection.ledger.paper_bit_ops())},
      {"relative_cost", inspection.cost.exact},
      {"relative_cost_paper", inspection.cost.paper},
      {"cost_reference", cost_reference_text(inspection.cost.reference)},
      {"accumulator_overflows", to_text(inspection.ledger.overflow_events())},
      {"evaluation_bit_ops", to_text(inspection.evaluation_ledger.total_bit_ops())},
      {"evaluation_accumulator_overflows", to_text(inspection.evaluation_ledger.overflow_events())},
      {"evaluation_accumulator_overflows_by_site",
       Json::parse(overflows_json(inspection.evaluation_ledger))},
      {"sites", sites},
      {"evaluations", evaluations}};
  for (const EvalRow& row : history.evaluations) {  // the last one stays
    json[concat(row.split, '_', row.metric)] = row.score;
    json[row.split + "_bits"] = Json::parse(to_line(row)).at("bits");
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ebb::train
