#include <doctest/doctest.h>

#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "schedules/controller.h"

using namespace ebb;

TEST_CASE("every controller is made from its row, and its state comes back from its words") {
  for (const ControllerRule* const rule : controller_rules()) {
    CAPTURE(std::string(rule->name));
    REQUIRE(!rule->hyperparameters.empty());
    Controller controller(*rule), restored(*rule);
    CHECK(controller.hyperparameters.size() == rule->hyperparameters.size());
    CHECK(controller.value() == 1.0);  // the rate as scheduled, before anything was seen
    for (const double loss : {2.0, 3.0, 1.0, 1.5}) {
      for (const auto event : {Observation::Event::update, Observation::Event::evaluation})
        controller.observe({.event = event, .numbers = {{"loss", loss}, {"learning_rate", 0.1}}});
    }
    CHECK(controller.state != restored.state);
    restored.restore(controller.save());
    CHECK(restored.state == controller.state);
    CHECK(restored.value() == controller.value());
    CHECK_THROWS_AS(restored.restore({}), DataError);
    CHECK_THROWS_AS(restored.restore(std::vector<std::uint64_t>(rule->state.size() + 1)),
                    DataError);
    CHECK(restored.state == controller.state);
    CHECK_THROWS_AS(Controller(*rule, {{"no such name", 1}}), ConfigError);
  }
}

TEST_CASE("a plateau's words are what earlier versions wrote, and those of 0.1 lack the count") {
  Controller plateau = make_controller("plateau", {{"factor", 0.5}});
  const auto evaluated = [](double loss) {
    return Observation{.event = Observation::Event::evaluation, .numbers = {{"loss", loss}}};
  };
  for (const double loss : {3.0, std::numeric_limits<double>::quiet_NaN(), 4.0})
    plateau.observe(evaluated(loss));
  const std::vector<std::uint64_t> words{std::bit_cast<std::uint64_t>(3.0),
                                         std::bit_cast<std::uint64_t>(0.5), 1};
  CHECK(plateau.save() == words);
  plateau.restore(std::vector{words[0], words[1]});
  CHECK(plateau.state == NamedNumbers{{"lowest", 3.0}, {"multiplier", 0.5}, {"ignored", 0}});
  plateau.observe({.event = Observation::Event::update, .numbers = {{"loss", 9.0}}});
  CHECK(plateau.value() == 0.5);  // updates are nothing to it
}

TEST_CASE("a controller refuses a factor out of range, and there is none of another name") {
  CHECK_THROWS_WITH_AS(make_controller("plato"),
                       "[controller] unknown controller 'plato'; known: plateau", ConfigError);
  CHECK_THROWS_WITH_AS(make_controller("plateau", {{"factor", 1.0}}),
                       "[plateau] factor: expected a factor above 0 and below 1, got 1",
                       ConfigError);
}
