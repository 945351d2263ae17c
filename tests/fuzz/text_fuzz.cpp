#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "data/text.h"

using namespace ebb;

// Bytes and byte pairs come back as they were. Words are refused or give ids of the vocabulary, and
// their decoded text gives the same ids again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Vocabulary bytes = Vocabulary::of_bytes(text);
    if (bytes.decode(bytes.encode(text, "input")) != text) std::abort();
    for (const std::string_view learnt_from : {text, text.substr(0, size / 2)}) {
      const Vocabulary pairs = Vocabulary::of_byte_pairs(learnt_from, 300);
      if (pairs.size() > 300 || pairs.decode(pairs.encode(text, "input")) != text) std::abort();
    }
    for (const std::int64_t limit : {3, 1000}) {
      const Vocabulary words = Vocabulary::of_words(text, limit, "input");
      const TokenIds ids = words.encode(text, "input");
      for (const std::int32_t id : ids) {
        if (id < 0 || id >= words.size() || words.size() > limit) std::abort();
      }
      if (words.encode(words.decode(ids), "decoded") != ids) std::abort();
    }
  } catch (const DataError&) {
  }
  return 0;
}
