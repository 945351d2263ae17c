#include "train/report.h"

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
#include "train/overflows.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

// A text as the JSON value that reads back to the same text.
Json typed(const std::string& text) {
  std::int64_t integer = 0;
  double real = 0;
  if (text == "true" || text == "false") return text == "true";
  if (parse_number(text, integer) && to_text(integer) == text) return integer;
  if (parse_number(text, real) && std::isfinite(real) && to_text(real) == text) return real;
  return text;
}

std::string untyped(const Json& value) {
  if (value.is_boolean()) return to_text(value.get<bool>());
  if (value.is_number_integer()) return to_text(value.get<std::int64_t>());
  if (value.is_number()) return to_text(value.get<double>());
  return value.get<std::string>();
}

Json to_object(const KeyValues& texts) {
  Json object = Json::object();
  for (const auto& [name, text] : texts) object[name] = typed(text);
  return object;
}

KeyValues to_texts(const Json& object) {
  KeyValues texts;
  for (const auto& [name, value] : object.items()) texts.emplace_back(name, untyped(value));
  return texts;
}

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

// Names of layers and values of options come from files.
void make_printable(std::vector<std::vector<std::string>>& rows) {
  for (std::vector<std::string>& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
}

/// Of config.json. It grows when older versions of Ebb would misread what this one writes.
constexpr std::int64_t kConfigFormat = 1;

std::string span_text(Format low, Format high) {
  return low == high ? to_text(low) : concat(low, "..", high);
}

}  // namespace

std::string texts_json(const KeyValues& texts) {
  return to_object(texts).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const RunConfig& config) {
  return dump({{"format", kConfigFormat},
               {"program", config.program},
               {"options", to_object(config.options)},
               {"session", to_object(config.session)},
               {"resolved", to_object(config.resolved)},
               {"build", to_object(config.build)},
               {"data", to_object(config.data)}});
}

RunConfig parse_config(std::string_view text) {
  // The JSON parser takes a NUL for the end of its input.
  require<DataError>(text.find('\0') == std::string_view::npos,
                     "[run] config.json is no configuration of a run: it holds a NUL");
  try {
    const Json json = Json::parse(text);
    const std::int64_t format = json.contains("format") ? json["format"].get<std::int64_t>()
                                                        : kConfigFormat;  // 0.1 had none
    require<DataError>(format >= 1 && format <= kConfigFormat, "[run] config.json has the format ",
                       format, ", this version of Ebb reads formats up to ", kConfigFormat,
                       "; use the version that wrote it, or a newer one");
    return {.program = json.at("program").get<std::string>(),
            .options = to_texts(json.at("options")),
            .session = to_texts(json.at("session")),
            .resolved = to_texts(json.at("resolved")),
            .build = to_texts(json.at("build")),
            .data = to_texts(json.at("data"))};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(concat("[run] config.json is no configuration of a run: ", error.what()));
  }
}

