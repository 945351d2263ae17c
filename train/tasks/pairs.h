#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/tape.h"
#include "data/pairs.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// --task, --hypothesis-only, --language and --from: what programs of sentence pairs have beside
/// text_options().
std::vector<OptionSpec> pair_options();

/// --data opened. @throws DataError if the pairs cannot be had or are not what they claim
PairSet open_pairs(const Options& options);

/// A network over packed rows of tokens: logits [positions, outputs] at the chosen positions of all
/// tokens.
using PairNetwork =
    std::function<Var(Pass&, const PackedRows& rows, std::span<const std::int64_t> places)>;

/// Classification of pairs (at the first token of every row) by softmax cross-entropy, scored by
/// accuracy beside the majority class. Examples are pairs. Batches come from --seed and --batch as
/// those of images; the rows of a micro-batch are packed in the order of the batch.
/// @throws ConfigError for a --length without room for a word of each sentence
Task classify_task(const std::shared_ptr<const PairSet>& pairs, const PairNetwork& network,
                   const Options& options);

/// Prediction of masked words of the same rows (see mask_words), scored by the perplexity of these
/// words. Examples are masked words. Row r of step t draws from the key of (seed, t, r); an
/// evaluation hides the same words every time.
/// @throws ConfigError as classify_task
Task masked_task(const std::shared_ptr<const PairSet>& pairs, const PairNetwork& network,
                 const Options& options);

}  // namespace ebb::train
