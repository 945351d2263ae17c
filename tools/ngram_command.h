#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace ebb::tools {

struct NgramOptions {
  std::string data = "embedded";  ///< as --data of the language models
  bool words = false;             ///< tokens are words instead of bytes
  std::int64_t vocabulary = 50'000;
  std::int64_t order = 3;
};

/// Scores a text by n-gram models with Kneser-Ney smoothing of orders 1 .. order. Writes TSV:
/// order, split ("validation", "test" if there is one), mean nats a token, and perplexity.
/// @throws ConfigError for options that are wrong; DataError if the text cannot be had or is not
/// what it claims, or `out` cannot be written
void ngram(const NgramOptions& options, std::ostream& out);

}  // namespace ebb::tools
