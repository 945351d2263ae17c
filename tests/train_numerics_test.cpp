#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "scratch.h"
#include "tests/errors.h"
#include "train/files.h"
#include "train/options/numerics.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::train;
using test::config_error_of;

namespace {

using Texts = std::vector<std::pair<const char*, std::string>>;

/// A run of 10 updates of a network with three layers.
Precision precision_of(const std::string& rules, const Texts& given = {}) {
  Options options;
  options.set("lr", "0.5");
  options.set("bits", "8");
  for (const auto& [name, text] : given) options.set(name, text);
  options.set("numerics", rules);
  const std::vector<Site> sites{{"conv1", {"first"}}, {"block.conv2"}, {"fc", {"last"}}};
  return resolve_precision(options, {.updates = 10}, sites);
}

/// "activation x weight, gradient x weight, activation x gradient" with the formats there.
std::string formats_at(const PrecisionPlan& plan, const char* site) {
  std::string text;
  for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
    const SiteFormats::Pair pair = plan.at(site).formats(product);
    text += concat(text.empty() ? "" : ", ", pair.left, ' ', pair.right);
  }
  return text;
}

}  // namespace

TEST_CASE("rules are read from TOML, and their one line reads back as the same rules") {
  const std::vector<NumericsRule> rules = parse_numerics(R"(# a comment
[[rule]]
pattern = "conv*"
format = "e4m3 @90% ; bf16 @rest"
rounding = "sr8"

[[rule]]
pattern = 'say "hi\'
role = "gradient"
product = "grad_right"
format = "bf16"
scale = "none"

[[rule]]
pattern = "*"
product = "forward"
accumulator = "hopper"
transform = "hadamard16"
)");
  const std::string line = toml_of(rules);
  CHECK(line ==
        "rule = [{pattern = \"conv*\", format = \"e4m3 @90% ; bf16 @rest\", rounding = \"sr8\"}, "
        "{pattern = \"say \\\"hi\\\\\", role = \"gradient\", product = \"grad_right\", format = "
        "\"bf16\", scale = \"none\"}, {pattern = \"*\", product = \"forward\", accumulator = "
        "\"tc(13,32,128)\", transform = \"hadamard16\"}]");
  CHECK(parse_numerics(line) == rules);
}

TEST_CASE("a file of rules that cannot be meant is refused at its line and column") {
  struct Case {
    const char *text, *expected;
  };
  const Case cases[] = {
      {"", "there is no rule: expected tables [[rule]]"},
      {"rules = 1", "line 1, column 9: expected tables [[rule]], got rules"},
      {"rule = 1", "line 1, column 8: expected tables [[rule]], got rule"},
      {"[rule]\npattern = \"a\"", "line 1, column 1: expected tables [[rule]], got rule"},
      {"rule = [1]", "line 1, column 9: expected a table [[rule]]"},
      {"[[rule]]\npattern = 'a", "line 2, column 13: "},
      {"[[rule]]\npattern = 3", "line 2, column 11: pattern: expected a text in quotes"},
      {"[[rule]]\npattern = ''", "line 2, column 11: pattern: expected the name of a site"},
      {"[[rule]]\nformat = 'e4m3'", "line 1, column 1: a rule needs a pattern"},
      {"[[rule]]\npattern = 'a'\npatern = 'b'",
       "line 3, column 10: patern: unknown key 'patern'; did you mean 'pattern'?"},
      {"[[rule]]\npattern = 'a'", "line 1, column 1: a rule says a format"},
      {"[[rule]]\npattern = 'a'\nformat = 'e4m33'", "line 3, column 10: format: "},
      {"[[rule]]\npattern = 'a'\nformat = '8'",
       "line 3, column 10: format: a format has a name, such as int8, got 8"},
      {"[[rule]]\npattern = 'a'\nformat = 'e8m0'",
       "line 3, column 10: format: [format] e8m0 is a format of scales"},
      {"[[rule]]\npattern = 'a'\nformat = 'group{weight: int8, *: int4}'",
       "a rule is for the sites of its pattern alone"},
      {"[[rule]]\npattern = 'a'\nscale = 'absmin'",
       "line 3, column 9: scale: unknown scale 'absmin'; did you mean 'absmax'?"},
      {"[[rule]]\npattern = 'a'\nrole = 'weights'\nformat = 'e4m3'",
       "line 3, column 8: role: unknown role 'weights'; did you mean 'weight'?"},
      {"[[rule]]\npattern = 'a'\nproduct = 'grad-left'\nformat = 'e4m3'",
       "did you mean 'grad_left'?"},
      {"[[rule]]\npattern = 'a'\nproduct = 'aggregate'\nformat = 'e4m3'",
       "sums over neighbours have the numerics of forward and of grad_left"},
      {"[[rule]]\npattern = 'a'\nrole = 'weight'\nproduct = 'grad_right'\nformat = 'e4m3'",
       "line 1, column 1: no weight is multiplied in grad_right"},
      {"[[rule]]\npattern = 'a'\nrole = 'weight'\naccumulator = 'fp32'",
       "line 1, column 1: an accumulator is of a product, not of a role"},
      {"[[rule]]\npattern = 'a'\nrole = 'weight'\ntransform = 'hadamard16'",
       "line 1, column 1: a transform is of a product, not of a role"},
      {"[[rule]]\npattern = 'a'\ntransform = 'hadamard'",
       "line 3, column 13: transform: unknown transform 'hadamard'; did you mean 'hadamard16'?"},
      {"[[rule]]\npattern = 'a'\naccumulator = 'wrap99'", "line 3, column 15: accumulator: "},
      {"[[rule]]\npattern = 'a'\ngrid = 'round'", "line 3, column 8: grid: "},
      {"[[rule]]\npattern = 'a'\nrounding = 'sr99'", "line 3, column 12: rounding: "},
      {"[[rule]]\npattern = 'a'\npattern = 'b'", "line 3, column "},
      {"[[rule]]\n<script>", "line 2, column 1: "},
      {"\xff\xfe", "line 1, column 1: "}};
  for (const Case& c : cases) {
    const std::string error = config_error_of([&] { static_cast<void>(parse_numerics(c.text)); });
    CAPTURE(c.text);
    CAPTURE(error);
    CHECK(error.find(c.expected) != std::string::npos);
  }
}

