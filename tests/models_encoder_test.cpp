#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "models/transformer/network.h"
#include "optim/optimizer.h"
#include "passes.h"
#include "train/costs.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::test;
using namespace ebb::train;

namespace {

std::shared_ptr<const PairSet> small_pairs() {
  PairSet set{.name = "small", .vocabulary = {}, .train = {}, .validation = {}, .test = {}};
  std::string text;
  const std::vector<PairTexts> pairs = embedded_pairs(60, Key(5));
  for (const PairTexts& pair : pairs) text += pair.premise + "\n" + pair.hypothesis + "\n";
  set.vocabulary = Vocabulary::of_words(text, 1000, "small");
  for (const PairTexts& pair : pairs) {
    SentencePair encoded{set.vocabulary.encode(pair.premise, ""),
                         set.vocabulary.encode(pair.hypothesis, ""), pair.label};
    encoded.premise.pop_back();
    encoded.hypothesis.pop_back();
    if (set.train.size() % 2 == 1) encoded.premise.resize(4);  // rows of two lengths
    set.train.push_back(std::move(encoded));
  }
  set.test = {set.train.begin(), set.train.begin() + 30};
  return std::make_shared<const PairSet>(std::move(set));
}

Options options_of(std::int64_t batch, std::int64_t length, std::int64_t accumulate = 1,
                   bool hypothesis_only = false) {
  std::vector<OptionSpec> family = text_options();
  for (OptionSpec& option : pair_options()) family.push_back(std::move(option));
  return Options(family, {{"batch", to_text(batch)},
                          {"accumulate", to_text(accumulate)},
                          {"length", to_text(length)},
                          {"hypothesis-only", to_text(hypothesis_only)}});
}

PairNetwork small_network(const PairSet& pairs, ParamStore& params, EncoderHead head,
                          bool rotary = false) {
  const TransformerConfig config{.layers = 2,
                                 .width = 8,
                                 .heads = 2,
                                 .length = 32,
                                 .positions = rotary ? TransformerConfig::Positions::rotary
                                                     : TransformerConfig::Positions::learned};
  return make_encoder(config, pairs.tokens(), head,
                      head == EncoderHead::classes ? 3 : pairs.vocabulary.size(), params, Key(1));
}

}  // namespace

