#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "schedules/autolrs.h"
#include "schedules/controller.h"
#include "schedules/state.h"
#include "schedules_random.h"

using namespace ebb;

namespace {

using Event = Observation::Event;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Observation update(double loss, double accuracy = 0.5, double norm = 1) {
  return {.event = Event::update,
          .numbers = {{"loss", loss},
                      {"learning_rate", 0.1},
                      {"accuracy", accuracy},
                      {"gnorm1", 3 * norm},
                      {"gnorm2", norm}}};
}
Observation evaluated(double loss, double accuracy = 0.5) {
  return {.event = Event::evaluation, .numbers = {{"loss", loss}, {"accuracy", accuracy}}};
}

/// The controller that an expression is.
Controller controller_of(const char* text) {
  const Bound bound = Schedule::parse(text).bind(1000);
  REQUIRE(bound.controllers().size() == 1);
  return bound.controllers()[0];
}

}  // namespace

TEST_CASE("every controller is made from its row, and its state comes back from its words") {
  for (const ControllerRule* const rule : controller_rules()) {
    CAPTURE(std::string(rule->name));
    const std::vector<double> values = rule->list ? std::vector{0.5, 0.25} : std::vector<double>{};
    Controller controller(*rule, {}, {}, values), restored = controller;
    CHECK(controller.hyperparameters.size() == rule->hyperparameters.size());
    if (!rule->option.empty())
      CHECK(controller.value() == 1.0);  // the rate as scheduled, before anything was seen
    const double first = controller.value();
    for (const double loss : {2.0, 3.0, 1.0, 1.5, kNan}) {
      controller.observe(update(loss, loss / 3, loss));
      controller.observe(evaluated(loss));
    }
    if (rule->list) set_phase(controller, 1, 5);
    const bool searches = rule->name == "autolrs";  // it does not learn from what it is told
    CHECK((controller.state != restored.state) == !searches);
    restored.restore(controller.save());
    CHECK(restored.state == controller.state);
    CHECK(restored.series == controller.series);
    CHECK(restored.value() == controller.value());
    CHECK_THROWS_AS(restored.restore({}), DataError);
    if (!rule->series)
      CHECK_THROWS_AS(restored.restore(std::vector<std::uint64_t>(rule->state.size() + 1)),
                      DataError);
    CHECK(restored.state == controller.state);
    CHECK_THROWS_AS(Controller(*rule, {{"no such name", 1}}), ConfigError);
    if (!rule->words.empty()) {
      const auto ignored =
          std::ranges::find(controller.state, "ignored", &NamedNumbers::value_type::first);
      if (!searches) CHECK(ignored->second == 1);  // the NaN
    }
    Controller skipping(*rule, {}, {}, values), idle = skipping;
    skipping.observe({.event = Event::skipped, .numbers = {{"loss", 1}}});
    CHECK(skipping.state == idle.state);
    CHECK(skipping.value() == first);
  }
}

TEST_CASE("a plateau counts patience, cooldown and threshold as its page says") {
  struct Row {
    double seen, multiplier;
  };
  struct Case {
    const char* expression;
    std::vector<Row> trace;
  };
  const Case cases[] = {
      {"plateau(.1, 1, 0, 0)",
       {{3, 1}, {3, 1}, {3, .1}, {2, .1}, {2, .1}, {1, .1}, {1, .1}, {2, .01}}},
      // The first two after a cut do not count, so that the next one comes after four.
      {"plateau(.5, 1, 2, 0)", {{1, 1}, {1, 1}, {1, .5}, {1, .5}, {1, .5}, {1, .5}, {1, .25}}},
      {"plateau(.5, 0, 0, .1)", {{10, 1}, {9.5, .5}, {8.9, .5}, {8.5, .25}}},
      {"plateau(.5, 0, 0, 0, max)", {{1, 1}, {2, 1}, {2, .5}, {kNan, .5}, {3, .5}}},
      {"plateau(.5, 0, mode=max, threshold=.1)", {{10, 1}, {10.5, .5}, {11.5, .5}}}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    Controller controller = controller_of(c.expression);
    for (const Row& row : c.trace) {
      controller.observe(evaluated(row.seen));
      CHECK(controller.value() == doctest::Approx(row.multiplier).epsilon(1e-15));
    }
  }
  Controller accuracy = controller_of("plateau(.5, 0, mode=max, metric=train_accuracy)");
  accuracy.observe(update(1, 0.5));
  accuracy.observe(evaluated(1, 0.1));
  CHECK(accuracy.value() == 1);
  accuracy.observe(update(1, 0.5));
  CHECK(accuracy.value() == 0.5);
}

