#include "tools/report/range.h"

#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kAccuracyThreshold = 0.01, kLossThreshold = 0.05;

double score_of(const train::StepRow& row, bool of_accuracy) {
  return of_accuracy ? *row.accuracy : row.loss;
}

double mean_score(std::span<const train::StepRow> rows, bool of_accuracy) {
  double sum = 0;
  for (const train::StepRow& row : rows) sum += score_of(row, of_accuracy);
  return sum / static_cast<double>(rows.size());
}

}  // namespace

void check(const RangeSettings& settings) {
  require<ConfigError>(1 <= settings.low && settings.low < settings.high && settings.high <= 16,
                       "[range-test] expected bits of 1 <= --min-bits < --max-bits <= 16, got ",
                       settings.low, " and ", settings.high);
  require<ConfigError>(
      settings.window >= 1 && settings.window <= settings.updates / 2,
      "[range-test] --window: expected 1 to half of the ", settings.updates,
      " updates at a width, since the lowest width is compared with its own beginning; got ",
      settings.window);
  require<ConfigError>(!settings.threshold || *settings.threshold >= 0,
                       "[range-test] --threshold: expected 0 and more, got ",
                       settings.threshold.value_or(0));
}

std::string range_schedule(const RangeSettings& settings) {
  std::string text;
  for (std::int64_t bits = settings.low; bits < settings.high; ++bits)
    text += concat(bits, " @", settings.updates, "up ; ");
  return concat(text, settings.high, " @rest");
}

RangeTest judge_range(const train::History& history, const RangeSettings& settings) {
  const std::span<const train::StepRow> rows = history.steps;
  RangeTest test{.settings = settings, .of_accuracy = !rows.empty() && rows[0].accuracy};
  for (const train::StepRow& row : rows) test.of_accuracy = test.of_accuracy && row.accuracy;
  test.threshold =
      settings.threshold.value_or(test.of_accuracy ? kAccuracyThreshold : kLossThreshold);
  const auto updates = static_cast<std::size_t>(settings.updates),
             window = static_cast<std::size_t>(settings.window);
  if (rows.size() < window) return test;
  test.base = mean_score(rows.first(window), test.of_accuracy);
  double before = *test.base;
  for (std::int64_t bits = settings.low; bits <= settings.high; ++bits) {
    const std::size_t end = static_cast<std::size_t>(bits - settings.low + 1) * updates;
    if (rows.size() < end) break;
    const double score = mean_score(rows.subspan(end - window, window), test.of_accuracy),
                 gain = test.of_accuracy ? score - before : before - score;
    test.widths.push_back({.bits = bits, .score = score, .gain = gain});
    if (!test.found && gain > test.threshold) test.found = bits;
    before = score;
  }
  return test;
}

std::string to_json(const RangeSettings& settings) {
  Json json{{"format", 1},
            {"min_bits", settings.low},
            {"max_bits", settings.high},
            {"updates", settings.updates},
            {"window", settings.window}};
  if (settings.threshold) json["threshold"] = *settings.threshold;
  return json.dump(2) + "\n";
}

RangeSettings parse_range_settings(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    const auto integer = [&](const char* name) { return json.at(name).get<std::int64_t>(); };
    require<DataError>(integer("format") == 1, "[range-test] range.json has the format ",
                       integer("format"), ", this version of Ebb reads 1");
    RangeSettings settings{.low = integer("min_bits"),
                           .high = integer("max_bits"),
                           .updates = integer("updates"),
                           .window = integer("window")};
    if (json.contains("threshold")) settings.threshold = json.at("threshold").get<double>();
    check(settings);
    return settings;
  } catch (const nlohmann::json::exception&) {
    throw DataError(
        "[range-test] range.json does not hold the settings of a range test; restore it");
  } catch (const ConfigError& error) {
    throw DataError(concat("[range-test] range.json: ", error.what()));
  }
}

std::string to_json(const RangeTest& test, const std::string& run) {
  Json json{{"run", run},
            {"measure", test.of_accuracy ? "accuracy" : "loss"},
            {"updates", test.settings.updates},
            {"window", test.settings.window},
            {"threshold", test.threshold},
            {"base", test.base ? Json(*test.base) : Json()},
            {"widths", Json::array()},
            {"found", test.found.has_value()},
            {"min_bits", test.min_bits() ? Json(*test.min_bits()) : Json()}};
  for (const RangeWidth& width : test.widths)
    json["widths"].push_back({{"bits", width.bits}, {"score", width.score}, {"gain", width.gain}});
  return json.dump(2) + "\n";
}

std::string to_table(const RangeTest& test) {
  const double factor = test.of_accuracy ? 100 : 1;
  const int decimals = test.of_accuracy ? 2 : 4;
  const auto shown = [&](double value) { return train::format_fixed(factor * value, decimals); };
  const std::string measure = test.of_accuracy ? "training accuracy, %" : "training loss";
  std::vector<std::vector<std::string>> rows{
      {"bits", "updates", measure, test.of_accuracy ? "gain, points" : "drop", ""}};
  if (test.base)
    rows.push_back({"begin", concat(0, "..", test.settings.window - 1), shown(*test.base), "", ""});
  std::int64_t end = 0;
  for (const RangeWidth& width : test.widths) {
    end += test.settings.updates;
    rows.push_back({to_text(width.bits), concat(end - test.settings.window, "..", end - 1),
                    shown(width.score), concat(width.gain > 0 ? "+" : "", shown(width.gain)),
                    width.bits == test.found ? "the first above the threshold" : ""});
  }
  const std::string threshold =
      concat(shown(test.threshold), test.of_accuracy ? " points" : " (loss)");
  std::string text = train::format_table(std::move(rows));
  if (test.found)
    return concat(text, "\n--min-bits ", *test.found, ": the first width that gains more than ",
                  threshold, "\n");
  if (test.complete())
    return concat(text, "\n--min-bits ", test.settings.high, ": no width gains more than ",
                  threshold, ", so that none below the highest is safe\n");
  return concat(text, "\nno width gained more than ", threshold, " so far\n");
}

}  // namespace ebb::report