TEST_CASE("rules go over all options, by role, product and site; the more specific one goes") {
  struct Case {
    const char* why;
    std::string rules;
    const char *site, *first, *last;  // formats at the first and the last update
  };
  const Case cases[] = {
      {"all operands of a site", "rule = [{pattern = \"fc\", format = \"e4m3\"}]", "fc",
       "e4m3 e4m3, e4m3 e4m3, e4m3 e4m3", "e4m3 e4m3, e4m3 e4m3, e4m3 e4m3"},
      {"another site has what it had", "rule = [{pattern = \"fc\", format = \"e4m3\"}]", "conv1",
       "int8 int8, int8 int8, int8 int8", "int8 int8, int8 int8, int8 int8"},
      {"one role", "rule = [{pattern = \"*\", role = \"weight\", format = \"int4\"}]",
       "block.conv2", "int8 int4, int8 int4, int8 int8", "int8 int4, int8 int4, int8 int8"},
      {"a role in one product",
       "rule = [{pattern = \"?onv1\", role = \"gradient\", product = \"grad_right\", format = "
       "\"int12\"}]",
       "conv1", "int8 int8, int8 int8, int8 int12", "int8 int8, int8 int8, int8 int12"},
      {"a product, by tag",
       "rule = [{pattern = \"first\", product = \"forward\", format = "
       "\"int4\"}]",
       "conv1", "int4 int4, int8 int8, int8 int8", "int4 int4, int8 int8, int8 int8"},
      {"a schedule, by a part of a name",
       "rule = [{pattern = \"block\", role = \"activation\", format = \"e2m1 @50% ; bf16 "
       "@rest\"}]",
       "block.conv2", "e2m1 int8, int8 int8, e2m1 int8", "bf16 int8, int8 int8, bf16 int8"},
      {"a full name before a pattern, whatever their order",
       "rule = [{pattern = \"fc\", format = \"int5\"}, {pattern = \"*\", role = \"weight\", "
       "product = \"forward\", format = \"int4\"}]",
       "fc", "int5 int5, int5 int5, int5 int5", "int5 int5, int5 int5, int5 int5"},
      {"role and product before a role before neither",
       "rule = [{pattern = \"*\", role = \"gradient\", product = \"grad_left\", format = "
       "\"int3\"}, {pattern = \"*\", role = \"gradient\", format = \"int4\"}, {pattern = \"*\", "
       "format = \"int5\"}]",
       "fc", "int5 int5, int3 int5, int5 int4", "int5 int5, int3 int5, int5 int4"},
      {"a tag before a pattern, whatever that says of products",
       "rule = [{pattern = \"last\", format = \"int5\"}, {pattern = \"*\", product = "
       "\"forward\", format = \"int4\"}]",
       "fc", "int5 int5, int5 int5, int5 int5", "int5 int5, int5 int5, int5 int5"},
      {"two that say the same of one thing",
       "rule = [{pattern = \"c*\", format = \"int5\"}, {pattern = \"*1\", format = \"int5\"}]",
       "conv1", "int5 int5, int5 int5, int5 int5", "int5 int5, int5 int5, int5 int5"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Precision precision = precision_of(c.rules);
    CHECK(formats_at(precision.plan(0), c.site) == c.first);
    CHECK(formats_at(precision.plan(9), c.site) == c.last);
  }
  // Over every option that says a format.
  const Precision over = precision_of(
      "rule = [{pattern = \"fc\", format = \"int4\"}]",
      {{"weight-format", "int6"}, {"activation-format", "int6"}, {"gradient-format", "int6"}});
  CHECK(formats_at(over.plan(0), "fc") == "int4 int4, int4 int4, int4 int4");
  CHECK(formats_at(over.plan(0), "conv1") == "int6 int6, int6 int6, int6 int6");
  // Gradients of a float32 forward product are float32 unless a rule says otherwise.
  const Precision plain = precision_of(
      "rule = [{pattern = \"fc\", product = \"forward\", format = \"fp32\"}, {pattern = \"fc\", "
      "role = \"gradient\", product = \"grad_left\", format = \"int4\"}]");
  CHECK(formats_at(plain.plan(0), "fc") == "fp32 fp32, int4 int8, int8 fp32");
  // What evaluations are scored in: the formats of --eval-bits, with all else of the rules.
  const Precision scored = precision_of(
      "rule = [{pattern = \"fc\", format = \"int4\", grid = \"symmetric\"}]", {{"eval-bits", "6"}});
  CHECK(formats_at(*scored.evaluation, "fc").starts_with("int6 int6"));
  CHECK(scored.evaluation->encoding("fc", Role::weight).grid == GridStyle::symmetric);
  // Kept layers stay float32.
  const Precision kept =
      precision_of("rule = [{pattern = \"*\", format = \"int4\"}]", {{"keep-fp32", "fc"}});
  CHECK(formats_at(kept.plan(0), "fc") == "fp32 fp32, fp32 fp32, fp32 fp32");
  CHECK(formats_at(kept.plan(0), "conv1") == "int4 int4, int4 int4, int4 int4");
}

TEST_CASE("rules say scale, grid, rounding and accumulators of single layers") {
  const Precision precision = precision_of(
      "rule = [{pattern = \"conv1\", format = \"e4m3\", scale = \"pow2\", rounding = "
      "\"toward-zero\"}, {pattern = \"conv1\", product = \"grad_left\", accumulator = "
      "\"hopper\", transform = \"hadamard16\"}, {pattern = \"fc\", role = \"gradient\", rounding = "
      "\"sr4\", grid = "
      "\"symmetric\"}, {pattern = \"fc\", accumulator = \"wrap16\"}]");
  const Numerics conv = precision.plan(3).at("conv1"), fc = precision.plan(3).at("fc"),
                 other = precision.plan(3).at("block.conv2");
  CHECK(conv.weight.format.scaling.kind == Scaling::Kind::pow2);
  CHECK(to_text(conv.gradient.format) == "e4m3(scale=pow2)");
  CHECK(conv.gradient.rounding == Rounding::toward_zero);
  CHECK(conv.accumulator(Product::grad_left) == Accumulator::parse("hopper"));
  CHECK(conv.accumulator(Product::forward) == Accumulator{});
  CHECK(conv.transform(Product::grad_left) == Transform::hadamard16);
  CHECK(conv.transform(Product::forward) == Transform::none);
  CHECK(fc.gradient.rounding == Rounding::stochastic);
  CHECK(fc.gradient.random_bits == 4);
  CHECK(fc.gradient.grid == GridStyle::symmetric);
  CHECK(fc.activation.grid == GridStyle::affine);
  CHECK(fc.accumulator(Product::grad_right) == Accumulator::wrap(16));
  CHECK(other ==
        Numerics{}.set_formats({Format::integer(8), Format::integer(8), Format::integer(8)}));
}

TEST_CASE("rules that name no site, contradict each other or do nothing are usage errors") {
  struct Case {
    std::string rules, expected;
    Texts given{};
  };
  const Case cases[] = {
      {"rule = [{pattern = \"block.conv3\", format = \"int4\"}]",
       "[command line] --numerics: rule 1, {pattern = \"block.conv3\", format = \"int4\"}: unknown "
       "site 'block.conv3'; did you mean 'block.conv2'?"},
      {"rule = [{pattern = \"c*\", format = \"int4\"}, {pattern = \"*1\", format = \"int5\"}]",
       "rule 2, {pattern = \"*1\", format = \"int5\"}: it contradicts rule 1, {pattern = \"c*\", "
       "format = \"int4\"}, at conv1; make one of them more specific"},
      {"rule = [{pattern = \"*\", role = \"gradient\", format = \"int4\"}, {pattern = \"*\", "
       "product = \"grad_left\", format = \"int5\"}]",
       "it contradicts rule 1"},
      {"rule = [{pattern = \"fc\", accumulator = \"wrap9\"}, {pattern = \"fc\", accumulator = "
       "\"wrap8\"}]",
       "it contradicts rule 1"},
      {"rule = [{pattern = \"f*\", format = \"int4\"}, {pattern = \"fc\", format = \"int5\"}]",
       "rule 1, {pattern = \"f*\", format = \"int4\"}: it has no effect"},
      {"rule = [{pattern = \"fc\", format = \"int4\"}]",
       "--keep-fp32 leaves all that it is for in float32",
       {{"keep-fp32", "fc"}}},
      {"rule = [{pattern = \"fc\", accumulator = \"hopper\"}]",
       "--numerics: [accumulator] tc(13,32,128) sums no products of int8 and int8"},
      {"rule = [{pattern = \"fc\", scale = \"pow2\"}]",
       "rule 1 gives weights of fc a scale, which are int8: integers have a grid; say grid"},
      {"rule = [{pattern = \"fc\", format = \"mxfp8\", scale = \"pow2\"}]",
       "which are mxfp8: blocks have their own"},
      {"rule = [{pattern = \"fc\", format = \"int1\", grid = \"symmetric\"}]",
       "weights of 1 bit have no symmetric grid"},
      {"rule = [{pattern = \"fc\", format = \"int4 @5up ; e8m0 @rest\"}]",
       "--numerics at iteration 5"}};
  for (const Case& c : cases) {
    const std::string error =
        config_error_of([&] { static_cast<void>(precision_of(c.rules, c.given)); });
    CAPTURE(c.rules);
    CAPTURE(error);
    CHECK(error.find(c.expected) != std::string::npos);
  }
}

TEST_CASE("a command line names a file, and keeps what it says") {
  const Scratch scratch;
  const std::string path = scratch / "rules.toml";
  write_file(path, "[[rule]]\npattern = 'fc'\nformat = 'e4m3'\n");
  const Program program{.name = "ebb-x", .archs = {{.name = "net"}}};
  const auto parsed = [&](const std::vector<std::string>& args) {
    return parse_command_line(args, program);
  };
  const std::string content = "rule = [{pattern = \"fc\", format = \"e4m3\"}]";
  const CommandLine line = parsed({"--numerics", path});
  CHECK(line.options.text("numerics") == content);
  CHECK(format_options(arithmetic_options(option_texts(line.options, true))) ==
        concat("--numerics '", content, '\''));
  write_file(scratch / "options.toml", concat("numerics = '", path, "'\n"));
  CHECK(parsed({"--config", scratch / "options.toml"}).options.text("numerics") == content);

  // A run goes on without the file, or with one that says the same.
  const KeyValues recorded{{"numerics", content}};
  CHECK(resumed_options(parsed({}), recorded).text("numerics") == content);
  CHECK(resumed_options(line, recorded).text("numerics") == content);
  write_file(path, "[[rule]]\npattern = 'fc'\nformat = 'e5m2'\n");
  CHECK_THROWS_WITH_AS(resumed_options(parsed({"--numerics", path}), recorded),
                       doctest::Contains("which would change its results"), DataError);

  write_file(path, "[[rule]]\npattern = 'fc'\nformat = 'e4m33'\n");
  CHECK(config_error_of([&] {
          static_cast<void>(parsed({"--numerics", path}));
        }).starts_with(concat("[numerics] ", path, ", line 3, column 10: format: ")));
  CHECK_THROWS_AS(parsed({"--numerics", scratch / "missing.toml"}), DataError);
}
