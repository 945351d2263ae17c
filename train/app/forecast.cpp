#include "train/app/forecast.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "train/app/report.h"
#include "train/app/tables.h"
#include "train/config.h"
#include "train/costs.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

Json macs_of(const CostLedger::Row& row) {
  Json macs;
  for (const Product product : kAllProducts)
    macs[to_text(product)] =
        static_cast<std::uint64_t>(row.cells[static_cast<std::size_t>(product)].macs);
  return macs;
}

uint128 macs(const LayerRow& layer, Product product) {
  return layer.example.cells[static_cast<std::size_t>(product)].macs;
}

uint128 total_macs(const CostLedger::Row& row) {
  uint128 total = 0;
  for (const CostLedger::Cell& cell : row.cells) total += cell.macs;
  return total;
}

std::string span_text(Format low, Format high) {
  return low == high ? to_text(low) : concat(low, "..", high);
}

// What a role's operands are in its two products.
struct RoleSpans {
  std::string first, second;
  Product of_second = Product::forward;
};
RoleSpans spans_of(const LayerRow& layer, Role role) {
  RoleSpans spans;
  for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
    if (kProductOperands[o].role != role) continue;
    const std::string span = span_text(layer.lowest[o], layer.highest[o]);
    if (spans.first.empty()) {
      spans.first = span;
    } else {
      spans.second = span;
      spans.of_second = kProductOperands[o].product;
    }
  }
  return spans;
}

// For the table: "e5m2", or "e5m2, grad_right bf16".
std::string cell_of(const LayerRow& layer, Role role) {
  const RoleSpans spans = spans_of(layer, role);
  return spans.first == spans.second
             ? spans.first
             : concat(spans.first, ", ", spans.of_second, ' ', spans.second);
}

}  // namespace

Forecast forecast(const Task& task, const ParamStore& params, const Precision& precision,
                  std::int64_t iterations) {
  const CostLedger example = count_example(task, params);
  Forecast result{.unit = task.unit,
                  .parameters = params.parameter_count(),
                  .iterations = iterations,
                  .steps_per_epoch = task.steps_per_epoch,
                  .bits = precision.bits_text,
                  .gradient_bits = precision.gradient_text,
                  .rate = precision.rate_text,
                  .arithmetic = precision.arithmetic,
                  .rate_groups = precision.rate_groups,
                  .ledger = predict(task, params, precision.plan, iterations)};
  if (task.kinds) {
    result.examples = 1;  // steps are no multiples of it
  } else {
    for (const std::int64_t part : task.parts(0)) result.examples += part;
  }
  result.cost = relative_cost(result.ledger, precision.costs);
  const std::vector<PrecisionPlan> plans = distinct_plans(precision.plan, iterations);
  for (const CostLedger::Row& row : example.rows()) {
    const std::optional<ParamId> weight = params.find(row.site.name + ".weight");
    LayerRow layer{row.site, weight ? params[*weight].shape() : Shape{}, row};
    for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
      const auto format_of = [&](const PrecisionPlan& plan) {
        return plan.encoding(row.site, kProductOperands[o].role, kProductOperands[o].product)
            .format;
      };
      layer.lowest[o] = layer.highest[o] = format_of(plans[0]);
      for (const PrecisionPlan& plan : plans) {
        const Format now = format_of(plan);
        if (cost_bits(now) < cost_bits(layer.lowest[o])) layer.lowest[o] = now;
        if (cost_bits(now) > cost_bits(layer.highest[o])) layer.highest[o] = now;
      }
    }
    result.layers.push_back(std::move(layer));
  }
  return result;
}

MemoryOfParameter memory_of(const Optimizer& optimizer) {
  MemoryOfParameter memory;
  for (const auto& [role, bytes] : optimizer.bytes_per_parameter()) {
    if (bytes == 0) continue;
    memory.bytes += bytes;
    memory.parts.emplace_back(kStateRoles[static_cast<std::size_t>(role)], bytes);
  }
  return memory;
}

std::string memory_text(const MemoryOfParameter& memory) {
  std::vector<std::string> parts;
  for (const auto& [name, bytes] : memory.parts)
    parts.push_back(concat(name, ' ', format_short(bytes)));
  return concat(format_short(memory.bytes), " bytes a parameter: ", join_words(parts));
}

