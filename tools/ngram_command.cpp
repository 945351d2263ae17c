#include "tools/ngram_command.h"

#include <ostream>
#include <span>

#include "core/error.h"
#include "core/math.h"
#include "core/text.h"
#include "data/ngram.h"
#include "data/text.h"
#include "train/app/tables.h"
#include "train/options/options.h"
#include "train/tasks/scorers.h"
#include "train/tasks/text.h"

namespace ebb::tools {

void ngram(const NgramOptions& options, std::ostream& out) {
  require<ConfigError>(options.order >= 1 && options.order <= 8,
                       "[n-gram] expected --order 1 .. 8, got ", options.order);
  train::Options of_models(train::text_options(), {{"data", options.data}, {"unit", options.unit}});
  if (!options.vocabulary.empty()) {
    of_models.set("vocabulary", options.vocabulary);
    of_models.given.emplace_back("vocabulary");
  }
  const Corpus corpus = train::open_corpus(of_models);
  const train::SumScore of_unit = train::text_score(corpus);
  const bool words = of_unit.metric.name == "perplexity";
  out << "order\tsplit\ttokens\tnats\tperplexity"  // those scored, all but the first of a text;
                                                   // nats
      << (words ? "" : concat('\t', of_unit.metric.name)) << '\n';  // and perplexity of one
  for (int order = 1; order <= static_cast<int>(options.order) && out; ++order) {
    const NgramModel model(corpus.train, corpus.vocabulary.size(), order);
    const auto score = [&](const char* split, const TokenIds& ids) {
      if (ids.empty()) return;
      const double nats = model.loss(ids);
      train::ScoreSums sums;
      sums.add(nats, std::ssize(ids) - 1);
      if (!words)
        sums.bytes = static_cast<double>(corpus.vocabulary.bytes(std::span(ids).subspan(1)));
      out << order << '\t' << split << '\t' << sums.examples << '\t' << train::format_fixed(nats, 4)
          << '\t' << train::format_fixed(math::exp(nats), 2)
          << (words ? "" : concat('\t', train::format_fixed(of_unit.of(sums), 4))) << '\n';
    };
    score("validation", corpus.validation);
    score("test", corpus.test);
  }
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[n-gram] cannot write the table: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
