#include "tools/study/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "core/printable.h"
#include "tools/study/look.h"
#include "tools/study/table.h"
#include "train/app/progress.h"
#include "train/app/tables.h"

namespace ebb::study {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t in_common(const Run& a, const Run& b) {
  return std::ranges::count_if(a.options, [&](const Setting& each) {
    return std::ranges::any_of(b.options, [&](const Setting& other) {
      return other.option == each.option && spelling(other.text) == spelling(each.text);
    });
  });
}

double bit_ops(const Expected& run) { return static_cast<double>(run.answer.prediction.bit_ops); }

struct Totals {
  std::size_t finished = 0;
  double all = 0, open = 0;  // bit-operations
  double seconds = 0;        // of what is open
  bool known = true;         // for all that is open
};

Totals totals(const Forecast& forecast) {
  Totals sum;
  for (const Expected& run : forecast.runs) {
    sum.all += bit_ops(run);
    if (run.finished) {
      ++sum.finished;
      continue;
    }
    sum.open += bit_ops(run);
    sum.seconds += run.seconds.value_or(0);
    sum.known = sum.known && (run.seconds || run.answer.exit_code != 0);
  }
  sum.seconds /= forecast.jobs;
  return sum;
}

}  // namespace

int processors() { return static_cast<int>(std::max(1U, std::thread::hardware_concurrency())); }

Workers workers(const SweepOptions& options, std::size_t runs, int processors) {
  const auto given = [](const std::optional<std::int64_t>& count, std::string_view name) {
    constexpr int kMost = 1024;
    if (!count) return 0;
    require<ConfigError>(*count >= 1 && *count <= kMost, "[command line] --", name,
                         ": expected 1 to ", kMost, ", got ", *count);
    return static_cast<int>(*count);
  };
  const int jobs = given(options.jobs, "jobs"), threads = given(options.threads, "threads");
  Workers result{jobs, threads};
  if (jobs == 0 && threads == 0)
    result.jobs = std::min(processors, static_cast<int>(std::min<std::size_t>(runs, 1024)));
  else if (jobs == 0)
    result.jobs = std::max(1, processors / threads);
  if (threads == 0) result.threads = std::max(1, processors / result.jobs);
  const bool told = jobs > 0 && threads > 0;
  require<ConfigError>(told || result.jobs * result.threads <= processors, "[command line] ",
                       result.jobs, result.jobs == 1 ? " run" : " runs", " at a time with ",
                       result.threads, " threads each are more threads than the ", processors,
                       " processors; give fewer, or both --jobs and --threads if you mean it");
  return result;
}

Shard parse_shard(const std::string& text) {
  Shard shard;
  if (text.empty()) return shard;
  const std::vector<std::string> parts = split_at(text, '/');
  const bool right = parts.size() == 2 && parse_number(parts[0], shard.index) &&
                     parse_number(parts[1], shard.of) && shard.index >= 1 &&
                     shard.index <= shard.of;
  require<ConfigError>(
      right, "[command line] --shard: expected i/n such as 2/3, i from 1 to n, got '", text, "'");
  return shard;
}

std::vector<std::size_t> order_of(const Shard& shard, std::size_t runs) {
  const auto parts = static_cast<std::size_t>(shard.of);
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < std::min(parts, runs + parts); ++k) {
    const std::size_t first = (static_cast<std::size_t>(shard.index) - 1 + k) % parts;
    for (std::size_t i = first; i < runs; i += parts) order.push_back(i);
  }
  return order;
}

Forecast forecast(const Study& study, const Expansion& expansion,
                  const std::vector<Answer>& answers, int jobs) {
  Forecast result{.jobs = jobs};
  std::vector<std::size_t> measured;
  for (std::size_t i = 0; i < expansion.runs.size(); ++i) {
    const Run& run = expansion.runs[i];
    Expected expected{.run = run.name, .answer = answers[i]};
    const std::string directory = concat(study.out, '/', run.name);
    try {
      expected.finished = look(directory, study.program, run) == Stage::finished;
      if (expected.finished) expected.seconds = seconds_of(directory);
    } catch (const DataError& error) {
      expected.finished = false;
      expected.answer.exit_code = 1;
      expected.answer.message = error.what();
    }
    if (expected.finished && expected.answer.prediction.macs > 0) measured.push_back(i);
    result.runs.push_back(std::move(expected));
  }
  for (std::size_t i = 0; i < result.runs.size(); ++i) {
    Expected& expected = result.runs[i];
    if (expected.finished || expected.answer.exit_code != 0) continue;
    std::int64_t most = -1;
    double seconds = 0, macs = 0;
    for (const std::size_t other : measured) {
      const std::int64_t common = in_common(expansion.runs[i], expansion.runs[other]);
      if (common < most) continue;
      if (common > most) seconds = macs = 0;
      most = common;
      seconds += *result.runs[other].seconds;
      macs += answers[other].prediction.macs;
    }
    if (macs > 0) expected.seconds = seconds / macs * expected.answer.prediction.macs;
  }
  return result;
}

std::string to_table(const Forecast& forecast) {
  std::vector<std::vector<std::string>> rows{
      {"run", "steps", "bit-operations", "cost", "time", ""}};
  std::string failures;
  for (const Expected& run : forecast.runs) {
    const Prediction& prediction = run.answer.prediction;
    if (run.answer.exit_code != 0) {
      rows.push_back({run.run, "", "", "", "", "would fail"});
      failures += concat("\n", run.run, " would fail: ", run.answer.message, "\n");
      continue;
    }
    rows.push_back({run.run, to_text(prediction.iterations), si_text(bit_ops(run)),
                    concat(train::format_fixed(prediction.relative_cost, 3), " of ",
                           prediction.cost_reference),
                    run.seconds ? train::format_duration(*run.seconds) : "?",
                    run.finished ? "finished" : ""});
  }
  const Totals sum = totals(forecast);
  const std::string time = sum.seconds > 0 ? concat(", about ", train::format_duration(sum.seconds),
                                                    " with ", forecast.jobs, " at a time")
                                           : "";
  return concat(train::format_table(rows), '\n', forecast.runs.size(), " runs, ", sum.finished,
                " finished; ", si_text(sum.all), " bit-operations in all, ", si_text(sum.open),
                " to do", sum.known ? time : "", '\n',
                sum.known ? "" : "Times are predicted once some runs are finished.\n",
                printable(failures, LineFeeds::kept));
}

std::string to_json(const Forecast& forecast) {
  const Totals sum = totals(forecast);
  Json predicted = Json::array(), failed = Json::array();
  for (const Expected& run : forecast.runs) {
    const Prediction& prediction = run.answer.prediction;
    if (run.answer.exit_code != 0) {
      failed.push_back({{"run", run.run}, {"message", run.answer.message}});
      continue;
    }
    predicted.push_back({{"run", run.run},
                         {"finished", run.finished},
                         {"iterations", prediction.iterations},
                         {"bit_ops", to_text(prediction.bit_ops)},
                         {"relative_cost", prediction.relative_cost},
                         {"cost_reference", prediction.cost_reference},
                         {"seconds", run.seconds ? Json(*run.seconds) : Json()}});
  }
  const Json json({{"runs", forecast.runs.size()},
                   {"finished", sum.finished},
                   {"reran", 0},
                   {"skipped", sum.finished},
                   {"failed", failed},
                   {"predicted", predicted}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ebb::study
