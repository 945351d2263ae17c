#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "train/tasks/sampling.h"

using namespace ebb;
using namespace ebb::train;

TEST_CASE("a token is drawn from the logits as the definition says") {
  const std::vector<float> logits{1.0f, 3.0f, -2.0f, 3.0f, 0.5f};
  struct Case {
    const char* why;
    Sampling sampling;
    std::vector<std::int32_t> ids;  // that may be drawn, ascending
  };
  const Case cases[] = {{"all of them", {1.0, 0}, {0, 1, 2, 3, 4}},
                        {"a top-k above the vocabulary is all of them", {0.7, 99}, {0, 1, 2, 3, 4}},
                        {"the three largest", {2.0, 3}, {0, 1, 3}},
                        {"of equal logits the lower id", {1.0, 1}, {1}},
                        {"greedy takes the first of equal logits", {0.0, 0}, {1}},
                        {"a tiny temperature shares among the largest only", {1e-300, 0}, {1, 3}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    for (std::uint64_t place = 0; place < 2000; ++place) {
      // The oracle walks the weights with the standard library's exp, so draws this close to a
      // border say nothing.
      const double u = Key(5).uniform(place);
      double total = 0, until = 0, margin = 1;
      const auto weight = [&](std::int32_t id) {
        return c.sampling.temperature == 0
                   ? 1.0
                   : std::exp((static_cast<double>(logits[static_cast<std::size_t>(id)]) - 3.0) /
                              c.sampling.temperature);
      };
      for (const std::int32_t id : c.ids) total += weight(id);
      std::int32_t expected = -1;
      for (const std::int32_t id : c.ids) {
        until += weight(id) / total;
        margin = std::min(margin, std::abs(until - u));
        if (expected < 0 && u < until) expected = id;
      }
      if (margin > 1e-12) CHECK(sample_token(logits, c.sampling, Key(5), place) == expected);
    }
  }
}

TEST_CASE("draws follow the probabilities and depend on key and place alone") {
  const std::vector<float> logits{0.0f, std::log(3.0f)};  // 1/4 and 3/4
  constexpr int kDraws = 40'000;
  int ones = 0;
  for (std::uint64_t place = 0; place < kDraws; ++place)
    ones += sample_token(logits, {}, Key(9), place);
  // Five standard deviations of a binomial count: 5 sqrt(n p q).
  CHECK(std::abs(ones - 0.75 * kDraws) < 5 * std::sqrt(kDraws * 0.75 * 0.25));
  CHECK(sample_token(logits, {}, Key(9), 7) == sample_token(logits, {}, Key(9), 7));
}

TEST_CASE("what cannot be sampled is refused") {
  const std::vector<float> good{0.0f, 1.0f}, bad{0.0f, std::numeric_limits<float>::quiet_NaN()};
  const auto sample = [](const std::vector<float>& logits, const Sampling& sampling) {
    static_cast<void>(sample_token(logits, sampling, Key(1), 0));
  };
  CHECK_THROWS_AS(sample({}, {}), ShapeError);
  CHECK_THROWS_AS(sample(good, {.temperature = -0.1}), ConfigError);
  CHECK_THROWS_AS(sample(good, {.temperature = std::numeric_limits<double>::infinity()}),
                  ConfigError);
  CHECK_THROWS_AS(sample(good, {.top_k = -1}), ConfigError);
  CHECK_THROWS_WITH_AS(sample(bad, {}), doctest::Contains("the logit of token 1 is"),
                       NonFiniteError);
}
