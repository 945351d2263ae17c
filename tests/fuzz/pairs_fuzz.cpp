#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"
#include "data/pairs.h"

using namespace ebb;

// What is accepted has words in both sentences and a label; words of words are the same words; rows
// have the lengths that they claim and hide at least one word.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    PairSet set;
    set.vocabulary = Vocabulary::of_words("a b c", 10, "words");
    for (const PairTexts& pair : parse_pairs({"input", text}, "").pairs) {
      if (pair.label < 0 || pair.label > 2 || words_of(pair.premise) != pair.premise) std::abort();
      TokenIds premise = set.vocabulary.encode(pair.premise, "premise"),
               hypothesis = set.vocabulary.encode(pair.hypothesis, "hypothesis");
      premise.pop_back();
      hypothesis.pop_back();
      if (premise.empty() || hypothesis.empty()) std::abort();
      PackedRows rows;
      append_row(rows, set, {premise, hypothesis, pair.label}, 8, false);
      if (rows.lengths[0] > 8 || rows.lengths[0] < 5 || rows.tokens.size() != rows.segments.size())
        std::abort();
      if (mask_words(rows, set, {Key(1)}).places.empty()) std::abort();
    }
  } catch (const DataError&) {
  }
  return 0;
}
