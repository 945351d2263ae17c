#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "data/ngram.h"

using namespace ebb;

namespace {

using Ids = std::vector<std::int32_t>;

Ids piece(const Ids& text, std::size_t first, std::size_t count) {
  const std::span<const std::int32_t> part = std::span(text).subspan(first, count);
  return {part.begin(), part.end()};
}

/// The definition, from sets and maps of whole n-grams.
double reference(const Ids& text, std::int64_t vocabulary, std::size_t order, const Ids& context,
                 std::int32_t token) {
  double p = 1 / static_cast<double>(vocabulary);
  for (std::size_t n = 1; n <= order && n <= context.size() + 1; ++n) {
    std::map<Ids, std::int64_t> counts;  // of n-grams
    if (n == order) {
      for (std::size_t i = 0; i + n <= text.size(); ++i) ++counts[piece(text, i, n)];
    } else {
      std::set<Ids> longer;
      for (std::size_t i = 0; i + n + 1 <= text.size(); ++i) longer.insert(piece(text, i, n + 1));
      for (const Ids& gram : longer) ++counts[Ids(gram.begin() + 1, gram.end())];
    }
    double once = 0, twice = 0, sum = 0, kinds = 0, count = 0;
    const Ids history(context.end() - static_cast<std::ptrdiff_t>(n - 1), context.end());
    for (const auto& [gram, c] : counts) {
      once += c == 1 ? 1 : 0;
      twice += c == 2 ? 1 : 0;
      if (!std::equal(history.begin(), history.end(), gram.begin())) continue;
      sum += static_cast<double>(c);
      kinds += 1;
      if (gram.back() == token) count = static_cast<double>(c);
    }
    if (kinds == 0) break;
    const double discount = once > 0 ? once / (once + 2 * twice) : 0.5;
    p = std::max(count - discount, 0.0) / sum + discount * kinds / sum * p;
  }
  return p;
}

Ids random_text(std::size_t size, std::uint64_t vocabulary, std::uint64_t seed) {
  Ids text;
  for (std::size_t i = 0; i < size; ++i) {  // the smaller an id, the more often it comes
    text.push_back(static_cast<std::int32_t>(
        Key(seed).below(2 * i, 1 + Key(seed).below(2 * i + 1, vocabulary))));
  }
  return text;
}

}  // namespace

TEST_CASE("an n-gram model gives the probabilities of its definition, and they sum to 1") {
  for (const int order : {1, 2, 3, 4}) {
    for (const std::uint64_t vocabulary : {2u, 5u, 30u}) {
      const Ids text =
          random_text(150, vocabulary, 7 * vocabulary + static_cast<std::uint64_t>(order));
      const auto size = static_cast<std::int64_t>(vocabulary) + 1;  // the last token never comes
      const NgramModel model(text, size, order);
      for (const Ids& context : {Ids{}, Ids{0}, Ids{1, 0}, Ids{1, 1, 1}, Ids{0, 1, 0, 1},
                                 Ids{static_cast<std::int32_t>(vocabulary), 0}}) {
        CAPTURE(order);
        CAPTURE(vocabulary);
        CAPTURE(context.size());
        double sum = 0;
        for (std::int32_t token = 0; token < static_cast<std::int32_t>(size); ++token) {
          const double p = model.probability(context, token);
          // Both round at most 8 times an order, relative to a p that sums of positive terms made.
          CHECK(p == doctest::Approx(
                         reference(text, size, static_cast<std::size_t>(order), context, token))
                         .epsilon(64 * 0x1p-53));
          CHECK(p > 0);
          sum += p;
        }
        CHECK(std::abs(sum - 1) < 1e-13);
      }
    }
  }
}

TEST_CASE("a bigram worked by hand: a b a b a c") {
  // Bigrams ab 2, ba 2, ac 1: D = 1 / (1 + 2 * 2). Tokens before a: b; before b: a; before c: a:
  // all once, so D = 1.
  const Ids text{0, 1, 0, 1, 0, 2};
  const NgramModel model(text, 4, 2);
  const double unigram =
      (0 + 1.0 * 3 / 4) / 3;  // everything of the unigrams goes to the uniform distribution
  CHECK(model.probability({}, 1) == doctest::Approx(unigram).epsilon(1e-14));
  const Ids a{0}, c{2};
  CHECK(model.probability(a, 1) ==
        doctest::Approx((2 - 0.2 + 0.2 * 2 * unigram) / 3).epsilon(1e-14));
  CHECK(model.probability(a, 3) == doctest::Approx(0.2 * 2 * unigram / 3).epsilon(1e-14));
  CHECK(model.probability(c, 1) ==
        doctest::Approx(unigram).epsilon(1e-14));  // nothing was seen after c
  const Ids two{0, 1};
  CHECK(model.loss(two) == doctest::Approx(-std::log(model.probability(a, 1))).epsilon(1e-14));
}

TEST_CASE("an n-gram model refuses what it cannot count") {
  const Ids text{0, 1, 2};
  CHECK_THROWS_AS(NgramModel(text, 3, 0), ConfigError);
  CHECK_THROWS_AS(NgramModel(text, 3, 9), ConfigError);
  CHECK_THROWS_AS(NgramModel(text, 0, 2), ConfigError);
  CHECK_THROWS_AS(NgramModel(text, std::int64_t{1} << 62, 2),
                  ConfigError);  // more pairs of n-gram and token than are numbered
  CHECK_THROWS_AS(NgramModel(text, 2, 2), DataError);
  CHECK_THROWS_AS(NgramModel(text, 3, 4), DataError);
  const NgramModel model(text, 3, 2);
  CHECK_THROWS_AS(static_cast<void>(model.probability(text, 3)), DataError);
  CHECK_THROWS_AS(static_cast<void>(model.loss(std::span(text).first(1))), DataError);
}
