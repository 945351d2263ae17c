#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/recipes.h"
#include "models/transformer/network.h"
#include "models/transformer/recipes.h"
#include "optim/optimizer.h"
#include "passes.h"
#include "quant/cost_model.h"
#include "train/options/numerics.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::test;
using namespace ebb::train;

namespace {

using Config = TransformerConfig;

std::shared_ptr<const Corpus> small_corpus() {
  const std::string text = embedded_text(3000, Key(5));
  Corpus corpus{.name = "small",
                .vocabulary = Vocabulary::of_bytes(text),
                .train = {},
                .validation = {},
                .test = {}};
  corpus.train = corpus.validation = corpus.vocabulary.encode(text, "small");
  return std::make_shared<const Corpus>(std::move(corpus));
}

Options options_of(std::int64_t batch, std::int64_t length, std::int64_t accumulate = 1) {
  return Options(text_options(), {{"batch", to_text(batch)},
                                  {"accumulate", to_text(accumulate)},
                                  {"length", to_text(length)}});
}

}  // namespace

TEST_CASE("the gradients of whole Transformers agree with central differences") {
  for (const bool other : {false, true}) {
    CAPTURE(other);
    Bench bench;
    const Config config{.layers = 1,
                        .width = 4,
                        .heads = 2,
                        .inner = 6,
                        .length = 3,
                        .positions = other ? Config::Positions::rotary : Config::Positions::learned,
                        .activation = other ? Config::Activation::swiglu : Config::Activation::gelu,
                        .tied = other};
    const WindowNetwork network = make_transformer(config, 5, bench.params, Key(1));
    for (std::size_t i = 0; i < bench.params.size(); ++i) {
      const ParamStore::Entry& entry = bench.params.entries()[i];
      if (entry.kind == ParamStore::Kind::parameter && entry.name.ends_with("weight") &&
          entry.value.shape().rank() == 2) {
        for (float& w : bench.params[ParamId{static_cast<std::int32_t>(i)}].values())
          w *= 25.0f;  // so that every path matters
      }
    }
    const std::vector<std::int32_t> tokens{0, 3, 1, 2, 2, 4};
    check_gradients(bench, {}, 100,
                    [&](Pass& pass, const std::vector<Var>&) { return network(pass, tokens, 2); });
  }
}

TEST_CASE(
    "a Transformer learns the embedded text, and micro-batches change nothing but roundings") {
  const auto corpus = small_corpus();
  std::vector<std::vector<double>> losses(2);
  for (const std::int64_t accumulate : {1, 3}) {
    RunState state{.optimizer = make_optimizer("adam")};
    const WindowNetwork network =
        make_transformer({.layers = 1, .width = 32, .heads = 2, .length = 16},
                         corpus->vocabulary.size(), state.params, Key(1));
    const Task task = window_task(corpus, network, options_of(8, 16, accumulate));
    CHECK(task.parts(0) ==
          (accumulate == 1 ? std::vector<std::int64_t>{8} : std::vector<std::int64_t>{3, 3, 2}));
    LoopSettings settings{.iterations = 40, .key = Key(4)};
    settings.plan = [=](std::int64_t) {
      return accumulate == 1 ? PrecisionPlan::uniform(Format::integer(8), Format::integer(8))
                             : PrecisionPlan::fp32();
    };
    settings.rate = [](std::int64_t) { return 0.01; };
    settings.evaluation_plan = settings.plan(0);
    settings.eval_every = settings.save_every = 1000;
    EvalRow last;
    std::vector<double>& seen = losses[accumulate == 1 ? 0 : 1];
    run_loop(task, state, settings,
             {.step = [&](const StepRow& row) { seen.push_back(row.loss); },
              .evaluation = [&](const EvalRow& row) { last = row; }});
    CHECK(seen.back() < 0.8 * seen.front());
    CHECK(last.metric == "bits_per_byte");
  }
  CHECK(std::abs(losses[0][0] - losses[1][0]) < 0.01);
  CHECK(std::abs(losses[0].back() - losses[1].back()) < 0.15);
}

