#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tape.h"
#include "data/text.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"
#include "train/tasks/scorers.h"

namespace ebb::train {

/// --data, --unit, --vocabulary and --length, and the options of generation: what language models
/// have in common.
std::vector<OptionSpec> text_options();

/// --data opened as --unit says: words for folders and bytes for anything else when that is auto.
/// With --generate and without --data only the vocabulary that the run kept, if it did; what is
/// made of such a corpus writes texts and trains nothing.
/// @throws DataError if the text cannot be had or is not what it claims
Corpus open_corpus(const Options& options);

/// --vocabulary, or what its 0 stands for.
std::int64_t vocabulary_limit(const Options& options, TokenUnit unit);

/// Perplexity of words, bits per byte of bytes and byte pairs.
SumScore text_score(const Corpus& corpus);

/// What identifies a corpus, for the record.
KeyValues describe(const Corpus& corpus);

/// What a layer of a recurrent network carries from window to window.
struct StreamState {
  Tensor hidden{}, cell{};  ///< [streams, units]
};

/// A network that carries state through the text.
struct RecurrentNetwork {
  /// Logits [tokens, vocabulary] of tokens laid out by time, for as many streams as the states
  /// have; the states move on.
  std::function<Var(Pass&, std::span<const std::int32_t> tokens, std::vector<StreamState>& states)>
      forward{};
  /// All zero.
  std::function<std::vector<StreamState>(std::int64_t streams)> begin{};
};

/// A network that sees one window at a time: logits [rows * length, vocabulary] of tokens laid out
/// row by row, each row by itself.
using WindowNetwork =
    std::function<Var(Pass&, std::span<const std::int32_t> tokens, std::int64_t rows)>;

/// Prediction of the next token in --batch windows of --length tokens that begin at random places
/// of the text; an epoch is as many steps as read about as many tokens as the text has. An
/// evaluation cuts its text into consecutive windows and scores every token but the first of the
/// text once, from those before it in its window. A generated token sees the last --length tokens
/// before it, as one window. Examples are windows.
/// @throws DataError for a text shorter than a window
Task window_task(const std::shared_ptr<const Corpus>& corpus, const WindowNetwork& network,
                 const Options& options);

/// Prediction of the next token in --batch streams of the text, read side by side in windows of
/// --length: truncated backpropagation. Training carries the state from window to window within an
/// epoch as layer state of the store
/// ("carried0.hidden", "carried0.cell", ... by layer), so that a checkpoint holds it. An evaluation
/// reads its text in 10 streams from a state of zeros and scores every token but the first of the
/// text (ScoredStreams), a generation in one, token by token. Examples are tokens.
/// @throws ConfigError for --accumulate above 1, which would cut the streams; DataError for a text
/// too short for the streams
Task stream_task(const std::shared_ptr<const Corpus>& corpus, const RecurrentNetwork& network,
                 ParamStore& params, const Options& options);

}  // namespace ebb::train
