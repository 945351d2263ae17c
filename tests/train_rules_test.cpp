#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "tests/tiny_options.h"
#include "train/options/options.h"
#include "train/options/rules.h"

using namespace ebb;
using namespace ebb::train;
using test::options_of;

namespace {}  // namespace

TEST_CASE("every optimizer of the table can be chosen, with its hyperparameters that are options") {
  for (const std::string& name : optimizer_names()) {
    CAPTURE(name);
    const Optimizer optimizer =
        optimizer_of(options_of({"--optimizer", name, "--weight-decay", "0.25"}));
    CHECK(optimizer.rule->name == name);
    CHECK(number_of(optimizer.hyperparameters, "weight_decay") == 0.25);
  }
  const Optimizer sgd = optimizer_of(options_of({"--momentum", "0.5"}));
  CHECK(sgd.hyperparameters == NamedNumbers{{"momentum", 0.5}, {"weight_decay", 1e-4}});
}

TEST_CASE("every controller of the table has its option, and is there only if that is given") {
  CHECK(controllers_of(options_of({})).empty());
  for (const ControllerRule* const rule : controller_rules()) {
    if (rule->option.empty()) continue;  // for schedules only
    CAPTURE(std::string(rule->name));
    const std::string default_text = to_text(rule->hyperparameters[0].default_value);
    const std::vector<Controller> made =
        controllers_of(options_of({concat("--", rule->option), default_text}));
    REQUIRE(made.size() == 1);
    CHECK(made[0].rule == rule);
    CHECK(made[0].hyperparameters == Controller(*rule).hyperparameters);
  }
  CHECK(number_of(controllers_of(options_of({"--lr-plateau", "0.5"}))[0].hyperparameters,
                  "factor") == 0.5);
  CHECK_THROWS_WITH_AS(options_of({"--lr-plateau", "1"}),
                       doctest::Contains("--lr-plateau: expected a factor above 0 and below 1"),
                       ConfigError);
}
