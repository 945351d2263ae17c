#include "tools/reproduce.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "core/text.h"
#include "tools/report/claims.h"
#include "tools/report/page.h"
#include "tools/schedule_calculators.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"
#include "tools/study/sweep.h"
#include "train/app/tables.h"
#include "train/files.h"

namespace ebb::tools {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kDone = 0;
constexpr std::int64_t kPoints = 50;  // of a refined schedule
constexpr std::string_view kRefined = "{refined}";

const Reproduction* find(std::string_view name) {
  const auto all = reproductions();
  const auto found = std::ranges::find(all, name, &Reproduction::name);
  return found == all.end() ? nullptr : &*found;
}

bool follows(const Reproduction& each) { return each.name.ends_with(".then"); }

std::string list() {
  std::vector<std::vector<std::string>> rows{{"name", "study"}};
  for (const Reproduction& each : reproductions()) {
    if (follows(each)) continue;
    const std::string name(each.name);
    rows.push_back({name, study::parse_study(each.text, name + ".toml").name});
  }
  return train::format_table(std::move(rows));
}

/// One study of a reproduction, with what its runs are told.
struct Stage {
  std::string file, text, out;
};

int run(const Stage& stage, const ReproduceOptions& options, std::ostream& err) {
  std::string again = "ebb reproduce " + options.name;
  if (options.seeds) again += concat(" --seeds ", *options.seeds);
  if (!options.out.empty()) again += " --out '" + options.out + "'";
  for (const std::string& each : options.set) again += " --set '" + each + "'";
  std::ostringstream said;  // of the runs; the verdicts say it better
  return study::sweep({.study = stage.file,
                       .jobs = options.jobs,
                       .threads = options.threads,
                       .set = options.set,
                       .text = stage.text,
                       .out = stage.out,
                       .seeds = options.seeds,
                       .command = again},
                      said, err);
}

/// The schedule that the norms of the first seed's best run ask for.
std::string refined(const std::string& out, std::ostream& err) {
  const report::Collection collection = report::read_runs(std::vector{out});
  const report::Run* best = nullptr;
  double highest = 0;
  for (const report::Run& each : collection.runs) {
    const train::EvalRow* row = each.last("validation");
    if (row == nullptr) row = each.last("test");
    if (each.option("seed") != "1" || !each.finished() || row == nullptr) continue;
    const double goodness = row->lower_is_better ? -row->score : row->score;
    if (best != nullptr && !(goodness > highest)) continue;
    best = &each;
    highest = goodness;
  }
  require<DataError>(best != nullptr, "[reproduce] no run of seed 1 in ", out, " is finished");
  std::ostringstream table;
  print_refined({.source = concat(out, '/', best->name), .extend = true, .points = kPoints}, table,
                err);
  std::string text = table.str();
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string with_refined(std::string text, const std::string& schedule) {
  for (std::size_t at = 0; (at = text.find(kRefined, at)) != std::string::npos;
       at += schedule.size())
    text.replace(at, kRefined.size(), schedule);
  return text;
}

std::vector<report::Claim> claims_of(const Stage& stage) {
  std::vector<report::Claim> claims;
  for (const study::Hypothesis& claim : study::parse_study(stage.text, stage.file).claims)
    claims.push_back(
        {claim.says, study::texts(claim.better.settings), study::texts(claim.than.settings)});
  return claims;
}

std::optional<double> standard_error(const report::Configuration& each) {
  if (!each.score_deviation) return std::nullopt;
  return *each.score_deviation / std::sqrt(static_cast<double>(each.finished.size()));
}

std::string for_reading(const report::Table& table) {
  std::vector<std::vector<std::string>> rows{table.heading};
  for (const std::vector<report::Cell>& row : table.rows) {
    rows.emplace_back();
    for (const report::Cell& cell : row) rows.back().push_back(printable(cell.text));
  }
  return train::format_table(std::move(rows));
}

report::Table scores_of(const report::Comparison& comparison) {
  report::Table table{.heading = {"runs", "score", "standard error", "seeds", "cost"}};
  for (const report::Configuration& each : comparison.configurations) {
    const report::Unit unit = report::unit_of(each.metric);
    const auto number = [&](std::optional<double> value) {
      if (value) *value *= unit.factor;
      return report::Cell::number(value, unit.decimals);
    };
    table.rows.push_back({report::Cell::of(each.name), number(each.score),
                          number(standard_error(each)),
                          report::Cell::count(static_cast<double>(each.finished.size())),
                          report::Cell::number(each.cost, 4)});
  }
  return table;
}

Json optional(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string to_json(const report::Comparison& comparison,
                    const std::vector<report::Verdict>& verdicts, const std::string& page) {
  const auto name_of = [&](const std::optional<std::size_t>& place) {
    return place ? Json(comparison.configurations[*place].name) : Json();
  };
  Json scores = Json::array(), claims = Json::array();
  for (const report::Configuration& each : comparison.configurations)
    scores.push_back({{"name", each.name},
                      {"split", each.split},
                      {"metric", each.metric},
                      {"score", optional(each.score)},
                      {"standard_error", optional(standard_error(each))},
                      {"seeds", each.finished.size()},
                      {"relative_cost", optional(each.cost)}});
  for (const report::Verdict& each : verdicts) {
    Json claim({{"claim", each.says},
                {"verdict", each.word},
                {"better", name_of(each.better)},
                {"than", name_of(each.than)},
                {"seeds", each.effect ? each.effect->pairs : 0}});
    claim["difference"] = each.effect ? Json(each.effect->mean) : Json();
    claim["interval"] = each.effect && each.effect->interval
                            ? Json({each.effect->interval->low, each.effect->interval->high})
                            : Json();
    claims.push_back(std::move(claim));
  }
  const Json json({{"name", comparison.title},
                   {"configurations", scores},
                   {"claims", claims},
                   {"report", page}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void show(const std::vector<Stage>& stages, const ReproduceOptions& options, std::ostream& out) {
  std::vector<std::string> folders;
  std::vector<report::Claim> claims;
  for (const Stage& stage : stages) {
    folders.push_back(stage.out);
    std::ranges::move(claims_of(stage), std::back_inserter(claims));
  }
  const study::Study first = study::parse_study(stages[0].text, stages[0].file);
  report::Comparison comparison = report::compare(report::read_runs(folders), first.name, {});
  const std::vector<report::Verdict> verdicts = report::judge(comparison, claims);
  comparison.claims = report::table_of(comparison, verdicts);
  const std::string page = stages[0].out + "/report.html";
  train::write_file(page, report::to_page(comparison));
  if (options.json) {
    out << to_json(comparison, verdicts, page);
  } else {
    out << printable(comparison.title) << "\n\n"
        << for_reading(scores_of(comparison)) << '\n'
        << for_reading(*comparison.claims) << '\n'
        << printable(page) << '\n';
  }
  out << std::flush;
  require<DataError>(out.good(), "[reproduce] standard output cannot be written");
}

}  // namespace

int reproduce(const ReproduceOptions& options, std::ostream& out, std::ostream& err) {
  if (options.name.empty()) {
    out << list() << std::flush;
    return kDone;
  }
  const Reproduction* const first = find(options.name);
  if (first == nullptr || follows(*first)) {
    std::vector<std::string> names;
    for (const Reproduction& each : reproductions()) {
      if (!follows(each)) names.emplace_back(each.name);
    }
    throw ConfigError(concat("[reproduce] ", unknown_word("study", options.name, names)));
  }
  const std::string folder = options.out.empty() ? "runs/reproduce-" + options.name : options.out;
  std::vector<Stage> stages{{options.name + ".toml", std::string(first->text), folder}};
  int code = run(stages[0], options, err);
  const Reproduction* const then = find(options.name + ".then");
  if (code == kDone && then != nullptr) {
    Stage second{options.name + ".then.toml", std::string(then->text), folder + "/then"};
    try {
      second.text = with_refined(second.text, refined(folder, err));
      code = run(second, options, err);
      stages.push_back(std::move(second));
    } catch (const DataError& error) {  // the norms ask for no schedule: that, too, is a result
      err << "ebb reproduce: " << printable(error.what()) << '\n';
    }
  }
  constexpr int kInterrupted = 3;
  if (code != kInterrupted) show(stages, options, out);
  return code;
}

}  // namespace ebb::tools
