#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace ebb::tools {

struct NgramOptions {
  std::string data = "embedded";  ///< data, unit and vocabulary are as of the language models
  std::string unit = "auto";
  std::string vocabulary = {};  ///< "": not given
  std::int64_t order = 3;
};

/// Scores a text by n-gram models with Kneser-Ney smoothing of orders 1 .. order. Writes TSV:
/// order, split ("validation", "test" if there is one), tokens that were scored, mean nats per
/// token, perplexity, and of bytes and byte pairs the score of the models, bits per byte.
/// @throws ConfigError for options that are wrong; DataError if the text cannot be had or is not
/// what it claims, or `out` cannot be written
void ngram(const NgramOptions& options, std::ostream& out);

}  // namespace ebb::tools
