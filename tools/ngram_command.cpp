#include "tools/ngram_command.h"

#include <ostream>

#include "core/error.h"
#include "core/math.h"
#include "core/text.h"
#include "data/ngram.h"
#include "data/text.h"
#include "train/app/report.h"
#include "train/app/tables.h"

namespace ebb::tools {

void ngram(const NgramOptions& options, std::ostream& out) {
  require<ConfigError>(options.order >= 1 && options.order <= 8,
                       "[n-gram] expected --order 1 .. 8, got ", options.order);
  const TokenUnit unit = options.words ? TokenUnit::word : TokenUnit::byte;
  const Corpus corpus = open_text(options.data, {.unit = unit, .vocabulary = options.vocabulary});
  out << "order\tsplit\ttokens\tnats\tperplexity\n";  // those scored, all but the first of a text;
                                                      // nats and perplexity of one
  for (int order = 1; order <= static_cast<int>(options.order) && out; ++order) {
    const NgramModel model(corpus.train, corpus.vocabulary.size(), order);
    const auto score = [&](const char* split, const TokenIds& ids) {
      if (ids.empty()) return;
      const double nats = model.loss(ids);
      out << order << '\t' << split << '\t' << ids.size() - 1 << '\t'
          << train::format_fixed(nats, 4) << '\t' << train::format_fixed(math::exp(nats), 2)
          << '\n';
    };
    score("validation", corpus.validation);
    score("test", corpus.test);
  }
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[n-gram] cannot write the table: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