TEST_CASE("the MACs of BERT base on 128 tokens are those that the papers count, item by item" *
          doctest::test_suite("large")) {
  const auto pairs = small_pairs();
  RunState state;
  const PairNetwork network =
      make_encoder({.layers = 12, .width = 768, .heads = 12, .inner = 3072, .length = 128},
                   pairs->tokens(), EncoderHead::classes, 3, state.params, Key(1));
  const Task task = classify_task(pairs, network, options_of(7, 128, 1));
  const CostLedger ledger = count_example(task, state.params);  // the longest row, one label
  std::uint64_t linear = 0, attention = 0, pooler = 0, classifier = 0;
  for (const CostLedger::Row& row : ledger.rows()) {
    const bool product = row.site.name.ends_with(".qk") || row.site.name.ends_with(".av");
    std::uint64_t& kind = row.site.name == "pooler"       ? pooler
                          : row.site.name == "classifier" ? classifier
                          : product                       ? attention
                                                          : linear;
    kind += static_cast<std::uint64_t>(row.cells[0].macs);
  }
  CHECK(linear == 10'871'635'968);
  CHECK(pooler == 589'824);
  CHECK(attention == 301'989'888);
  CHECK(classifier == 3 * 768);
}

TEST_CASE("what steps will charge is what they charge, by site and product, for both heads") {
  const auto pairs = small_pairs();
  for (const EncoderHead head : {EncoderHead::classes, EncoderHead::words}) {
    RunState state{.optimizer = make_optimizer("adam")};
    const PairNetwork network = small_network(*pairs, state.params, head);
    const Options options = options_of(7, 20, 3);
    const Task task = head == EncoderHead::classes ? classify_task(pairs, network, options)
                                                   : masked_task(pairs, network, options);
    LoopSettings settings{.iterations = 11, .key = Key(4)};
    settings.plan = [](std::int64_t t) {
      return PrecisionPlan::uniform(Format::integer(t % 2 == 0 ? 4 : 8), Format::integer(8));
    };
    settings.rate = [](std::int64_t) { return 0.01; };
    settings.evaluation_plan = settings.plan(1);
    settings.eval_every = settings.save_every = 1000;
    run_loop(task, state, settings, {});
    const CostLedger predicted = predict(task, state.params, settings.plan, 11);
    CHECK(predicted.total_bit_ops() == state.ledger.total_bit_ops());
    CHECK(predicted.paper_bit_ops() == state.ledger.paper_bit_ops());
    REQUIRE(predicted.rows().size() == state.ledger.rows().size());
    for (std::size_t i = 0; i < predicted.rows().size(); ++i) {
      CHECK(predicted.rows()[i].site.name == state.ledger.rows()[i].site.name);
      CHECK(predicted.rows()[i].cells == state.ledger.rows()[i].cells);
    }
  }
}

TEST_CASE(
    "the gradients of whole encoders over rows of different lengths agree with central "
    "differences" *
    doctest::test_suite("large")) {
  const auto pairs = small_pairs();
  PackedRows rows;
  for (std::size_t i = 0; i < 3; ++i)
    append_row(rows, *pairs, pairs->train[i], i == 2 ? 6 : 9, false);
  const std::vector<std::int64_t> at{0, rows.lengths[0], rows.lengths[0] + rows.lengths[1] + 2};
  for (const bool other : {false, true}) {
    CAPTURE(other);
    Bench bench;
    const PairNetwork network = small_network(
        *pairs, bench.params, other ? EncoderHead::words : EncoderHead::classes, other);
    for (std::size_t i = 0; i < bench.params.size(); ++i) {
      const ParamStore::Entry& entry = bench.params.entries()[i];
      if (entry.kind == ParamStore::Kind::parameter && entry.name.ends_with("weight") &&
          entry.value.shape().rank() == 2) {
        for (float& w : bench.params[ParamId{static_cast<std::int32_t>(i)}].values())
          w *= 25.0f;  // so that every path matters
      }
    }
    check_gradients(bench, {}, 100,
                    [&](Pass& pass, const std::vector<Var>&) { return network(pass, rows, at); });
  }
}

TEST_CASE("a row's logits do not depend on the rows that it is packed with") {
  const auto pairs = small_pairs();
  Bench bench;
  const PairNetwork network = small_network(*pairs, bench.params, EncoderHead::classes);
  const auto logits = [&](const std::vector<std::size_t>& which) {
    PackedRows rows;
    std::vector<std::int64_t> at;
    for (const std::size_t i : which) {
      at.push_back(static_cast<std::int64_t>(rows.tokens.size()));
      append_row(rows, *pairs, pairs->train[i], 32, false);
    }
    Pass pass = bench.pass();
    return Tensor(pass.tape[network(pass, rows, at)]);
  };
  const Tensor all = logits({0, 1, 2, 3}), third = logits({2});
  for (std::int64_t j = 0; j < 3; ++j) CHECK(all[6 + j] == third[j]);
  CHECK(all[0] != all[3]);
}

TEST_CASE(
    "batches are functions of seed and step, and micro-batches change nothing but roundings") {
  const auto pairs = small_pairs();
  for (const bool masked : {false, true}) {
    CAPTURE(masked);
    std::vector<std::vector<double>> losses(2);
    for (const std::int64_t accumulate : {1, 3}) {
      RunState state{.optimizer = make_optimizer("adam")};
      const PairNetwork network =
          small_network(*pairs, state.params, masked ? EncoderHead::words : EncoderHead::classes);
      const Options options = options_of(8, 20, accumulate);
      const Task task =
          masked ? masked_task(pairs, network, options) : classify_task(pairs, network, options);
      CHECK(task.steps_per_epoch == 8);
      const std::vector<std::int64_t> parts = task.parts(0);
      CHECK(parts.size() == static_cast<std::size_t>(accumulate));
      if (!masked) CHECK(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}) == 8);
      if (!masked) CHECK(task.parts(7)[0] == (accumulate == 1 ? 4 : 2));  // what is left of 60
      LoopSettings settings{.iterations = 40, .key = Key(4)};
      settings.plan = [](std::int64_t) { return PrecisionPlan::fp32(); };
      settings.rate = [](std::int64_t) { return 0.01; };
      settings.evaluation_plan = settings.plan(0);
      settings.eval_every = settings.save_every = 1000;
      std::vector<double>& seen = losses[accumulate == 1 ? 0 : 1];
      EvalRow last;
      run_loop(task, state, settings,
               {.step = [&](const StepRow& row) { seen.push_back(row.loss); },
                .evaluation = [&](const EvalRow& row) { last = row; }});
      CHECK(last.metric == (masked ? "perplexity" : "accuracy"));
    }
    for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(losses[0][i] - losses[1][i]) < 1e-4);
  }
}

