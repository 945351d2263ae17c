#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "schedules/cpt.h"
#include "tests/errors.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::train;
using test::config_error_of;

namespace {

Options options_with(const std::string& schedule) {
  Options options;
  options.set("schedule", schedule);
  options.set("lr", "0.5");
  options.set("lr-schedule", "1");
  return options;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("what looks like bits but is no expression is refused with what to write instead") {
  struct Case {
    const char *option, *text, *expected;
  };
  const Case cases[] = {
      {"bits", "8/4", "--bits: a width is one number, got '8/4'; for weights and activations of 8"},
      {"bits", "8 / 8", "--bits: a width is one number"},
      {"gradient-bits", "8/8", "--gradient-bits: a width is one number"},
      {"bits", "CR", "--bits: 'CR' is a name of --schedule, not an expression"},
      {"bits", "fp32", ""},
      {"bits", "round(16/3)", ""}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    Options options = options_with("static");
    options.set(c.option, c.text);
    const std::string error =
        config_error_of([&] { static_cast<void>(resolve_precision(options, {.updates = 10})); });
    CHECK(contains(error, c.expected));
    CHECK(error.empty() == std::string_view(c.expected).empty());
  }
}

TEST_CASE("every named schedule becomes plans of the widths it prescribes") {
  for (const std::string& name : precision_schedule_names()) {
    CAPTURE(name);
    const Precision precision = resolve_precision(options_with(name), {.updates = 400});
    const Bound bits = precision_schedule(name).bind(400);
    const bool fp32 = name == "fp32";
    for (std::int64_t t = 0; t < 400; ++t) {
      const SiteFormats formats = precision.plan(t).base.formats();
      CHECK(formats.weight == bits.value(t).format());
      CHECK(formats.activation == formats.weight);
      CHECK(formats.gradient == (fp32 ? Format::fp32() : Format::integer(8)));
    }
    // RR's cycles of 50 updates are too short to reach 8 bits.
    CHECK(precision.evaluation->base.activation.format ==
          (fp32 ? Format::fp32() : Format::integer(name == "RR" ? 7 : 8)));
    CHECK(cost_reference_text(precision.costs.reference) == "8/8/8");
  }
}

TEST_CASE("expressions may mix widths and float32, whose gradients stay float32") {
  Options options = options_with("CR");
  options.set("bits", "fp32 @10% ; round(3->8 : lin) @rest");
  options.set("lr-schedule", "1->0 : lin");
  options.set("eval-bits", "fp32");
  options.set("gradient-bits", "6");
  options.set("grid", "symmetric");
  options.set("accumulator", "sat20");
  options.set("keep-fp32", "first,last");
  const Precision precision = resolve_precision(options, {.updates = 100});
  CHECK(precision.plan(9).base.formats() == SiteFormats::fp32());
  CHECK(precision.plan(10).base.formats() ==
        SiteFormats{Format::integer(3), Format::integer(3), Format::integer(6)});
  CHECK(precision.plan(99).base.weight.format == Format::integer(8));
  CHECK(precision.plan(99).base.weight.grid == GridStyle::symmetric);
  CHECK(precision.plan(99).encoding("conv2", Role::gradient).grid == GridStyle::symmetric);
  options.set("gradient-grid", "affine");
  CHECK(resolve_precision(options, {.updates = 100})
            .plan(99)
            .encoding("conv2", Role::gradient)
            .grid == GridStyle::affine);
  CHECK(precision.plan(99).base.forward == Accumulator::saturate(20));
  CHECK(precision.plan(99).at({"conv1", {"first"}}).formats() == SiteFormats::fp32());
  CHECK(precision.plan(99).at("conv2").formats() != SiteFormats::fp32());
  CHECK(precision.evaluation->base.activation.format == Format::fp32());
  CHECK(precision.rate(0) == 0.5);
  CHECK(precision.rate(50) == 0.25);
}

TEST_CASE("expressions that are wrong, or no widths, are refused before anything is trained") {
  struct Case {
    const char* bits;
    const char* rate;
    const char* expected;
  };
  const Case cases[] = {
      {"round(3->8 : cycle(8 cos)", "1", "^"},
      {"3->8 : lin", "1", "may yield fractions, which are no widths; wrap it in round(...)"},
      {"round(3->20 : lin)", "1", "at iteration"},
      {"0", "1", "at iteration 0"},
      {"fp33", "1", "fp33"},
      {"4", "1->0 : coz", "cos"},
      {"4 @20% ; 8 @30%", "1", "fill 50 of 100 updates"},
      {"4", "sqrt(affine(update, -1, 5))",
       "--lr-schedule at iteration 6: expected a finite factor of 0 and more"},
      {"4", "affine(lin, 1, -.5)",
       "--lr-schedule at iteration 51: expected a finite factor of 0 and more"},
      {"4", "fp32", "--lr-schedule at iteration 0"},
      {"4", "1 @3ep ; 0 @rest", "ep"}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    Options options = options_with("CR");
    options.set("bits", c.bits);
    options.set("lr-schedule", c.rate);
    const std::string message =
        config_error_of([&] { resolve_precision(options, {.updates = 100}); });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
  }
  Options options = options_with("CX");
  CHECK(contains(config_error_of([&] { check_expressions(options); }), "CR"));
}

namespace {

const std::vector<Site> kSites{
    {"conv1", {"first"}}, "block1.conv1", "block1.conv2", {"fc", {"last"}}};

ParamStore parameters() {
  ParamStore params;
  for (const char* name : {"conv1.weight", "conv1.bias", "fc.weight", "fc.bias"})
    params.add(name, Tensor::zeros({1}));
  params.add("fc.input_range", Tensor::zeros({3}), ParamStore::Kind::state);
  return params;
}

Options options_with_bits(const std::string& bits, const std::string& gradient_bits = "8") {
  Options options = options_with("CR");
  options.set("bits", bits);
  options.set("gradient-bits", gradient_bits);
  return options;
}

// "w/a/g" of a site.
std::string widths(const PrecisionPlan& plan, const Site& site) {
  const SiteFormats f = plan.at(site).formats();
  return concat(cost_bits(f.weight), '/', cost_bits(f.activation), '/', cost_bits(f.gradient));
}

}  // namespace

TEST_CASE("groups of bits are bound to layers, tags and roles, at every iteration") {
  struct Case {
    const char *bits, *gradient_bits;
    std::vector<const char*> first,
        last;  // of conv1, block1.conv1, block1.conv2 and fc, at the first and the last iteration
  };
  const Case cases[] = {{"group{conv1: 8, *: 4}",
                         "8",
                         {"8/8/8", "4/4/8", "4/4/8", "4/4/8"},
                         {"8/8/8", "4/4/8", "4/4/8", "4/4/8"}},
                        {"group{block1: 2, block1.conv2: 6, last: fp32, *: 4}",
                         "5",
                         {"4/4/5", "2/2/5", "6/6/5", "32/32/32"},
                         {"4/4/5", "2/2/5", "6/6/5", "32/32/32"}},
                        {"group{weight: 2, activation: 4, *: 8}",
                         "7",
                         {"2/4/7", "2/4/7", "2/4/7", "2/4/7"},
                         {"2/4/7", "2/4/7", "2/4/7", "2/4/7"}},
                        {"group{weight: 2, activation: 4, gradient: 6, *: 8}",
                         "8",
                         {"2/4/6", "2/4/6", "2/4/6", "2/4/6"},
                         {"2/4/6", "2/4/6", "2/4/6", "2/4/6"}},
                        {"group{block1: group{weight: 2, *: 3}, fc.activation: 5, *: 4}",
                         "8",
                         {"4/4/8", "2/3/8", "2/3/8", "4/5/8"},
                         {"4/4/8", "2/3/8", "2/3/8", "4/5/8"}},
                        {"3 @50% ; group{first: 8, *: round(4->7 : neg lin)} @rest",
                         "group{fc: 9, *: 6 @50% ; 7 @rest}",
                         {"3/3/6", "3/3/6", "3/3/6", "3/3/9"},
                         {"8/8/7", "4/4/7", "4/4/7", "4/4/9"}},
                        {"group{fc.gradient: 4, *: fp32}",
                         "8",
                         {"32/32/32", "32/32/32", "32/32/32", "32/32/4"},
                         {"32/32/32", "32/32/32", "32/32/32", "32/32/4"}},
                        {"fp32",
                         "8",
                         {"32/32/32", "32/32/32", "32/32/32", "32/32/32"},
                         {"32/32/32", "32/32/32", "32/32/32", "32/32/32"}}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    const Precision precision =
        resolve_precision(options_with_bits(c.bits, c.gradient_bits), {.updates = 100}, kSites);
    for (std::size_t i = 0; i < kSites.size(); ++i) {
      CAPTURE(kSites[i].name);
      CHECK(widths(precision.plan(0), kSites[i]) == c.first[i]);
      CHECK(widths(precision.plan(99), kSites[i]) == c.last[i]);
    }
  }
  Options options = options_with_bits("group{conv1: 8, *: 4}");
  options.set("keep-fp32", "conv1");
  CHECK(widths(resolve_precision(options, {.updates = 100}, kSites).plan(0), kSites[0]) ==
        "32/32/32");
}

TEST_CASE("where every layer, or every parameter, is named nothing else need be said") {
  Options options = options_with_bits("group{conv1: 8, block1: 3, fc: 4}");
  options.set("lr-schedule", "group{conv1: 0.5, fc: 1}");
  const ParamStore params = parameters();
  const Precision precision = resolve_precision(options, {.updates = 100}, kSites, params);
  const char* const expected[] = {"8/8/8", "3/3/8", "3/3/8", "4/4/8"};
  for (std::size_t i = 0; i < kSites.size(); ++i)
    CHECK(widths(precision.plan(0), kSites[i]) == expected[i]);
  REQUIRE(precision.rates);
  CHECK(precision.rates(0)[2] == 2 * precision.rates(0)[0]);
  CHECK(precision.rate(0) == precision.rates(0)[0]);  // the first one is on record
}

TEST_CASE(
    "groups that are for nothing in the model, or for nothing that others leave, are refused") {
  struct Case {
    const char *bits, *gradient_bits, *rate, *expected;
  };
  const Case cases[] = {
      {"group{conv9: 8, *: 4}", "8", "1",
       "--bits: unknown name in group{...} 'conv9'; did you mean 'conv1'?"},
      {"group{wieght: 8, *: 4}", "8", "1",
       "--bits: unknown name in group{...} 'wieght'; did you mean 'weight'?"},
      {"group{conv1: group{block1: 2, *: 3}, *: 4}", "8", "1",
       "--bits: the part 'block1' of group{...} has no effect: the last part that matches"},
      {"group{block1.conv1: 2, block1: 3, *: 4}", "8", "1",
       "--bits: the part 'block1.conv1' of group{...} has no effect: the last part that matches"},
      {"group{blok1: 8, *: 4}", "8", "1",
       "--bits: unknown name in group{...} 'blok1'; did you mean 'block1'?"},
      {"group{conv1: 8}", "8", "1", "--bits: [schedule] the group has no part"},
      {"8", "group{fc: 8", "1", "--gradient-bits: [schedule]"},
      {"8", "8", "1->0 : coz", "--lr-schedule: [schedule]"},
      {"8 : lin : 7", "8", "1", "--bits: [schedule]"},
      {"8 @20%; 4 @20%", "8", "1", "--bits: [schedule] the parts of a join fill 40 of 100 updates"},
      {"group{conv1: 8}", "8", "1", "add '*: ...' for all others"},
      {"8", "group{weight: 8, *: 4}", "1", "--gradient-bits: unknown name in group{...} 'weight'"},
      {"8", "group{fcc: 8, *: 4}", "1",
       "--gradient-bits: unknown name in group{...} 'fcc'; did you mean 'fc'?"},
      {"8", "3->8 : lin", "1", "--gradient-bits: '3->8 : lin' may yield fractions"},
      {"8", "fp33", "1", "--gradient-bits: [schedule]"},
      {"group{fc: 4 @50% ; 17 @rest, *: 4}", "8", "1", "--bits at iteration 50"},
      {"4", "8", "group{baias: 0, *: 1}",
       "--lr-schedule: unknown name in group{...} 'baias'; did you mean 'bias'?"},
      {"4", "8", "group{conv9: 0, *: 1}",
       "--lr-schedule: unknown name in group{...} 'conv9'; did you mean 'conv1'?"},
      {"4", "8", "group{conv1.bias: 0, conv1: 0.5, *: 1}",
       "--lr-schedule: the part 'conv1.bias' of group{...} has no effect: the last part that "
       "matches"},
      {"4", "8", "group{bias: affine(lin, 1, -.5), *: 1}", "--lr-schedule at iteration 51"},
      {"4", "8", "group{bias: 0}", "add '*: ...' for all others"}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    CAPTURE(c.rate);
    Options options = options_with_bits(c.bits, c.gradient_bits);
    options.set("lr-schedule", c.rate);
    const ParamStore params = parameters();
    const std::string message = config_error_of(
        [&] { static_cast<void>(resolve_precision(options, {.updates = 100}, kSites, params)); });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
  }
  // What every model may have or lack may be named in every model.
  CHECK_NOTHROW(
      resolve_precision(options_with_bits("group{shortcut: 8, *: 4}"), {.updates = 100}, kSites));
  // Without a model there is nothing that a part could be for.
  CHECK_THROWS_AS(resolve_precision(options_with_bits("group{conv1: 8, *: 4}"), {.updates = 100}),
                  ConfigError);
}

TEST_CASE("the schedules of a run of 10^12 updates are checked without reading each of them") {
  for (const char* rate : {"1", "1->0 : cos", "1->0 : lin", "0->1 : cos", "step(50%, 75%, 0.1)"}) {
    CAPTURE(rate);
    Options options = options_with("CR");
    options.set("lr-schedule", rate);
    CHECK(resolve_precision(options, {.updates = 1'000'000'000'000}).rate(0) >= 0);
  }
}

TEST_CASE("the rates of groups in a run of 10^12 updates are found without reading each of them") {
  Options options = options_with("CR");  // --lr 0.5
  options.set("lr-schedule", "group{bias: 1->0 : cos, fc: 0.25->1 : cos, *: 1->0 : pow(3)}");
  const ParamStore params = parameters();
  const Precision precision =
      resolve_precision(options, {.updates = 1'000'000'000'000}, kSites, params);
  REQUIRE(precision.rate_groups.size() == 3);
  CHECK(precision.rate_groups[0].parameters == std::vector<std::string>{"conv1.weight"});
  for (const RateGroup& group : precision.rate_groups) {
    CAPTURE(group.parameters[0]);
    CHECK(group.highest == doctest::Approx(0.5).epsilon(1e-9));
    CHECK(group.lowest ==
          doctest::Approx(group.parameters[0] == "fc.weight" ? 0.125 : 0).epsilon(1e-9));
  }
}

TEST_CASE("options of codes are refused where nothing ever has codes, however the options say so") {
  struct Case {
    const char* why;
    const char *bits, *keep_fp32, *eval_bits, *gradient_bits;
    bool evaluates;
    const char *without_effect, *sound;  // what is refused, and what is not
  };
  const char* const all = "grid accumulator simulate keep-fp32 gradient-bits gradient-grid";
  const Case cases[] = {
      {"float32 by name", "fp32", "", "", "8", false, all, ""},
      {"float32 as a join", "fp32 @rest", "", "", "8", false, all, ""},
      {"float32 as a group", "group{*: fp32}", "", "", "8", false, all, ""},
      {"float32 in parts", "group{conv1: fp32, *: fp32}", "", "", "8", false, all, ""},
      {"every layer is exempted", "4", "conv1,block1,last", "", "8", false,
       "grid accumulator simulate gradient-bits gradient-grid", "keep-fp32"},
      {"evaluations alone have codes", "fp32", "", "4", "8", false, "gradient-bits gradient-grid",
       "grid accumulator simulate keep-fp32"},
      {"codes for a while", "fp32 @90% ; 4 @rest", "", "", "8", false, "", all},
      {"codes in a layer", "group{conv1: 4, *: fp32}", "", "", "8", false, "", all},
      {"gradients alone", "group{gradient: 4, *: fp32}", "", "", "8", false, "gradient-bits",
       "grid accumulator simulate keep-fp32 gradient-grid"},
      {"no codes of gradients", "4", "", "", "fp32", false, "gradient-grid",
       "grid accumulator simulate keep-fp32 gradient-bits"},
      {"a run of codes is scored in float32", "4", "", "fp32", "8", true,
       "grid accumulator simulate keep-fp32", ""},
      {"and in codes", "4", "", "6", "8", true, "", "grid accumulator simulate keep-fp32"},
      {"and at the bits of the moment", "fp32 @10% ; 4 @rest", "", "current", "8", true, "",
       "grid accumulator simulate keep-fp32"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Options options = options_with_bits(c.bits, c.gradient_bits);
    options.set("keep-fp32", c.keep_fp32);
    options.set("eval-bits", c.eval_bits);
    if (c.evaluates) options.set("evaluate", "run");
    const Precision precision = resolve_precision(options, {.updates = 100}, kSites);
    for (const auto& [names, without_effect] :
         {std::pair(c.without_effect, true), {c.sound, false}}) {
      for (const std::string& name : split_at(names, ' ')) {
        CAPTURE(name);
        options.given = {name};
        const std::string message =
            config_error_of([&] { check_codes(options, precision, kSites); });
        CHECK(contains(message, "has no effect where") == without_effect);
      }
    }
  }
}

TEST_CASE("a run of which no layer has the common widths says what the papers' cost counts") {
  struct Case {
    const char *bits, *keep_fp32;
    bool doubtful;
  };
  const Case cases[] = {{"4", "", false},
                        {"4", "first,last", false},
                        {"4", "conv1,block1,fc", true},
                        {"group{conv1: 8, *: 4}", "", false},
                        {"group{weight: 2, activation: 4, *: 8}", "",
                         false},  // roles of all layers are the common widths
                        {"group{conv1: 8, block1: 4, *: 2}", "last", true},
                        {"group{conv1: 8, block1: 4, fc: 8, *: 2}", "", true},
                        {"group{conv1: 8, block1: 4, fc: 8}", "", true}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    CAPTURE(c.keep_fp32);
    Options options = options_with_bits(c.bits);
    options.set("keep-fp32", c.keep_fp32);
    const std::vector<std::string> warnings =
        resolve_precision(options, {.updates = 100}, kSites).warnings;
    CHECK(std::ranges::any_of(warnings, [](const std::string& warning) {
            return contains(warning, "the papers' cost counts");
          }) == c.doubtful);
  }
}

TEST_CASE("groups of rates are bound to parameters") {
  Options options = options_with("CR");  // --lr 0.5
  options.set("lr-schedule", "group{bias: 0, fc: group{bias: 0.5, *: 1->0 : lin}, *: 1}");
  const ParamStore params = parameters();
  const Precision precision = resolve_precision(options, {.updates = 100}, kSites, params);
  CHECK(precision.rate(50) == 0.5);
  REQUIRE(precision.rates);
  // conv1.weight, conv1.bias, fc.weight, fc.bias, and a layer state that no optimizer moves
  CHECK(precision.rates(50) == std::vector<double>{0.5, 0, 0.25, 0.25, 0.5});
  REQUIRE(precision.rate_groups.size() == 4);
  CHECK(precision.rate_groups[2].parameters == std::vector<std::string>{"fc.weight"});
  CHECK(precision.rate_groups[2].highest == 0.5);
  CHECK(precision.rate_groups[2].lowest == 0.5 * 0.01);
  options.set("lr-schedule", "1->0 : lin");
  CHECK_FALSE(resolve_precision(options, {.updates = 100}, kSites, params).rates);
}

TEST_CASE("evaluations run at the highest format of the run, or as told") {
  struct Case {
    const char *bits, *eval_bits, *conv1, *fc;
  };
  const Case cases[] = {{"2", "", "2/2/8", "2/2/8"},
                        {"fp32", "", "32/32/32", "32/32/32"},
                        {"round(3->6 : cycle(2) cos)", "", "6/6/8", "6/6/8"},
                        {"fp32 @10% ; 4 @rest", "", "32/32/32", "32/32/32"},
                        {"8 @10% ; 4 @rest", "", "8/8/8", "8/8/8"},
                        {"group{conv1: 8, weight: 2, *: 4}", "", "2/8/8", "2/4/8"},
                        {"group{conv1: 8, *: 4}", "6", "6/6/8", "6/6/8"},
                        {"2", "fp32", "32/32/32", "32/32/32"}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    Options options = options_with_bits(c.bits);
    options.set("eval-bits", c.eval_bits);
    const Precision precision = resolve_precision(options, {.updates = 100}, kSites);
    CHECK(widths(precision.evaluation.value(), kSites[0]) == c.conv1);
    CHECK(widths(precision.evaluation.value(), kSites[3]) == c.fc);
  }
  Options options = options_with_bits("round(3->8 : lin)");
  options.set("eval-bits", "current");
  CHECK_FALSE(resolve_precision(options, {.updates = 100}).evaluation.has_value());
}

TEST_CASE("a width without a grid of its style is refused wherever it stands") {
  struct Case {
    const char *bits, *gradient_bits, *grid, *gradient_grid;
  };
  const Case cases[] = {{"2 @50% ; 1 @rest", "8", "symmetric", ""},
                        {"group{fc: 1, *: 2}", "8", "symmetric", "affine"},
                        {"4", "group{fc: 1, *: 2}", "affine", "symmetric"}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    Options options = options_with_bits(c.bits, c.gradient_bits);
    options.set("grid", c.grid);
    options.set("gradient-grid", c.gradient_grid);
    CHECK(contains(config_error_of([&] {
                     static_cast<void>(resolve_precision(options, {.updates = 100}, kSites));
                   }),
                   "of 1 bit have no symmetric grid"));
    for (const char* grid : {"grid", "gradient-grid"}) options.set(grid, "affine");
    CHECK_NOTHROW(static_cast<void>(resolve_precision(options, {.updates = 100}, kSites)));
  }
}

TEST_CASE("layers kept in float32 must exist") {
  const std::vector<Site> sites{{"conv1", {"first"}}, "stage1.block1.conv2"};
  for (const char* known :
       {"", "first", "last", "shortcut", "conv1", "stage1", "stage1.block1", "conv1,last"}) {
    CAPTURE(known);
    Options options;
    options.set("keep-fp32", known);
    CHECK_NOTHROW(check_keep_fp32(options, sites));
  }
  Options options;
  options.set("keep-fp32", "first,conv9");
  CHECK(contains(config_error_of([&] { check_keep_fp32(options, sites); }),
                 "unknown layer 'conv9'; did you mean 'conv1'?"));
  options.set("keep-fp32", "stage1.blok1");
  CHECK(contains(config_error_of([&] { check_keep_fp32(options, sites); }),
                 "did you mean 'stage1.block1'?"));
}
