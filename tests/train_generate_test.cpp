#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/lstm/network.h"
#include "models/transformer/network.h"
#include "tests/errors.h"
#include "train/tasks/generate.h"
#include "train/tasks/sampling.h"
#include "train/tasks/text.h"

using namespace ebb;
using namespace ebb::train;

namespace {

Options options_of(const KeyValues& given) {
  Options options(text_options(), given);
  options.set("batch", "4");
  return options;
}

Generated write(const Vocabulary& vocabulary, const Options& options, const TokenReader& read) {
  ParamStore params;
  CostLedger ledger;
  Pass pass{.params = params, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(0)};
  return generate_text(pass, vocabulary, options, read);
}

/// Logits that every token read so far has a part in.
TokenReader mixing_reader(std::int64_t size, TokenIds* seen = nullptr) {
  return [=, mixed = Key(3)](Pass&, std::span<const std::int32_t> tokens) mutable {
    for (const std::int32_t token : tokens) mixed = mixed.fold(static_cast<std::uint64_t>(token));
    if (seen != nullptr) seen->insert(seen->end(), tokens.begin(), tokens.end());
    std::vector<float> logits;
    for (std::int64_t i = 0; i < size; ++i)
      logits.push_back(static_cast<float>(mixed.normal(static_cast<std::uint64_t>(i))));
    return logits;
  };
}

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

std::int32_t most_likely(const Tensor& logits, std::int64_t vocabulary) {
  return sample_token(logits.values().last(static_cast<std::size_t>(vocabulary)),
                      {.temperature = 0}, Key(0), 0);
}

}  // namespace

TEST_CASE("a text goes on alike wherever it is cut into prompt and rest") {
  const Vocabulary bytes = Vocabulary::of_bytes("\nabcdefg");
  TokenIds seen;
  const Generated whole = write(bytes, options_of({{"prompt", "bad"}, {"tokens", "30"}}),
                                mixing_reader(bytes.size(), &seen));
  REQUIRE(whole.tokens.size() == 30);
  CHECK(whole.prompt == bytes.encode("bad", "prompt"));
  CHECK(whole.text == "bad" + bytes.decode(whole.tokens));
  CHECK(bytes.decode(seen) == whole.text.substr(0, 32));  // every token but the last was read, once
  for (std::size_t cut = 3; cut < 33; ++cut) {
    const KeyValues rest{{"prompt", whole.text.substr(0, cut)}, {"tokens", to_text(33 - cut)}};
    CHECK(write(bytes, options_of(rest), mixing_reader(bytes.size())).text == whole.text);
  }
  Options other = options_of({{"prompt", "bad"}, {"tokens", "30"}});
  other.set("seed", "2");
  CHECK(write(bytes, other, mixing_reader(bytes.size())).text != whole.text);
}

TEST_CASE("prompts have their rules") {
  const Vocabulary words = Vocabulary::of_words("the cat\nthe dog", 9, "text");
  struct Case {
    const char *why, *prompt;
    TokenIds read, prompt_ids;
  };
  const std::int32_t the = words.encode("the", "")[0];
  const Case cases[] = {{"the last line goes on", "the", {the}, {the}},
                        {"unless it ends", "the\n", {the, 1}, {the, 1}},
                        {"an unknown word is <unk>", "the bird", {the, 0}, {the, 0}},
                        {"nothing stands for a line feed", "", {1}, {}},
                        {"and so do blanks among words", " \t", {1}, {}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    TokenIds seen;
    const Generated written = write(words, options_of({{"prompt", c.prompt}, {"tokens", "1"}}),
                                    mixing_reader(words.size(), &seen));
    CHECK(seen == c.read);
    CHECK(written.prompt == c.prompt_ids);
  }
  const Vocabulary bytes = Vocabulary::of_bytes("abc");
  const auto refusal = [&](const char* prompt) {
    return test::data_error_of([&] {
      static_cast<void>(
          write(bytes, options_of({{"prompt", prompt}}), mixing_reader(bytes.size())));
    });
  };
  CHECK(test::contains(refusal("bx"), "--prompt: byte 1 is 120"));
  CHECK(test::contains(refusal(""), "the line feed that stands for no --prompt: byte 0 is 10"));
}

TEST_CASE(
    "an LSTM writes what its forward pass over the whole text says, a Transformer over its last "
    "window") {
  const auto corpus = small_corpus();
  const std::int64_t size = corpus->vocabulary.size();
  const Options options =
      options_of({{"length", "8"}, {"tokens", "20"}, {"temperature", "0"}, {"prompt", "The "}});
  LoopSettings settings{.key = Key(1), .evaluation_plan = PrecisionPlan::fp32()};
  for (const bool recurrent : {true, false}) {
    CAPTURE(recurrent);
    RunState state;
    RecurrentNetwork lstm;
    WindowNetwork decoder;
    if (recurrent) {
      lstm = make_lstm({.layers = 2, .units = 12}, size, state.params, Key(2));
    } else {
      decoder = make_transformer({.layers = 2, .width = 12, .heads = 2, .length = 8}, size,
                                 state.params, Key(2));
    }
    for (const auto& entry : state.params.entries()) {
      for (float& w : state.params[entry.name].values()) w *= 8.0f;  // so that tokens differ
    }
    const Task task = recurrent ? stream_task(corpus, lstm, state.params, options)
                                : window_task(corpus, decoder, options);
    const Generated written = generate(task, state, settings);
    TokenIds text = written.prompt;
    REQUIRE(text.size() == 4);
    REQUIRE(written.tokens.size() == 20);
    for (const std::int32_t token : written.tokens) {
      CostLedger ledger;
      Pass pass{.params = state.params,
                .plan = PrecisionPlan::fp32(),
                .ledger = ledger,
                .key = Key(7),
                .mode = Pass::Mode::evaluate};
      std::vector<StreamState> states;
      if (recurrent) states = lstm.begin(1);
      const auto window =
          std::span(text).last(std::min<std::size_t>(text.size(), recurrent ? text.size() : 8));
      const Var logits = recurrent ? lstm.forward(pass, window, states) : decoder(pass, window, 1);
      CHECK(token == most_likely(pass.tape[logits], size));
      text.push_back(token);
    }
    CHECK(state.ledger.total_bit_ops() == 0);
    CHECK(state.evaluation_ledger.total_bit_ops() > 0);
  }
}
