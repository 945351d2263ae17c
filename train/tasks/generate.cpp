#include "train/tasks/generate.h"

#include <string>
#include <utility>

#include "core/key.h"
#include "core/text.h"
#include "train/tasks/sampling.h"

namespace ebb::train {
namespace {

constexpr const char* kGroup = "Generation";

TokenIds encode_prompt(const Vocabulary& vocabulary, const std::string& prompt) {
  TokenIds ids = vocabulary.encode(prompt, "--prompt");
  if (vocabulary.unit() == TokenUnit::word && !prompt.empty() && prompt.back() != '\n')
    ids.pop_back();  // the line goes on
  return ids;
}

}  // namespace

std::vector<OptionSpec> generation_options() {
  std::vector<OptionSpec> all{
      {.name = "generate",
       .value = "RUN",
       .help = "write a text with the checkpoint of a run directory instead of training"},
      {.name = "tokens",
       .value = "N",
       .kind = OptionSpec::Kind::integer,
       .fallback = "200",
       .help = "tokens to write",
       .expected = "1 to 1000000",
       .accepts = [](double n) { return n >= 1 && n <= 1e6; }},
      {.name = "prompt",
       .value = "TEXT",
       .help = "what the text begins with; none: the beginning of a line",
       .may_be_empty = true},
      {.name = "temperature",
       .value = "X",
       .kind = OptionSpec::Kind::real,
       .fallback = "1",
       .help = "softmax temperature; 0: always the most likely token",
       .expected = "0, or 1e-30 to 1e30",
       .accepts = [](double x) { return x == 0 || (x >= 1e-30 && x <= 1e30); }},
      OptionSpec::count("top-k", "0",
                        "draw among this many of the most likely tokens; 0: among all", 0)};
  all.back().conflict = [](const Options& options) {
    const bool draws = options.real("temperature") > 0;
    return draws ? std::string()
                 : concat("with --temperature ", options.text("temperature"),
                          ", where nothing is drawn");
  };
  for (OptionSpec& option : all) {
    option.group = kGroup;
    option.use = OptionSpec::Use::session;
    if (option.name != "generate") option.requires_option = "generate";
  }
  return all;
}

Generated generate_text(Pass& pass, const Vocabulary& vocabulary, const Options& options,
                        const TokenReader& read) {
  const Sampling sampling{.temperature = options.real("temperature"),
                          .top_k = options.integer("top-k")};
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("generation");
  Generated result{.prompt = encode_prompt(vocabulary, options.text("prompt"))};
  TokenIds next = result.prompt.empty()
                      ? vocabulary.encode("\n", "the line feed that stands for no --prompt")
                      : result.prompt;
  std::uint64_t place = next.size();
  for (std::int64_t left = options.integer("tokens"); left > 0; --left) {
    next = {sample_token(read(pass, next), sampling, key, place++)};
    result.tokens.push_back(next[0]);
  }
  TokenIds whole = result.prompt;
  whole.insert(whole.end(), result.tokens.begin(), result.tokens.end());
  result.text = vocabulary.decode(whole);
  return result;
}

}  // namespace ebb::train