std::string kernel_name(const PrecisionPlan& plan, Simd simd) {
  const Site site{"kernel"};
  const Tensor x = Tensor::filled({64, 64}, 1.0f);
  const Operand a(x.matrix(), plan.encoding(site, Role::activation), Granularity::per_tensor,
                  Key(0), {.simd = simd, .simulate = plan.simulate});
  const Operand b(x.matrix(), plan.encoding(site, Role::weight), Granularity::per_row, Key(0),
                  {.simd = simd, .simulate = plan.simulate});
  return std::string(choose_kernel(a, b.transposed(),
                                   {.site = site, .accumulator = plan.accumulator, .simd = simd}));
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
  Summary summary{.metric = task.metric,
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

Forecast forecast(const Task& task, const ParamStore& params, const Precision& precision,
                  std::int64_t iterations) {
  const CostLedger example = count_example(task, params);
  Forecast result{.unit = task.probe ? "one example" : "first step",
                  .parameters = params.parameter_count(),
                  .iterations = iterations,
                  .steps_per_epoch = task.steps_per_epoch,
                  .bits = precision.bits_text,
                  .gradient_bits = precision.gradient_text,
                  .rate = precision.rate_text,
                  .arithmetic = precision.arithmetic,
                  .rate_groups = precision.rate_groups,
                  .ledger = predict(example, task, precision.plan, iterations)};
  if (task.charge) {
    result.examples = 1;  // steps are no multiples of it
  } else {
    for (const std::int64_t part : task.parts(0)) result.examples += part;
  }
  result.cost = relative_cost(result.ledger, precision.reference);
  const std::vector<PrecisionPlan> plans = distinct_plans(precision.plan, iterations);
  for (const CostLedger::Row& row : example.rows()) {
    const std::optional<ParamId> weight = params.find(row.site.name + ".weight");
    LayerRow layer{row.site, weight ? params[*weight].shape() : Shape{}, row, plans[0].at(row.site),
                   plans[0].at(row.site)};
    for (const PrecisionPlan& plan : plans) {
      const SiteFormats now = plan.at(row.site);
      for (Format SiteFormats::*const role :
           {&SiteFormats::weight, &SiteFormats::activation, &SiteFormats::gradient}) {
        if ((now.*role).bits < (layer.lowest.*role).bits) layer.lowest.*role = now.*role;
        if ((now.*role).bits > (layer.highest.*role).bits) layer.highest.*role = now.*role;
      }
    }
    result.layers.push_back(std::move(layer));
  }
  return result;
}

std::string to_json(const Generated& generated, const CostLedger& ledger) {
  return dump({{"text", generated.text},
               {"prompt_tokens", generated.prompt},
               {"tokens", generated.tokens},
               {"bit_ops", to_text(ledger.total_bit_ops())},
               {"accumulator_overflows", to_text(ledger.overflow_events())},
               {"accumulator_overflows_by_site", Json::parse(overflows_json(ledger))}});
}

std::string to_json(const Forecast& forecast) {
  Json layers = Json::array();
  uint128 forward = 0;
  for (const LayerRow& layer : forecast.layers) {
    forward += macs(layer, Product::forward);
    Json formats;
    for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
      formats[to_text(role)] = span_text(layer.lowest.of(role), layer.highest.of(role));
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
  return dump({{"layers", layers},
               {"rate_groups", rates},
               {"parameters", forecast.parameters},
               {"macs", static_cast<std::uint64_t>(forward)},
               {"examples_per_step", forecast.examples},
               {"iterations", forecast.iterations},
               {"steps_per_epoch", forecast.steps_per_epoch},
               {"bits", forecast.bits},
               {"gradient_bits", forecast.gradient_bits},
               {"lr_schedule", forecast.rate},
               {"arithmetic", to_object(forecast.arithmetic)},
               {"bit_ops", to_text(forecast.ledger.total_bit_ops())},
               {"bit_ops_paper", to_text(forecast.ledger.paper_bit_ops())},
               {"relative_cost", forecast.cost.exact},
               {"relative_cost_paper", forecast.cost.paper},
               {"cost_reference", cost_reference_text(forecast.cost.reference)}});
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
             with_separators(total_macs(layer.example)),
             span_text(layer.lowest.weight, layer.highest.weight),
             span_text(layer.lowest.activation, layer.highest.activation),
             span_text(layer.lowest.gradient, layer.highest.gradient)},
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
      '\n', rates, "bit-ops  ", with_separators(forecast.ledger.total_bit_ops()), " exact, ",
      format_cost(forecast.cost.exact, forecast.cost.reference), "; papers' cost ",
      with_separators(forecast.ledger.paper_bit_ops()), ", ",
      format_cost(forecast.cost.paper, forecast.cost.reference), '\n');
}

std::string format_table(std::vector<std::vector<std::string>> rows) {
  make_printable(rows);
  const auto is_number = [](const std::string& text) {
    return text.find_first_not_of("0123456789,.+-e% ") == std::string::npos &&
           text.find_first_of("0123456789") != std::string::npos;
  };
  std::vector<std::size_t> widths(rows.at(0).size(), 0);
  std::vector<bool> right(widths.size(), true);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t column = 0; column < rows[i].size(); ++column) {
      widths[column] = std::max(widths[column], rows[i][column].size());
      right[column] =
          right[column] && (i == 0 || rows[i][column].empty() || is_number(rows[i][column]));
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string pad(widths[column] - row[column].size(), ' ');
      line += concat(column > 0 ? "  " : "", right[column] ? pad : "", row[column],
                     right[column] ? "" : pad);
    }
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string format_facts(std::vector<std::vector<std::string>> rows) {
  make_printable(rows);
  std::size_t width = 0;
  for (const std::vector<std::string>& row : rows) width = std::max(width, row[0].size());
  std::string text;
  for (const std::vector<std::string>& row : rows)
    text += concat(row[0], std::string(width + 2 - row[0].size(), ' '), row[1], '\n');
  return text;
}

std::string format_cost(double ratio, const SiteFormats& reference) {
  return concat(format_fixed(ratio, 4), " of ", cost_reference_text(reference));
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

std::string format_fixed(double value, int decimals) {
  char buffer[400];  // the largest double has 309 digits before the point
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

std::string with_separators(uint128 value) {
  std::string digits = to_text(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace ebb::train