TEST_CASE("what a Transformer cannot be is refused") {
  ParamStore params;
  const auto make = [&](const Config& config) {
    static_cast<void>(make_transformer(config, 5, params, Key(1)));
  };
  CHECK_THROWS_AS(make({.layers = 0}), ConfigError);
  CHECK_THROWS_AS(make({.width = 10, .heads = 3}), ConfigError);
  CHECK_THROWS_AS(make({.width = 9, .heads = 3, .positions = Config::Positions::rotary}),
                  ConfigError);
  CHECK_THROWS_AS(make({.dropout = -0.1}), ConfigError);
  const WindowNetwork network = make_transformer({.length = 4}, 60, params, Key(1));
  CHECK_THROWS_WITH_AS(static_cast<void>(window_task(small_corpus(), network, options_of(2, 5000))),
                       doctest::Contains("shorten --length"), DataError);
}

namespace {

/// The products of a block of LLaMA-7B and what they are of its forward arithmetic: 4096 wide, a
/// gated feed-forward part of 11,008, windows of 4096 tokens.
struct Part {
  Site site;
  double macs;  ///< of a token
};
const Part kLlamaBlock[] = {{{"block0.attention.input"}, 3.0 * 4096 * 4096},
                            {{"block0.attention.output"}, 1.0 * 4096 * 4096},
                            {{"block0.attention.qk"}, 1.0 * 4096 * 4096},
                            {{"block0.attention.av"}, 1.0 * 4096 * 4096},
                            {{"block0.mlp.up"}, 2.0 * 4096 * 11008},
                            {{"block0.mlp.down"}, 1.0 * 4096 * 11008}};
constexpr Product kLinearProducts[] = {Product::forward, Product::grad_left, Product::grad_right};
constexpr std::int64_t kUpdates = 1000;

Precision precision_of(const std::string& numerics) {
  std::vector<Site> sites;
  for (const Part& part : kLlamaBlock) sites.push_back(part.site);
  return resolve_precision(
      Options({},
              {{"lr", "0.1"}, {"bits", "bf16"}, {"gradient-bits", "bf16"}, {"numerics", numerics}}),
      {.updates = kUpdates}, sites);
}

std::string rules_of(const std::string& preset) {
  const Program program{.name = "ebb-transformer", .presets = transformer_recipes()};
  for (const auto& [name, text] : find_preset(program, preset).options) {
    if (name == "numerics") return text;
  }
  return "";
}

/// Time of a training step in percent of that with 16 bits throughout.
double percent(const PrecisionPlan& plan, const std::string& model) {
  double time = 0, all = 0;
  for (const Part& part : kLlamaBlock) {
    for (const Product product : kLinearProducts) {
      const Numerics& numerics = plan.at(part.site);
      const auto [left, right] = numerics.formats(product);
      time += part.macs * CostModel::parse(model).of(left, right, numerics.accumulator(product));
      all += part.macs;
    }
  }
  return 100 * time / all;
}

}  // namespace

TEST_CASE("what recipes cost of a block of LLaMA-7B is what arithmetic by hand says") {
  double forward = 0;
  for (const Part& part : kLlamaBlock) forward += part.macs;
  const auto share = [&](std::size_t first, std::size_t second) {
    return 100 * (kLlamaBlock[first].macs + kLlamaBlock[second].macs) / forward;
  };
  CHECK(std::abs(share(4, 5) - 57.3) < 0.1);  // feed-forward
  CHECK(std::abs(share(0, 1) - 28.4) < 0.1);  // linear layers of attention
  CHECK(std::abs(share(2, 3) - 14.2) < 0.1);  // attention itself

  const std::string all_fp4 =
      R"(rule = [{pattern = "*.mlp.*", format = "e2m1"}, {pattern = "*put", format = "e2m1"}])";
  struct Case {
    const char* why;
    std::string rules;
    double by_default, slower;  ///< speeds of 16, 8, 4 bits 1 : 2 : 4 and 1 : 1.4 : 2
  };
  const Case cases[] = {{"all linear layers in fp4", all_fp4, 35.7, 57.1},
                        {"the recipe", rules_of("fp4-paper"), 52.3, 71.4},
                        {"all linear layers in fp8", rules_of("fp8-hybrid"), 57.1, 75.5},
                        {"16 bits", rules_of("bf16"), 100, 100}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const PrecisionPlan plan = precision_of(c.rules).plan(0);
    CHECK(std::abs(percent(plan, "throughput") - c.by_default) < 0.2);
    CHECK(std::abs(percent(plan, "throughput(4=2,8=1.4)") - c.slower) < 0.2);
  }
}