std::string to_json(const Forecast& forecast) {
  Json layers = Json::array();
  uint128 forward = 0;
  for (const LayerRow& layer : forecast.layers) {
    forward += macs(layer, Product::forward);
    Json formats;
    for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
      const RoleSpans spans = spans_of(layer, role);
      formats[to_text(role)] = spans.first;
      if (spans.second != spans.first) formats[concat(role, '_', spans.of_second)] = spans.second;
    }
    layers.push_back({{"site", layer.site.name},
                      {"tags", layer.site.tags},
                      {"weight_shape", std::vector<std::int64_t>(layer.weight.extents().begin(),
                                                                 layer.weight.extents().end())},
                      {"macs", macs_of(layer.example)},
                      {"formats", formats}});
  }
  Json rates = Json::array();
  for (const RateGroup& group : forecast.rate_groups)
    rates.push_back(
        {{"lowest", group.lowest}, {"highest", group.highest}, {"parameters", group.parameters}});
  const Json json(
      {{"layers", layers},
       {"rate_groups", rates},
       {"parameters", forecast.parameters},
       {"bytes_per_parameter", forecast.memory.bytes},
       {"macs", static_cast<std::uint64_t>(forward)},
       {"examples_per_step", forecast.examples},
       {"iterations", forecast.iterations},
       {"steps_per_epoch", forecast.steps_per_epoch},
       {"bits", forecast.bits},
       {"gradient_bits", forecast.gradient_bits},
       {"lr_schedule", forecast.rate},
       {"arithmetic", Json::parse(texts_json(forecast.arithmetic))},
       {"bit_ops", to_text(forecast.ledger.total_bit_ops())},
       {"bit_ops_paper", to_text(forecast.ledger.paper_bit_ops())},
       {"relative_cost", forecast.cost.exact},
       {"relative_cost_paper", forecast.cost.paper},
       {"cost_reference", cost_reference_text(forecast.cost.basis.reference)},
       {"cost_model", to_text(forecast.cost.basis.model)},
       {"costs", Json::parse(costs_json(forecast.ledger, forecast.cost.basis.reference))}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_table(const Forecast& forecast) {
  // Graph networks alone add up neighbours.
  const bool sums = std::ranges::any_of(
      forecast.layers, [](const LayerRow& layer) { return macs(layer, Product::aggregate) > 0; });
  std::vector<std::vector<std::string>> rows{
      {"layer", "weights", "MACs forward", "MACs all", "weight", "activation", "gradient"}};
  if (sums) rows[0].insert(rows[0].begin() + 3, "sums forward");
  uint128 forward = 0, added = 0, all = 0;
  const auto add_row = [&](std::vector<std::string> row, uint128 summed) {
    if (sums) row.insert(row.begin() + 3, with_separators(summed));
    rows.push_back(std::move(row));
  };
  for (const LayerRow& layer : forecast.layers) {
    const uint128 products = macs(layer, Product::forward),
                  summed = macs(layer, Product::aggregate);
    forward += products;
    added += summed;
    all += total_macs(layer.example);
    add_row({layer.site.name, to_text(layer.weight), with_separators(products),
             with_separators(total_macs(layer.example)), cell_of(layer, Role::weight),
             cell_of(layer, Role::activation), cell_of(layer, Role::gradient)},
            summed);
  }
  add_row({forecast.unit, "", with_separators(forward), with_separators(all), "", "", ""}, added);
  if (forecast.examples > 1) {
    const auto examples = static_cast<uint128>(forecast.examples);
    add_row({concat("a step of ", examples), "", with_separators(forward * examples),
             with_separators(all * examples), "", "", ""},
            added * examples);
  }
  const std::string gradients =
      forecast.gradient_bits.empty() ? "" : concat("; gradients ", forecast.gradient_bits);
  const std::string arithmetic = format_options(forecast.arithmetic);
  std::string rates;
  for (const RateGroup& group : forecast.rate_groups)
    rates += concat("         ", group.lowest,
                    group.lowest == group.highest ? "" : concat("..", group.highest), ": ",
                    join_words(group.parameters), '\n');
  return concat(
      format_table(rows), '\n', with_separators(static_cast<uint128>(forecast.parameters)),
      " parameters; ", forecast.iterations, " steps, ", forecast.steps_per_epoch,
      " an epoch\nbits     ", forecast.bits, gradients,
      arithmetic.empty() ? "" : concat("\nwith     ", arithmetic), "\nlr       ", forecast.rate,
      '\n', rates, "memory   ", memory_text(forecast.memory), "\ncost     ",
      format_cost(forecast.ledger, forecast.cost), "\n         ", costs_of_fp32(forecast.ledger),
      " of fp32's\n         papers' cost ", format_bit_ops(forecast.ledger.paper_bit_ops()), ", ",
      format_cost(forecast.cost.paper, {forecast.cost.basis.reference}), '\n');
}

}  // namespace ebb::train
