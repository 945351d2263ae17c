#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "quant/known_sites.h"

using namespace ebb;

TEST_CASE("every name in a plan must mean a site that was charged") {
  const Format k8 = Format::integer(8);
  CostLedger ledger;
  ledger.charge({"hidden", {"first"}}, Product::forward, 1, k8, k8);
  ledger.charge("block1.output", Product::forward, 1, k8, k8);
  for (const char* known : {"hidden", "first", "block1", "block1.output"}) {
    CAPTURE(known);
    CHECK_NOTHROW(require_known_sites(PrecisionPlan::uniform(k8, k8).keep_fp32({known}), ledger));
  }
  const PrecisionPlan misspelt = PrecisionPlan::uniform(k8, k8).keep_fp32({"hidden", "hiden"});
  CHECK_THROWS_WITH_AS(
      require_known_sites(misspelt, ledger),
      "[plan] unknown site 'hiden'; did you mean 'hidden'? Known: hidden, block1.output, first",
      ConfigError);
  CHECK_NOTHROW(require_known_sites(misspelt, ledger, std::vector<std::string>{"hiden"}));
  PrecisionPlan own = PrecisionPlan::uniform(k8, k8);
  own.rules.push_back({.pattern = "hidden", .numerics = {}, .exact = true});
  CHECK_NOTHROW(require_known_sites(own, ledger));
  own.rules.push_back(
      {.pattern = "block1", .numerics = {}, .exact = true});  // a full name, not a pattern
  CHECK_THROWS_AS(require_known_sites(own, ledger), ConfigError);
  PrecisionPlan shared = misspelt;
  shared.shared = true;  // spares it in sweeps, not here
  CHECK_THROWS_AS(require_known_sites(shared, ledger), ConfigError);
  CHECK_NOTHROW(require_known_sites(PrecisionPlan::fp32(), CostLedger{}));
}
