#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "core/math.h"
#include "scratch.h"
#include "tools/report/claims.h"
#include "tools/report/comparison.h"
#include "tools/report/figures.h"
#include "tools/report/page.h"
#include "tools/report/range.h"
#include "tools/report/report_command.h"
#include "tools/report/statistics.h"
#include "tools/report/svg.h"
#include "tools/report/table.h"
#include "train/config.h"
#include "train/files.h"

using namespace ebb;
using namespace ebb::report;

namespace {

double uniform(const Key& key, std::uint64_t i) {
  return static_cast<double>(key.bits(i) >> 11U) * 0x1p-53;
}

/// A run directory without a checkpoint: `steps` of two updates, and one evaluation.
void write_run(const std::string& directory, const std::string& schedule, int seed, double score,
               int steps = 2) {
  std::filesystem::create_directories(directory);
  const train::RunConfig config{
      .program = "ebb-cnn",
      .options = {{"arch", "lenet5"},
                  {"data", "mnist"},
                  {"image-size", "224"},
                  {"schedule", schedule},
                  {"bits", ""},
                  {"max-bits", "8"},
                  {"lr", "0.1"},
                  {"simulate", "false"},
                  {"seed", to_text(seed)}},
      .resolved = {{"iterations", "2"}, {"steps_per_epoch", "1"}, {"bits", "8"}}};
  train::write_file(directory + "/config.json", train::to_json(config));
  std::string lines;
  for (int t = 0; t < steps; ++t)
    lines += train::to_line(
                 train::StepRow{.iteration = t, .loss = 2.0 - t, .formats = {}, .seconds = 0.5}) +
             "\n";
  train::write_file(directory + "/steps.jsonl", lines);
  train::write_file(directory + "/evals.jsonl", train::to_line(train::EvalRow{.iteration = 2,
                                                                              .split = "test",
                                                                              .examples = 10,
                                                                              .metric = "accuracy",
                                                                              .score = score,
                                                                              .formats = {},
                                                                              .seconds = 0.25}) +
                                                    "\n");
}

}  // namespace

TEST_CASE("quantiles of Student's t are those of SciPy's t.ppf(0.975, n) and t.ppf(0.995, n)") {
  struct Case {
    std::int64_t freedom;
    double at_95, at_99;
  };
  const Case cases[] = {
      {1, 12.706204736432095, 63.65674116287399},  {2, 4.302652729911275, 9.924843200918292},
      {3, 3.182446305284263, 5.840909309732855},   {4, 2.7764451051977987, 4.604094871349993},
      {9, 2.2621571627409915, 3.2498355415921254}, {30, 2.0422724563012373, 2.7499956535672237}};
  for (const Case& c : cases) {
    CAPTURE(c.freedom);
    CHECK(student_t(0.95, c.freedom) == doctest::Approx(c.at_95).epsilon(1e-10));
    CHECK(student_t(0.99, c.freedom) == doctest::Approx(c.at_99).epsilon(1e-10));
  }
  // In closed form, to which SciPy's are within 4e-11: t = tan(0.475 pi), and sqrt(2) tan(asin
  // 0.95).
  CHECK(student_t(0.95, 1) == doctest::Approx(std::tan(0.475 * math::kPi)).epsilon(1e-13));
  CHECK(student_t(0.95, 2) ==
        doctest::Approx(0.95 * std::sqrt(2 / (1 - 0.95 * 0.95))).epsilon(1e-13));
}

