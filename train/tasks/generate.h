#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/text.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// --generate, --tokens, --prompt, --temperature and --top-k: what programs that train language
/// models have beside.
std::vector<OptionSpec> generation_options();

/// Reads tokens on from those of the calls before, and gives the logits of the token after the last
/// of them: one for every token of the vocabulary. Its products are done and charged as the pass
/// says.
using TokenReader =
    std::function<std::vector<float>(Pass& pass, std::span<const std::int32_t> tokens)>;

/// Has a model write --tokens tokens on from --prompt. Token number i of the whole text, the
/// prompt's included, is drawn by sample_token at place i of a key of --seed, so that a text goes
/// on alike wherever it is cut into prompt and rest. The last word of a prompt ends no line unless
/// a line feed follows; a prompt without tokens is read as a line feed, of which the text shows
/// nothing.
/// @throws DataError for a prompt that the vocabulary cannot encode; NonFiniteError for logits that
/// are not finite
Generated generate_text(Pass& pass, const Vocabulary& vocabulary, const Options& options,
                        const TokenReader& read);

}  // namespace ebb::train
