#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "core/error.h"
#include "models/transformer/network.h"
#include "optim/optimizer.h"
#include "passes.h"
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