TEST_CASE("a paired difference separates where its interval excludes 0") {
  struct Case {
    const char* why;
    std::vector<double> values, baseline;
    double mean;
    bool interval, separates;
  };
  const Case cases[] = {
      {"differences 1, 2, 3: 2 +- 4.303 * 1 / sqrt(3) = -0.48 .. 4.48",
       {2, 4, 6},
       {1, 2, 3},
       2,
       true,
       false},
      {"differences 1.9, 2, 2.1: 2 +- 0.248", {2.9, 4, 5.1}, {1, 2, 3}, 2, true, true},
      {"below: -2 +- 0.248", {1, 2, 3}, {2.9, 4, 5.1}, -2, true, true},
      {"one pair has no interval", {2}, {1}, 1, false, false},
      {"no difference at all", {1, 2}, {1, 2}, 0, true, false}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const PairedDifference difference = paired_difference(c.values, c.baseline);
    CHECK(difference.mean == doctest::Approx(c.mean));
    CHECK(difference.interval.has_value() == c.interval);
    CHECK(difference.separates() == c.separates);
  }
  const PairedDifference first = paired_difference(cases[0].values, cases[0].baseline);
  CHECK(first.interval->low == doctest::Approx(2 - 4.302652729911275 / std::sqrt(3.0)));
  CHECK(sample_deviation(std::vector<double>{1, 2, 3}).value() == doctest::Approx(1));
  CHECK(!sample_deviation(std::vector<double>{1}).has_value());
}

TEST_CASE("the Pareto front is what comparing every pair gives") {
  for (std::uint64_t round = 0; round < 200; ++round) {
    const Key key = Key(17).fold(round);
    std::vector<CostAndScore> points(1 + round % 12);
    for (std::size_t i = 0; i < points.size(); ++i)  // few values, so that many agree
      points[i] = {std::floor(5 * uniform(key, 2 * i)), std::floor(5 * uniform(key, 2 * i + 1))};
    for (const bool lower : {false, true}) {
      std::vector<std::size_t> expected;
      for (std::size_t i = 0; i < points.size(); ++i) {
        const bool beaten = std::ranges::any_of(points, [&](const CostAndScore& other) {
          const double gain = (other.score - points[i].score) * (lower ? -1 : 1);
          return other.cost <= points[i].cost && gain >= 0 &&
                 (other.cost < points[i].cost || gain > 0);
        });
        if (!beaten) expected.push_back(i);
      }
      std::vector<std::size_t> front = pareto_front(points, lower);
      CHECK(std::ranges::is_sorted(front, {}, [&](std::size_t i) { return points[i].cost; }));
      std::ranges::sort(front);
      CHECK(front == expected);
    }
  }
}

TEST_CASE("a downsampled curve keeps the extremes of every part, its ends and its gaps") {
  const Key key(3);
  std::vector<double> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = uniform(key, i);
  values[617] = 1e6;
  values[200] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::size_t> kept = extremes(values, 20);
  CHECK(kept.size() <= 20 * 3 + 2);
  CHECK(kept.front() == 0);
  CHECK(kept.back() == 999);
  CHECK(std::ranges::is_sorted(kept));
  const auto has = [&](std::size_t i) { return std::ranges::find(kept, i) != kept.end(); };
  CHECK(has(617));
  CHECK(has(200));
  for (std::size_t part = 0; part < 20; ++part) {
    const auto finite_less = [](double a, double b) { return std::isnan(b) || a < b; };
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(50 * part);
    CHECK(has(static_cast<std::size_t>(std::min_element(begin, begin + 50, finite_less) -
                                       values.begin())));
  }
  CHECK(extremes(std::vector<double>{3, 1, 2}, 2).size() == 3);
}

TEST_CASE("ticks are at round numbers within the axis") {
  struct Case {
    double low, high;
    std::vector<std::string> labels;
  };
  const Case cases[] = {{0, 1, {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}},
                        {71.2, 74.9, {"72", "73", "74", "75"}},
                        {0, 64000, {"0", "10k", "20k", "30k", "40k", "50k", "60k"}},
                        {0.001, 2, {"0.001", "0.01", "0.1", "1"}},
                        {0.02, 1.2, {"0.02", "0.05", "0.1", "0.2", "0.5", "1"}}};
  for (const Case& c : cases) {
    CAPTURE(c.high);
    const Axis axis = Axis::wide(c.low, c.high, 0, 100, 5);
    std::vector<std::string> labels;
    for (const double tick : axis.ticks) labels.push_back(axis.label(tick));
    CHECK(labels == c.labels);
  }
}

