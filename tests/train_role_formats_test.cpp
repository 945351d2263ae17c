#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::train;

namespace {

using Texts = std::vector<std::pair<const char*, const char*>>;

/// A run of 10 updates of a network with two layers.
Precision precision_of(const Texts& given) {
  Options options;
  options.set("lr", "0.5");
  for (const auto& [name, text] : given) options.set(name, text);
  const std::vector<Site> sites{{"conv1", {"first"}}, {"fc", {"last"}}};
  return resolve_precision(options, {.updates = 10}, sites);
}

/// Names of the formats of weights, activations and gradients.
std::string formats_at(const PrecisionPlan& plan, const char* site) {
  const SiteFormats formats = plan.at(site).formats();
  return concat(formats.weight, ' ', formats.activation, ' ', formats.gradient);
}

}  // namespace

TEST_CASE("the option of a role goes over --bits, --schedule and --gradient-bits") {
  struct Case {
    Texts given;
    const char *first, *last;  // formats at the first and the last update
    const char *bits, *gradients;
  };
  const Case cases[] = {
      {{{"schedule", "static"}, {"weight-format", "e2m1"}},
       "e2m1 int8 int8",
       "e2m1 int8 int8",
       "group{weight: e2m1, activation: 8}",
       "8"},
      {{{"bits", "4"}, {"activation-format", "bf16"}, {"gradient-bits", "e5m2"}},
       "int4 bf16 e5m2",
       "int4 bf16 e5m2",
       "group{weight: 4, activation: bf16}",
       "e5m2"},
      {{{"weight-format", "e4m3"}, {"activation-format", "e4m3"}, {"gradient-format", "e5m2"}},
       "e4m3 e4m3 e5m2",
       "e4m3 e4m3 e5m2",
       "e4m3",
       "e5m2"},
      {{{"bits", "8"}, {"weight-format", "fp4 @90% ; bf16 @rest"}, {"gradient-format", "int6"}},
       "e2m1 int8 int6",
       "bf16 int8 int6",
       "group{weight: fp4 @90% ; bf16 @rest, activation: 8}",
       "int6"},
      // Gradients of a float32 forward product are float32, unless their own format says otherwise.
      {{{"bits", "fp32"}, {"gradient-bits", "8"}}, "fp32 fp32 fp32", "fp32 fp32 fp32", "fp32", "8"},
      {{{"bits", "fp32"}, {"gradient-format", "bf16"}},
       "fp32 fp32 bf16",
       "fp32 fp32 bf16",
       "fp32",
       "bf16"}};
  for (const Case& c : cases) {
    const Precision precision = precision_of(c.given);
    CAPTURE(c.first);
    CHECK(formats_at(precision.plan(0), "fc") == c.first);
    CHECK(formats_at(precision.plan(9), "fc") == c.last);
    CHECK(precision.bits_text == c.bits);
    CHECK(precision.gradient_text == c.gradients);
  }
  const Precision apart =
      precision_of({{"bits", "8"}, {"weight-format", "group{first: bf16, *: e2m1}"}});
  CHECK(formats_at(apart.plan(0), "conv1") == "bf16 int8 int8");
  CHECK(formats_at(apart.plan(0), "fc") == "e2m1 int8 int8");
}

TEST_CASE("an accumulator that is none for the formats of a product is refused by the option") {
  struct Case {
    Texts given;
    std::string_view expected;  // nothing: taken
  };
  const Case cases[] = {
      {{{"bits", "e4m3"}, {"gradient-bits", "e5m2"}, {"accumulator", "hopper"}}, ""},
      {{{"bits", "8"}, {"accumulator", "wrap16"}}, ""},
      {{{"bits", "8"}, {"accumulator", "hopper"}},
       "--accumulator: [accumulator] tc(13,32,128) sums no products of int8 and int8: integer "
       "codes "
       "are summed in exact, wrapN or satN"},
      {{{"bits", "e4m3 @5up ; bf16 @rest"}, {"gradient-bits", "bf16"}, {"accumulator", "sat16"}},
       "sat16 sums no products of"},
      {{{"bits", "e4m3"}, {"gradient-bits", "8"}, {"accumulator", "exact"}},
       "an integer beside a float is decoded"},
      {{{"bits", "fp32"}, {"accumulator", "hopper"}}, ""}};
  for (const Case& c : cases) {
    std::string error;
    try {
      static_cast<void>(precision_of(c.given));
    } catch (const ConfigError& refused) {
      error = refused.what();
    }
    CAPTURE(error);
    CHECK(error.empty() == c.expected.empty());
    CHECK(error.find(c.expected) != std::string::npos);
  }
}
