#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "schedules/cpt.h"

using namespace ebb;

namespace {

/// The inline code of the table cells after the first, between two remarks of docs/SCHEDULES.md.
std::vector<std::string> expressions_between(std::string_view begin, std::string_view end) {
  std::ifstream in(std::filesystem::path(__FILE__).parent_path().parent_path() / "docs" /
                   "SCHEDULES.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t first = text.find(begin), last = text.find(end);
  REQUIRE(first != std::string::npos);
  REQUIRE(last != std::string::npos);
  std::vector<std::string> expressions;
  for (std::size_t at = first; (at = text.find('`', at)) < last;) {
    const std::size_t close = text.find('`', at + 1);
    expressions.push_back(text.substr(at + 1, close - at - 1));
    at = close + 1;
  }
  return expressions;
}

}  // namespace

TEST_CASE("every recipe of SCHEDULES.md parses, prints, reads back, binds and evaluates") {
  const std::vector<std::string> recipes =
      expressions_between("<!-- each expression in this table is parsed",
                          "<!-- end of the expressions that are parsed");
  CHECK(recipes.size() >= 40);
  const Totals totals{.updates = 262198, .updates_per_epoch = 391};
  const Schedule::References references{{{"eps", Schedule::parse("0->.1:smooth")}}};
  for (const std::string& recipe : recipes) {
    CAPTURE(recipe);
    const Schedule schedule = Schedule::parse(recipe);
    CHECK(Schedule::parse(schedule.text()) == schedule);
    const Bound bound = schedule.bind(totals, references);
    CHECK(bound.warnings().empty());
    for (const std::int64_t t : {0, 1, 131099, 262197, 262198}) {
      const Value value = bound.value(t);
      CHECK((!value.is_number() || (value.number >= 0 && value.number <= 4.9e5)));
    }
  }
}

TEST_CASE("the one-cycle rates of SCHEDULES.md reach their peak once and end where they say") {
  const std::vector<std::string> cycles =
      expressions_between("| OneCycle (REX paper)", "| warm-up, stable, decay |");
  REQUIRE(cycles.size() == 3);
  struct Case {
    const char* why;
    double begin, turn, last;  ///< the first value, the extreme and the value of the last update; a
                               ///< lin's end lies after it
    std::int64_t at;           ///< of the extreme
  };
  const Case cases[] = {{"REX paper: half up, half down", 0.1, 1.0, 0.1 + 0.9 / 500, 500},
                        {"its momentum, the other way round", 0.95, 0.85, 0.95 - 0.1 / 500, 500},
                        {"usual: 30 % up, then down to the last update", 0.04, 1.0, 4e-6, 300}};
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(std::string(cases[i].why));
    const Bound bound =
        Schedule::parse(cycles[i]).bind({.updates = 1000, .updates_per_epoch = 100}, {});
    std::int64_t held = 0;
    for (std::int64_t t = 0; t < 1000; ++t)
      held += std::abs(bound.value(t).number - cases[i].turn) < 1e-9 ? 1 : 0;
    CHECK(held == 1);
    CHECK(bound.value(0).number == doctest::Approx(cases[i].begin).epsilon(1e-9));
    CHECK(bound.value(cases[i].at).number == doctest::Approx(cases[i].turn).epsilon(1e-9));
    CHECK(bound.value(999).number == doctest::Approx(cases[i].last).epsilon(1e-9));
  }
}

TEST_CASE("the names of SCHEDULES.md stand for the expressions it says") {
  const std::vector<std::string> expressions =
      expressions_between("| static, fp32 |", "The cost of an update is");
  const std::vector<std::string> names = {"static", "fp32", "RR",  "RTH", "LR", "LT",
                                          "CR",     "CT",   "ETV", "RTV", "ER", "ETH"};
  REQUIRE(expressions.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i)
    CHECK(precision_schedule(names[i]) == Schedule::parse(expressions[i]));
}

TEST_CASE("every closed-loop recipe of SCHEDULES.md parses, prints back, binds and reads") {
  const std::vector<std::string> recipes =
      expressions_between("<!-- each expression in this table has controllers",
                          "<!-- end of the expressions that have controllers");
  CHECK(recipes.size() >= 7);
  for (const std::string& recipe : recipes) {
    CAPTURE(recipe);
    const Schedule schedule = Schedule::parse(recipe);
    CHECK(Schedule::parse(schedule.text()) == schedule);
    const Bound bound = schedule.bind(1000);
    REQUIRE(bound.controllers().size() == 1);
    const double before = bound(500), after = bound(500, std::vector<double>{0.5});
    CHECK(std::isfinite(before));
    CHECK(before != after);
  }
  CHECK_THROWS_WITH_AS((void)Schedule::parse("lossscale(2,2,2000)"),
                       doctest::Contains("is not available yet"), ConfigError);
}

TEST_CASE("the worked values of SCHEDULES.md are what schedules give, to the bit") {
  const std::vector<std::string> cells =
      expressions_between("<!-- worked values: schedules", "<!-- end of worked values");
  REQUIRE(cells.size() % 2 == 0);
  CHECK(cells.size() >= 2 * 15);
  for (std::size_t i = 0; i < cells.size(); i += 2) {
    CAPTURE(cells[i]);
    const std::size_t at = cells[i].rfind(" at "), of = cells[i].rfind(" of ");
    const std::int64_t t = std::stoll(cells[i].substr(at + 4)),
                       updates = std::stoll(cells[i].substr(of + 4));
    const double value = Schedule::parse(cells[i].substr(0, at)).bind(updates)(t);
    CHECK(std::bit_cast<std::uint64_t>(value) == std::stoull(cells[i + 1], nullptr, 16));
  }
}
