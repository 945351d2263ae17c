#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "models/lstm/network.h"
#include "optim/optimizer.h"
#include "passes.h"
#include "train/costs.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::test;
using namespace ebb::train;

namespace {

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

Options options_of(std::int64_t batch, std::int64_t length) {
  return Options(text_options(), {{"batch", to_text(batch)}, {"length", to_text(length)}});
}

}  // namespace

TEST_CASE(
    "the Penn Treebank model has the MACs that the papers count, and a dry run's ledger is an "
    "example's times the tokens") {
  Corpus corpus = *small_corpus();
  corpus.train.assign(929'589, 0);
  RunState state;
  const RecurrentNetwork network = make_lstm(
      {.layers = 1, .units = 800, .embedding = 800, .dropout = 0.5}, 10'000, state.params, Key(1));
  const Task task = stream_task(std::make_shared<const Corpus>(std::move(corpus)), network,
                                state.params, options_of(20, 35));
  CHECK(task.steps_per_epoch == 1328);
  const CostLedger token = count_example(task, state.params);
  REQUIRE(task.parts(0) == std::vector<std::int64_t>{700});
  REQUIRE(token.rows().size() == 3);
  CHECK(700 * (token.rows()[0].cells[0].macs + token.rows()[1].cells[0].macs) == 3'584'000'000);
  CHECK(700 * token.rows()[2].cells[0].macs == 5'600'000'000);
  for (const CostLedger::Row& row : token.rows()) {
    for (std::size_t p = 0; p < 3; ++p) CHECK(row.cells[p].macs == row.cells[0].macs);
  }
}

TEST_CASE("the gradients of a whole two-layer language model agree with central differences") {
  Bench bench;
  const RecurrentNetwork network =
      make_lstm({.layers = 2, .units = 4, .embedding = 3}, 7, bench.params, Key(1));
  for (const char* name : {"embedding.weight", "decoder.weight"}) {
    for (float& w : bench.params[name].values()) w *= 10.0f;  // so that every path matters
  }
  const std::vector<std::int32_t> tokens{0, 3, 6, 2, 2, 5};
  check_gradients(bench, {}, 60, [&](Pass& pass, const std::vector<Var>&) {
    std::vector<StreamState> states = network.begin(2);
    return network.forward(pass, tokens, states);
  });
}

TEST_CASE("an LSTM learns the embedded text, carries its state, and begins anew with the epoch") {
  const auto corpus = small_corpus();
  RunState state{.optimizer = make_optimizer("adam")};
  const RecurrentNetwork network =
      make_lstm({.units = 32}, corpus->vocabulary.size(), state.params, Key(1));
  const Task task = stream_task(corpus, network, state.params, options_of(4, 20));
  LoopSettings settings{.iterations = 2 * task.steps_per_epoch, .key = Key(4)};
  settings.plan = [](std::int64_t) {
    return PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  };
  settings.rate = [](std::int64_t) { return 0.01; };
  settings.evaluation_plan = settings.plan(0);
  settings.eval_every = settings.save_every = 1000;
  std::vector<double> losses;
  EvalRow last;
  run_loop(task, state, settings,
           {.step = [&](const StepRow& row) { losses.push_back(row.loss); },
            .evaluation = [&](const EvalRow& row) { last = row; }});
  CHECK(losses.back() < 0.75 * losses.front());
  CHECK(last.metric == "bits_per_byte");
  CHECK(last.loss < losses[losses.size() / 2]);
  const ParamId carried = state.params.id("carried0.hidden");
  CHECK(state.params[carried] != Tensor::zeros({4, 32}));

  // The first step of an epoch does not see what was carried, the second does.
  const auto loss_of = [&](std::int64_t t, float fill) {
    RunState copy = state;
    copy.params[carried] = Tensor::filled({4, 32}, fill);
    CostLedger ledger;
    Pass pass{
        .params = copy.params, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(0)};
    return pass.tape[task.loss(pass, t, 0).value].item();
  };
  CHECK(loss_of(task.steps_per_epoch, 0.0f) == loss_of(task.steps_per_epoch, 0.5f));
  CHECK(loss_of(1, 0.0f) != loss_of(1, 0.5f));
}

TEST_CASE("what an LSTM cannot be is refused") {
  ParamStore params;
  CHECK_THROWS_AS(static_cast<void>(make_lstm({.layers = 0}, 5, params, Key(1))), ConfigError);
  CHECK_THROWS_AS(static_cast<void>(make_lstm({.dropout = 1.0}, 5, params, Key(1))), ConfigError);
  const RecurrentNetwork network = make_lstm({.units = 4}, 60, params, Key(1));
  Options options = options_of(4, 8);
  options.set("accumulate", "2");
  CHECK_THROWS_WITH_AS(static_cast<void>(stream_task(small_corpus(), network, params, options)),
                       doctest::Contains("--accumulate 2"), ConfigError);
}