TEST_CASE("fp4-paper ends in the formats of bf16, and its switch changes formats alone") {
  const Precision recipe = precision_of(rules_of("fp4-paper")),
                  bf16 = precision_of(rules_of("bf16"));
  const PrecisionPlan before = recipe.plan(kUpdates * 925 / 1000 - 1),
                      after = recipe.plan(kUpdates * 925 / 1000);
  bool changed = false;
  for (const Part& part : kLlamaBlock) {
    CAPTURE(part.site.name);
    const Numerics &old = before.at(part.site), &now = after.at(part.site);
    CHECK(now == bf16.plan(0).at(part.site));
    CHECK(recipe.evaluation->at(part.site).formats(Product::forward) ==
          now.formats(Product::forward));
    for (const Product product : kLinearProducts)
      CHECK(old.accumulator(product) == now.accumulator(product));
    for (const ProductOperand& operand : kProductOperands) {
      Encoding encoding = old.encoding(operand.role, operand.product);
      changed = changed || encoding.format != Format::parse("bf16");
      encoding.format = Format::parse("bf16");
      CHECK(encoding == now.encoding(operand.role, operand.product));
    }
  }
  CHECK(changed);
}

TEST_CASE("nvfp4-report transforms weight gradients in NVFP4, and no others") {
  const std::vector<Site> sites{{"block0.mlp.up"},
                                {"block3.mlp.up"},
                                {"block0.attention.input"},
                                {"block0.attention.output"},
                                {"block0.attention.qk"}};
  const Precision recipe = resolve_precision(Options({}, {{"lr", "0.1"},
                                                          {"bits", "bf16"},
                                                          {"gradient-bits", "bf16"},
                                                          {"numerics", rules_of("nvfp4-report")}}),
                                             {.updates = 100}, sites);
  const Numerics up = recipe.plan(81).at(sites[0]), last = recipe.plan(81).at(sites[1]),
                 later = recipe.plan(82).at(sites[0]), core = recipe.plan(0).at(sites[4]);
  CHECK(up.weight.format == Format::parse("nvfp4(block=16x16)"));
  CHECK(up.activation.format == Format::parse("nvfp4"));
  CHECK(up.gradient.rounding == Rounding::stochastic);
  CHECK(up.transform(Product::grad_right) == Transform::hadamard16);
  CHECK(up.transform(Product::forward) == Transform::none);
  for (const Numerics* const plain : {&last, &later, &core}) {
    CHECK(plain->weight.format == Format::parse("bf16"));
    CHECK(plain->transform(Product::grad_right) == Transform::none);
  }
}

TEST_CASE("a recipe is formats of products, and what costs are counted in") {
  std::vector<Preset> recipes = transformer_recipes();
  for (const Preset& recipe : image_recipes()) recipes.push_back(recipe);
  for (const Preset& preset : recipes) {
    CAPTURE(preset.name);
    for (const KeyValues::value_type& option : preset.options) {
      const std::string &name = option.first, &text = option.second;
      CAPTURE(name);
      CHECK((name == "bits" || name == "gradient-bits" || name == "numerics" ||
             name == "cost-model" || name == "cost-reference"));
      CHECK((name != "numerics" || toml_of(parse_numerics(text)) == text));
    }
  }
}