TEST_CASE("text from elsewhere is escaped in pages and tables") {
  CHECK(escaped("<script>alert('x')</script> & \"\x1b[2J") ==
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;\\x1b[2J");
  const Table table{{"a", "b,c"}, {{Cell::of("say \"hi\""), Cell::number(0.1, 0)}}};
  CHECK(to_lines(table, ',') == "a,\"b,c\"\n\"say \"\"hi\"\"\",0.1\n");
  CHECK(to_lines(table, '\t') == "a\tb,c\nsay \"hi\"\t0.1\n");
  CHECK(shell_line(std::vector<std::string>{"ebb-cnn", "--bits", "it's 3->8", ""}) ==
        "ebb-cnn --bits 'it'\\''s 3->8' ''");
}

TEST_CASE("seeds are folded, compared with the baseline seed by seed, and broken runs are told") {
  const Scratch scratch;
  const std::string study = scratch / "study";
  const double scores[] = {0.70, 0.72, 0.71};
  for (int seed = 1; seed <= 3; ++seed) {
    write_run(concat(study, "/static-", seed), "static", seed, scores[seed - 1]);
    write_run(concat(study, "/<script>-", seed), "CR", seed,
              scores[seed - 1] - 0.02 - 0.001 * seed);
  }
  write_run(study + "/begun", "RR", 1, 0.5, 1);
  write_run(study + "/cut", "RR", 2, 0.5);
  std::filesystem::resize_file(study + "/cut/config.json", 30);
  write_run(study + "/newer", "RR", 3, 0.5);
  train::write_file(study + "/newer/config.json", R"({"format": 99})");
  write_run(study + "/again", "CR", 1, 0.1);
  const std::vector<std::string> directories{study};
  const Collection collection = read_runs(directories);
  std::vector<std::string> failed;
  for (const Failure& failure : collection.failures) failed.push_back(failure.name);
  CHECK(failed == std::vector<std::string>{"cut", "newer", "again"});
  CHECK(collection.failures[1].message.find("format 99") != std::string::npos);
  CHECK(collection.runs[0].command == std::vector<std::string>{"ebb-cnn", "--arch", "lenet5",
                                                               "--data", "mnist", "--schedule",
                                                               "CR", "--lr", "0.1", "--seed", "1"});

  const Comparison comparison = compare(collection, "", {});
  REQUIRE(comparison.configurations.size() == 3);
  CHECK(comparison.options == std::vector<std::string>{"schedule"});
  const auto named = [&](const char* name) {
    return *std::ranges::find(comparison.configurations, name, &Configuration::name);
  };
  CHECK(named("RR").finished.empty());
  CHECK(!named("RR").score.has_value());
  CHECK(named("CR").score.value() == doctest::Approx(0.71 - 0.022));
  CHECK(named("CR").score_deviation.value() == doctest::Approx(0.0095393920));
  // Differences -0.021, -0.022, -0.023: sd 0.001, half width 4.302653 * 0.001 / sqrt(3).
  const PairedDifference difference = named("CR").difference.value();
  CHECK(difference.mean == doctest::Approx(-0.022));
  CHECK(difference.interval->high == doctest::Approx(-0.022 + 0.0024841377));
  CHECK(difference.separates());
  CHECK(!named("static").difference.has_value());

  const Claim claims[] = {{"cycling scores better", {{"schedule", "CR"}}, {{"schedule", "static"}}},
                          {"and less <well>", {{"schedule", "static"}}, {{"schedule", "CR"}}},
                          {"as well as itself", {{"lr", "1e-1"}}, {{"lr", "0.1"}}},
                          {"RR", {{"schedule", "RR"}}, {{"schedule", "static"}}},
                          {"LR", {{"schedule", "LR"}}, {{"schedule", "static"}}}};
  const std::vector<Verdict> verdicts = judge(comparison, claims);
  const char* const words[] = {"contradicted", "supported", "not separable", "not tested",
                               "not tested"};
  for (std::size_t i = 0; i < std::size(claims); ++i) CHECK(verdicts[i].word == words[i]);
  CHECK(verdicts[0].effect->mean == doctest::Approx(-0.022));
  // All have the rate; the best of them stands for it.
  CHECK(comparison.configurations[verdicts[2].better.value()].name == "static");
  Comparison judged = compare(read_runs(directories), "", {});
  judged.claims = table_of(judged, verdicts);
  CHECK(to_page(judged).find("and less &lt;well&gt;") != std::string::npos);
  CHECK(judged.claims->rows[0][2].text == "-2.20");
  CHECK(judged.claims->rows[3][2].text.empty());

  const std::string page = to_page(comparison);
  CHECK(page == to_page(compare(read_runs(directories), "", {})));
  CHECK(page.find("<script>-1") == std::string::npos);
  CHECK(page.find("&lt;script&gt;-1") != std::string::npos);
  CHECK(page.find("://") == std::string::npos);  // nothing leads out
}

TEST_CASE("a study's own list, commands, baseline and failures are taken") {
  const Scratch scratch;
  const std::string study = scratch / "study";
  write_run(study + "/a", "static", 1, 0.7);
  write_run(study + "/b", "CR", 1, 0.6);
  train::write_file(
      study + "/study.json",
      R"({"format": 1, "name": "First", "program": "ebb-cnn", "baseline": {"schedule": "CR"},
     "varied": ["schedule"], "runs": [{"name": "b", "options": {}, "command": ["ebb-cnn", "--own"]},
     {"name": "a", "options": {}, "command": ["ebb-cnn"]}, {"name": "c", "options": {}, "command": []},
     {"name": "d", "options": {}, "command": []}]})");
  std::filesystem::create_directory(study + "/failures");
  train::write_file(study + "/failures/c.json",
                    R"({"run": "c", "exit_code": 2, "message": "no such option"})");
  const Comparison comparison =
      compare(read_runs(std::vector<std::string>{study}), "", std::nullopt);
  CHECK(comparison.title == "First");
  CHECK(comparison.collection.runs[0].name == "b");
  CHECK(comparison.collection.runs[0].command == std::vector<std::string>{"ebb-cnn", "--own"});
  CHECK(comparison.collection.waiting == 1);
  REQUIRE(comparison.collection.failures.size() == 1);
  CHECK(comparison.collection.failures[0].message == "no such option (exit code 2)");
  CHECK(!comparison.collection.failures[0].unreadable);
  const auto other = std::ranges::find(comparison.configurations, "static", &Configuration::name);
  CHECK(other->difference->mean == doctest::Approx(0.1));
  std::ostringstream out, warnings;
  CHECK_THROWS_AS(report::report({.directories = {study}, .out = "page.pdf"}, out, warnings),
                  ConfigError);
  CHECK_THROWS_AS(
      report::report({.directories = {study}, .out = "f.svg", .figure = "parto"}, out, warnings),
      ConfigError);
  CHECK_THROWS_AS(read_runs(std::vector<std::string>{scratch / "nowhere"}), DataError);
}

TEST_CASE("a range test finds the first width whose gain exceeds the threshold") {
  // Scores of two updates a width, from 2 to 5 bits; the window is one update.
  const auto judged = [](const std::vector<double>& scores, bool accuracy,
                         std::optional<double> threshold) {
    train::History history;
    for (const double score : scores) {
      const auto t = static_cast<std::int64_t>(history.steps.size());
      history.steps.push_back({.iteration = t,
                               .loss = score,
                               .accuracy = accuracy ? std::optional(score) : std::nullopt});
    }
    return judge_range(history,
                       {.low = 2, .high = 5, .updates = 2, .window = 1, .threshold = threshold});
  };
  const std::vector<double> rising{0.10, 0.10, 0.3, 0.15,
                                   0.3,  0.35, 0.3, 0.45};              // gains 0, 0.05, 0.2, 0.1
  const std::vector<double> falling{2.0, 2.0, 9, 1.9, 9, 1.4, 9, 1.3};  // drops 0, 0.1, 0.5, 0.1
  struct Case {
    const char* why;
    std::vector<double> scores;
    bool accuracy;
    std::optional<double> threshold;
    std::optional<std::int64_t> found, min_bits;
  };
  const Case cases[] = {{"0.05 exceeds the default of accuracies, 0.01", rising, true, {}, 3, 3},
                        {"a stricter one is exceeded later", rising, true, 0.1, 4, 4},
                        {"it has to be exceeded", rising, true, 0.2, {}, 5},
                        {"none is: the highest", rising, true, 0.5, {}, 5},
                        {"a loss has to fall, by more than 0.05", falling, false, {}, 3, 3},
                        {"stricter", falling, false, 0.2, 4, 4},
                        {"losses that rise gain nothing", rising, false, {}, {}, 5},
                        {"interrupted before a width gained", {0.1, 0.1, 0.3}, true, {}, {}, {}},
                        {"interrupted after one did", {0.1, 0.1, 0.3, 0.2}, true, {}, 3, 3}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const RangeTest test = judged(c.scores, c.accuracy, c.threshold);
    CHECK(test.found == c.found);
    CHECK(test.min_bits() == c.min_bits);
  }
  const RangeTest test = judged(rising, true, {});
  CHECK(test.base == 0.10);
  REQUIRE(test.widths.size() == 4);
  CHECK(test.widths[2].score == 0.35);
  CHECK(test.widths[2].gain == doctest::Approx(0.2));
}

TEST_CASE("settings of a range test come back from their file, and wrong ones are refused") {
  const RangeSettings settings{.low = 3, .high = 6, .updates = 50, .window = 20, .threshold = 0.03};
  CHECK(parse_range_settings(to_json(settings)) == settings);
  CHECK(range_schedule(settings) == "3 @50up ; 4 @50up ; 5 @50up ; 6 @rest");
  for (const char* text :
       {"", "{}", "[1]", R"({"format": 2})",
        R"({"format": 1, "min_bits": "2", "max_bits": 8, "updates": 4, "window": 1})",
        R"({"format": 1, "min_bits": 2, "max_bits": 8, "updates": 4, "window": 3})",
        R"({"format": 1, "min_bits": 8, "max_bits": 2, "updates": 4, "window": 1})"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(static_cast<void>(parse_range_settings(text)), DataError);
  }
  CHECK_THROWS_AS(check({.low = 2, .high = 8, .updates = 1, .window = 0}), ConfigError);
  CHECK_THROWS_AS(check({.threshold = std::nan("")}), ConfigError);
}

namespace {

/// A run whose weights have the widths of `bits`, one digit an update.
void write_course(const std::string& directory, const std::string& bits, int seed, double score) {
  write_run(directory, "static", seed, score);
  train::RunConfig config = train::parse_config(train::read_file(directory + "/config.json"));
  for (auto& [name, text] : config.options) {
    if (name == "bits") text = bits;
  }
  config.resolved[0].second = to_text(std::ssize(bits));
  train::write_file(directory + "/config.json", train::to_json(config));
  std::string lines;
  for (std::size_t t = 0; t < bits.size(); ++t) {
    const Format width = Format::integer(bits[t] - '0');
    lines += train::to_line(train::StepRow{.iteration = static_cast<std::int64_t>(t),
                                           .formats = {width, width, width}}) +
             "\n";
  }
  train::write_file(directory + "/steps.jsonl", lines);
}

Comparison compared(const std::string& directory) {
  return compare(read_runs(std::vector<std::string>{directory}), "", std::nullopt);
}

}  // namespace

TEST_CASE("deficits and windows are told by the widths of the record") {
  struct Case {
    const char* bits;
    std::string kind;
    int first, length;
  };
  const Case cases[] = {
      {"8888", "reference", 0, 0}, {"38888", "deficit", 0, 1}, {"33338888", "deficit", 0, 4},
      {"3388", "window", 0, 2},    {"8338", "window", 1, 2},   {"8833", "window", 2, 2},
      {"388", "", 0, 0},   // neither: two updates after the deficit
      {"3838", "", 0, 0},  // in two parts
      {"3458", "", 0, 0},          {"3333", "", 0, 0}};
  const Scratch scratch;
  for (const Case& c : cases) {
    for (const int seed : {1, 2})
      write_course(scratch / concat(c.bits, "-", seed), c.bits, seed,
                   0.5 + 0.1 * c.length + 0.01 * seed);
  }
  const Comparison comparison = compared(scratch / "");
  const std::vector<Figure> figures = periods_figures(comparison);
  REQUIRE(figures.size() == 1);
  CHECK(figures[0].panels.size() == 2);
  std::size_t expected_rows = 0;
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    const auto row = std::ranges::find_if(
        figures[0].values.rows,
        [&](const std::vector<Cell>& cells) { return cells[0].text == c.bits; });
    CHECK((row != figures[0].values.rows.end()) == !c.kind.empty());
    if (c.kind.empty() || row == figures[0].values.rows.end()) continue;
    ++expected_rows;
    CHECK((*row)[1].text == c.kind);
    CHECK((*row)[4].value == c.first);
    CHECK((*row)[5].value == c.length);
    CHECK((*row)[7].value == 2);
    if (c.length > 0) CHECK(*(*row)[10].value == doctest::Approx(0.1 * c.length));  // to "8888"
  }
  CHECK(figures[0].values.rows.size() == expected_rows);
  std::filesystem::remove_all(scratch / "8888-1");
  std::filesystem::remove_all(scratch / "8888-2");
  CHECK(periods_figures(compared(scratch / "")).empty());  // nothing to compare with
}

TEST_CASE("a probe's figure keeps the worst of every operand and product in every format") {
  const Scratch scratch;
  write_run(scratch / "run", "static", 1, 0.5);
  const auto operand = [](int iteration, const char* format, const char* sqnr, double ends) {
    return concat(R"({"iteration":)", iteration, R"(,"site":"<b>","role":"weight","format":")",
                  format, R"(","grid":"tensor","elements":4,"at_ends":)", ends,
                  R"(,"zeros":0.5,"underflow":0.25,"sqnr_db":)", sqnr, "}\n");
  };
  const auto sums = [](int iteration, int bits) {
    return concat(R"({"iteration":)", iteration,
                  R"(,"site":"<b>","product":"forward","format":"int4","sums":8,"sum_bits":)", bits,
                  R"(,"overflows":{"wrap12":"3"}})", "\n");
  };
  const std::string lines = operand(0, "int4", "20.5", 0.125) + sums(0, 12) +
                            operand(0, "int6", "null", 0) + operand(5, "int4", "18.25", 0.0625) +
                            sums(5, 17);
  train::write_file(scratch / "run/probe.jsonl", lines + R"({"iteration": 6)");  // killed here
  const Comparison comparison = compared(scratch / "");
  const std::vector<Figure> figures = probe_figures(comparison);
  REQUIRE(figures.size() == 1);
  CHECK(figures[0].panels.size() == 4);
  CHECK(
      to_lines(figures[0].values, '\t').substr(to_lines(figures[0].values, '\t').find('\n') + 1) ==
      "static\t<b> weight\tint4\t18.25\t0.125\t0.25\t\n"
      "static\t<b> forward\tint4\t\t\t\t17\n"
      "static\t<b> weight\tint6\tinf\t0\t0.25\t\n");
  CHECK(figures[0].all_values().rows.size() == 5);
  CHECK(to_page(comparison).find("<b> weight") == std::string::npos);
  train::write_file(scratch / "run/probe.jsonl", "{\"iteration\": 1}\n" + lines);
  CHECK_THROWS_WITH_AS(static_cast<void>(compared(scratch / "")),
                       doctest::Contains("probe.jsonl, line 1"), DataError);
}