TEST_CASE("VolSched follows the published recursion, its cosine taken out") {
  // lr <- lr M C, C = (1 + cos(pi k / T)) / (1 + cos(pi (k - N) / T)), M from log-ratios of the
  // accuracy: as the authors' code has it.
  constexpr int kN = 10, kT = 400;
  const double weight = 0.1, pi = std::acos(-1.0);
  const Bound bound =
      Schedule::parse("volsched(10, .1, 4, limit=1e6) * sample(every 10up) cos").bind(kT);
  std::vector<Controller> controllers = bound.controllers();
  std::vector<double> history;
  double rate = 1;
  const auto deviation = [](const std::vector<double>& r) {
    double mean = 0, squares = 0;
    for (const double x : r) mean += x / static_cast<double>(r.size());
    for (const double x : r) squares += (x - mean) * (x - mean);
    return std::sqrt(squares / static_cast<double>(r.size() - 1));
  };
  bool up = false, down = false;
  for (int k = 1; k < kT; ++k) {
    const double accuracy =
        0.5 + 0.04 * (k / 50 % 2 == 0 ? 1 : 5) * Key(5).normal(static_cast<std::uint64_t>(k)) / 5;
    controllers[0].observe(update(1, accuracy));
    history.push_back(accuracy);
    if (history.size() > 4 * kN) history.erase(history.begin());
    if (k % kN == 0) {
      double m = 1;
      if (history.size() > kN) {
        std::vector<double> all;
        for (std::size_t i = 0; i + 1 < history.size(); ++i)
          all.push_back(std::log(history[i + 1] / history[i]));
        const double r = deviation(all) / deviation({all.end() - kN, all.end()});
        m = 1 + (r > 1 ? 1 : -1) * std::log(1 + weight * std::abs(r - 1));
      }
      up = up || m > 1;
      down = down || m < 1;
      rate *= m * (1 + std::cos(pi * k / kT)) / (1 + std::cos(pi * (k - kN) / kT));
    }
    CHECK(bound(k, readings_of(controllers)) == doctest::Approx(rate).epsilon(1e-12));
  }
  CHECK(up);
  CHECK(down);
  Controller still = controller_of("volsched(2, .1)");
  for (int k = 0; k < 20; ++k) still.observe(update(1, 0.5));  // no deviation at all
  CHECK(still.value() == 1);
}

TEST_CASE("an adaptive epsilon speeds up while the loss falls, and slows down at a jump") {
  Controller epsilon = controller_of("adapteps(.01, cap=.004, least=.001, low=.1)");
  struct Row {
    double loss, step;
  };
  double sum = 0;
  for (const Row& row : {Row{3, .0015},
                         {2, .00225},
                         {2.5, .00225},
                         {kNan, 0},
                         {4, .001125},
                         {.05, .0016875},
                         {.09, .00253125}}) {
    epsilon.observe(update(row.loss));
    sum += row.step;
    CHECK(epsilon.value() == doctest::Approx(std::min(sum, .01)).epsilon(1e-12));
  }
}

TEST_CASE("a recorder keeps what it is told, and a phase is what somebody decides") {
  const Bound bound = Schedule::parse("table(1) * refine(record(gnorm1))").bind(10);
  std::vector<Controller> controllers = bound.controllers();
  for (const double norm : {1.0, kNan, 2.0}) controllers[0].observe(update(1, 0.5, norm));
  controllers[0].observe(evaluated(1));
  CHECK(controllers[0].series == std::vector<double>{3, 6});
  CHECK(bound(0, readings_of(controllers)) == 1);

  Controller phases = controller_of("phases(.6, .4, .2)");
  CHECK(phases.value() == .6);
  set_phase(phases, 2, 40);
  set_phase(phases, 1, 70);
  CHECK(phases.value() == .4);
  CHECK(phases.series == std::vector<double>{40, 2, 70, 1});
  CHECK_THROWS_AS(set_phase(phases, 3, 80), ConfigError);
}

