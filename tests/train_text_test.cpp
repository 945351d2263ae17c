#include <doctest/doctest.h>

#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "data/ngram.h"
#include "layers/embedding.h"
#include "passes.h"
#include "train/tasks/text.h"

using namespace ebb;
using namespace ebb::test;
using namespace ebb::train;

namespace {

constexpr std::int64_t kWords = 5;
const Key kKey(1);

/// The network of both tasks: the logits of a token's successor are a row of a table, so that a
/// text's loss is a plain sum.
struct Successors {
  ParamId table;

  [[nodiscard]] RecurrentNetwork streams() const {
    return {[*this](Pass& pass, std::span<const std::int32_t> tokens,
                    std::vector<StreamState>& states) {
              const Tensor& hidden = states.at(0).hidden;  // a stream's number, which stays with it
              REQUIRE(std::ssize(tokens) % hidden.size() == 0);
              for (std::int64_t r = 0; r < hidden.size(); ++r)
                REQUIRE(hidden[r] == static_cast<float>(r));
              return embedding(pass, table, tokens);
            },
            [](std::int64_t streams) {
              Tensor numbers = Tensor::zeros({streams, 1});
              std::iota(numbers.data(), numbers.data() + streams, 0.0f);
              return std::vector<StreamState>{{numbers, numbers}};
            }};
  }
  [[nodiscard]] WindowNetwork windows() const {
    return [*this](Pass& pass, std::span<const std::int32_t> tokens, std::int64_t) {
      return embedding(pass, table, tokens);
    };
  }
};

std::shared_ptr<const Corpus> corpus_of(const TokenIds& held_out) {
  Corpus corpus{.name = "x",
                .vocabulary = Vocabulary::of_bytes("abcde"),
                .train = {},
                .validation = held_out,
                .test = {}};
  for (std::int32_t i = 0; i < 400; ++i) corpus.train.push_back(i * i % 5);
  return std::make_shared<const Corpus>(std::move(corpus));
}

Options options() { return Options(text_options(), {{"batch", "4"}, {"length", "7"}}); }

LoopSettings settings() { return {.evaluation_plan = PrecisionPlan::fp32()}; }

}  // namespace

TEST_CASE(
    "streams, windows and n-grams score every token of a text but the first, whatever its length") {
  for (const std::int64_t size : {2, 3, 8, 11, 21, 97, 250}) {
    TokenIds text;
    for (std::int64_t i = 0; i < size; ++i)
      text.push_back(static_cast<std::int32_t>(i * i * i % 5 + i % 2) % 5);
    RunState state;
    const Successors network{state.params.add("table", random_tensor({kWords, kWords}, kKey))};
    double want = 0;
    for (std::size_t i = 1; i < text.size(); ++i) {
      double sum = 0;
      const auto logit = [&](std::int32_t next) {
        return double{state.params[network.table][text[i - 1] * kWords + next]};
      };
      for (std::int32_t word = 0; word < kWords; ++word) sum += std::exp(logit(word));
      want += (std::log(sum) - logit(text[i])) / static_cast<double>(size - 1);
    }
    const auto corpus = corpus_of(text);
    const Task streams = stream_task(corpus, network.streams(), state.params, options()),
               windows = window_task(corpus, network.windows(), options());
    for (const Task* task : {&streams, &windows}) {
      const EvalRow row = evaluate(*task, task->splits[0], state, settings());
      CAPTURE(size);
      CHECK(row.examples == size - 1);
      CHECK(std::abs(row.loss - want) <=
            4 * kUnit * want);  // a window's mean is rounded to float32
      CHECK(std::abs(row.score - want / std::log(2.0)) <=
            8 * kUnit * want);  // bits a byte: the bytes are those scored
    }
  }
}

TEST_CASE(
    "two texts that differ only at their ends have different scores, by streams, windows and "
    "n-grams") {
  TokenIds text;
  for (std::int32_t i = 0; i < 103; ++i) text.push_back(i * i % 5);
  RunState state;
  const Successors network{state.params.add("table", random_tensor({kWords, kWords}, kKey))};
  const NgramModel model(corpus_of(text)->train, kWords, 2);
  const auto losses = [&](const TokenIds& of) {
    RunState fresh;
    const Successors same{
        fresh.params.add("table", state.params[network.table].reshaped({kWords, kWords}))};
    const auto corpus = corpus_of(of);
    const Task streams = stream_task(corpus, same.streams(), fresh.params, options());
    const Task windows = window_task(corpus, same.windows(), options());
    return std::vector<double>{evaluate(streams, streams.splits[0], fresh, settings()).loss,
                               evaluate(windows, windows.splits[0], fresh, settings()).loss,
                               model.loss(of)};
  };
  const std::vector<double> whole = losses(text);
  for (const std::size_t changed :
       {std::size_t{102}, std::size_t{98}, std::size_t{96}, std::size_t{1}}) {
    TokenIds other = text;
    other[changed] = static_cast<std::int32_t>((other[changed] + 1) % kWords);
    CAPTURE(changed);
    const std::vector<double> got = losses(other);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] != whole[i]);
  }
}