TEST_CASE("without premises nothing of them reaches the network") {
  auto changed = *small_pairs();
  for (SentencePair& pair : changed.train) std::ranges::reverse(pair.premise);
  const auto pairs = small_pairs(), others = std::make_shared<const PairSet>(changed);
  const auto first_loss = [&](const std::shared_ptr<const PairSet>& set, bool hypothesis_only) {
    Bench bench;
    const PairNetwork network = small_network(*set, bench.params, EncoderHead::classes);
    const Task task = classify_task(set, network, options_of(8, 20, 1, hypothesis_only));
    Pass pass = bench.pass();
    return pass.tape[task.loss(pass, 0, 0).value].item();
  };
  CHECK(first_loss(pairs, true) == first_loss(others, true));
  CHECK(first_loss(pairs, false) != first_loss(others, false));
}

TEST_CASE("the majority class of training is scored on the other parts") {
  auto set = *small_pairs();
  for (std::size_t i = 0; i < set.train.size(); ++i)
    set.train[i].label = i < 25 ? 2 : i % 2 == 0 ? 0 : 1;
  set.test = {{{2}, {3}, 2}, {{2}, {3}, 0}, {{2}, {3}, 0}, {{2}, {3}, 2}, {{2}, {3}, 0}};
  const auto pairs = std::make_shared<const PairSet>(set);
  ParamStore params;
  const Task task =
      classify_task(pairs, small_network(*pairs, params, EncoderHead::classes), options_of(8, 20));
  REQUIRE(task.baselines.size() == 1);
  CHECK(task.baselines[0].first == "test_majority_accuracy");
  CHECK(task.baselines[0].second == 0.4);
  CHECK_THROWS_AS(static_cast<void>(classify_task(pairs, {}, options_of(8, 4))), ConfigError);
}

TEST_CASE("an encoder learns to label pairs and to guess hidden words in 8 bits" *
          doctest::test_suite("large")) {
  const auto pairs = small_pairs();
  for (const bool masked : {false, true}) {
    CAPTURE(masked);
    RunState state{.optimizer = make_optimizer("adam")};
    const TransformerConfig config{.layers = 2, .width = 32, .heads = 2, .length = 32};
    const PairNetwork network = make_encoder(
        config, pairs->tokens(), masked ? EncoderHead::words : EncoderHead::classes,
        masked ? pairs->vocabulary.size() : static_cast<std::int64_t>(kPairLabels.size()),
        state.params, Key(1));
    const Task task = masked ? masked_task(pairs, network, options_of(20, 20))
                             : classify_task(pairs, network, options_of(20, 20));
    LoopSettings settings{.iterations = 400, .key = Key(4)};
    settings.plan = [](std::int64_t) {
      return PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
    };
    settings.rate = [](std::int64_t t) { return t < 300 ? 0.003 : 0.0005; };
    settings.evaluation_plan = settings.plan(0);
    settings.eval_every = settings.save_every = 1000;
    EvalRow last;
    run_loop(task, state, settings, {.evaluation = [&](const EvalRow& row) { last = row; }});
    // The test part is half of what it was trained on; a guess among the words would have a
    // perplexity of some thirty.
    if (masked) CHECK(last.score < 6.0);
    if (!masked) CHECK(last.score >= task.baselines.at(0).second + 0.2);
  }
}