TEST_CASE("AutoLRS takes the value of the lowest forecast, and leaves the run as it was") {
  // A loss that falls as exp(-rate x update), and rises from a rate of 1 on: the best is near 1.
  struct Toy {
    double clock = 0, loss = 1, saved_clock = 0, saved_loss = 0;
    int updates = 0, evaluations = 0;
  };
  Toy toy;
  const SearchHost host{.snapshot =
                            [&] {
                              toy.saved_clock = toy.clock;
                              toy.saved_loss = toy.loss;
                            },
                        .restore =
                            [&] {
                              toy.clock = toy.saved_clock;
                              toy.loss = toy.saved_loss;
                            },
                        .update =
                            [&](double rate) {
                              toy.clock += 1;
                              toy.updates += 1;
                              toy.loss *= rate < 1 ? std::exp(-rate / 40) : 1.1;
                              return rate > 5 ? kNan : toy.loss;
                            },
                        .evaluate =
                            [&] {
                              toy.evaluations += 1;
                              return toy.loss;
                            }};
  Controller it = controller_of("autolrs(.01, 10, stage=200, probe=40, probes=8, longest=400)");
  CHECK(it.value() == .01);
  std::vector<double> rates;
  std::int64_t updates = 0;
  for (int stage = 0; stage < 3; ++stage) {
    REQUIRE(search_due(it, updates));
    Controller again = it;
    search(it, updates, Key(1), host);
    CHECK(toy.clock == 0);
    CHECK(toy.loss == 1);
    search(again, updates, Key(1), host);  // the same, as after a kill in its middle
    CHECK(again.save() == it.save());
    rates.push_back(it.value());
    CHECK(!search_due(it, updates + 1));
    updates = static_cast<std::int64_t>(number_of(it.state, "until"));
  }
  CHECK(updates == 200 + 400 + 400);
  for (const double rate : rates) CHECK((rate > 0.1 && rate < 1));
  CHECK(toy.evaluations > 0);  // the third stage
  CHECK(it.series.size() == 9);
  // Forecasts: of an exact exponential, and one spike early on.
  std::vector<double> losses;
  for (int x = 0; x < 100; ++x) losses.push_back(0.5 + 2 * std::exp(-0.01 * x));
  const double clean = forecast_loss(losses, 1000, 10);
  CHECK(clean == doctest::Approx(0.5).epsilon(0.5));
  losses[20] = 50;
  CHECK(forecast_loss(losses, 1000, 10) == doctest::Approx(clean).epsilon(0.05));
}

TEST_CASE("a schedule's controllers are numbered by its text, whichever part is bound") {
  const Schedule schedule = Schedule::parse(
      "group{stem: plateau(.5, 0), *: plateau(.1, 0, metric=val_accuracy) * ref(eps)}");
  const Schedule::References references{{{"eps", Schedule::parse("phases(2, 3) + adapteps(1)")}}};
  const Bound stem = schedule.bind({.updates = 10}, references, "stem"),
              other = schedule.bind({.updates = 10}, references, "*");
  for (const Bound* bound : {&stem, &other}) {
    REQUIRE(bound->controllers().size() == 4);
    CHECK(bound->controllers()[2].rule->name == "phases");
  }
  const std::vector<double> readings{0.5, 0.25, 3, 7};
  CHECK(stem(3, readings) == 0.5);
  CHECK(other(3, readings) == 0.25 * 10);
  CHECK(other(3) == 2);  // as they begin
  CHECK_THROWS_AS((void)other(3, std::vector<double>{1}), ConfigError);
}

TEST_CASE("a thousand compositions of controllers and curves survive print, save and load") {
  int closed = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CAPTURE(i);
    RandomSchedule random(Key(11).fold(i), true);
    const Schedule schedule = random.number_valued(3);
    REQUIRE(Schedule::parse(schedule.text()) == schedule);
    const Totals totals{
        .updates = 300, .updates_per_epoch = 10, .samples_per_update = 4, .tokens_per_update = 64};
    const Schedule::References references{{{"other", Schedule::parse("plateau(.5, 1) * cos")}}};
    std::optional<Bound> bound;
    try {
      bound = schedule.bind(totals, references, "stem");
    } catch (const ConfigError&) {
      continue;  // parts that leave updates unfilled, and the like
    }
    ScheduleState state{.clock = 0, .controllers = bound->controllers()};
    closed += state.controllers.empty() ? 0 : 1;
    ScheduleState resumed = state;
    for (std::int64_t t = 0; t < 60; ++t) {
      const double draw = Key(12).fold(i).uniform(static_cast<std::uint64_t>(t));
      const Observation seen = t % 5 == 4 ? evaluated(draw, 1 - draw) : update(draw, draw, draw);
      for (Controller& each : state.controllers) each.observe(seen);
      for (Controller& each : resumed.controllers) each.observe(seen);
      state.clock = resumed.clock = t + 1;
      if (t == 33)  // in the middle of every window
        resumed = load_state(save_state(schedule, resumed), Schedule::parse(schedule.text()),
                             bound->controllers(), LoadPolicy::same);
    }
    CHECK(resumed.clock == 60);
    const Value a = bound->value(60, readings_of(state.controllers)),
                b = bound->value(60, readings_of(resumed.controllers));
    CHECK(std::bit_cast<std::uint64_t>(a.number) == std::bit_cast<std::uint64_t>(b.number));
    CHECK(save_state(schedule, state) == save_state(schedule, resumed));
  }
  CHECK(closed > 500);
}

TEST_CASE("a state is of its expression, or is bound anew where that keeps its meaning") {
  const Schedule schedule = Schedule::parse("plateau(.5, 1) * volsched(4, .1) * cos");
  const Bound bound = schedule.bind(100);
  ScheduleState state{.clock = 7, .controllers = bound.controllers()};
  for (int t = 0; t < 7; ++t) {
    for (Controller& each : state.controllers) each.observe(update(1, 0.1 * (t + 1)));
    for (Controller& each : state.controllers) each.observe(evaluated(2));
  }
  const std::string text = save_state(schedule, state);
  const auto load = [&](const std::string& saved, const char* expression, LoadPolicy policy) {
    const Schedule now = Schedule::parse(expression);
    return load_state(saved, now, now.bind(100).controllers(), policy);
  };
  const char* same = "plateau(.5, 1) * volsched(4, .1) * cos";
  CHECK(load(text, same, LoadPolicy::same).controllers[1].series == state.controllers[1].series);
  const char* longer = "plateau(.25, 1) * volsched(4, .2) * lin";
  CHECK_THROWS_WITH_AS((void)load(text, longer, LoadPolicy::same), doctest::Contains("saved under"),
                       DataError);
  const ScheduleState rebound = load(text, longer, LoadPolicy::rebind);
  CHECK(rebound.clock == 7);
  CHECK(rebound.controllers[0].state == state.controllers[0].state);
  CHECK(number_of(rebound.controllers[0].hyperparameters, "factor") == 0.25);
  for (const char* other : {"plateau(.5, 1) * cos", "volsched(4, .1) * plateau(.5, 1) * cos",
                            "plateau(.5, 1, metric=train_loss) * volsched(4, .1)",
                            "plateau(.5, 1, mode=max) * volsched(4, .1)"})
    CHECK_THROWS_WITH_AS((void)load(text, other, LoadPolicy::rebind), doctest::Contains("rebind"),
                         DataError);
  for (std::size_t size = 0; size < text.size(); ++size)
    CHECK_THROWS_AS((void)load(text.substr(0, size), same, LoadPolicy::rebind), DataError);
  CHECK_THROWS_AS((void)load(text + "x=1\n", same, LoadPolicy::same), DataError);
  std::string changed = text;
  changed[changed.find("cos")] = 'x';
  CHECK_THROWS_WITH_AS((void)load(changed, same, LoadPolicy::rebind), doctest::Contains("changed"),
                       DataError);
}

TEST_CASE("a plateau's words are what earlier versions wrote, and those of 0.1 lack the count") {
  Controller plateau = make_controller("plateau", {{"factor", 0.5}});
  for (const double loss : {3.0, std::numeric_limits<double>::quiet_NaN(), 4.0})
    plateau.observe(evaluated(loss));
  const std::vector<std::uint64_t> words{std::bit_cast<std::uint64_t>(3.0),
                                         std::bit_cast<std::uint64_t>(0.5), 1, 0, 0};
  CHECK(plateau.save() == words);
  plateau.restore(std::vector{words[0], words[1]});
  CHECK(
      plateau.state ==
      NamedNumbers{{"best", 3.0}, {"multiplier", 0.5}, {"ignored", 0}, {"bad", 0}, {"cooling", 0}});
  plateau.observe({.event = Observation::Event::update, .numbers = {{"loss", 9.0}}});
  CHECK(plateau.value() == 0.5);  // updates are nothing to it
}

TEST_CASE("a controller refuses a factor out of range, and there is none of another name") {
  CHECK_THROWS_WITH_AS(make_controller("plato"),
                       doctest::Contains("unknown controller 'plato'; known: plateau"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(make_controller("plateau", {{"factor", 1.0}}),
                       "[plateau] factor: expected a factor above 0 and below 1, got 1",
                       ConfigError);
}
