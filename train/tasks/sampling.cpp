#include "train/tasks/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/math.h"

namespace ebb::train {

std::int32_t sample_token(std::span<const float> logits, const Sampling& sampling, Key key,
                          std::uint64_t place) {
  require<ShapeError>(!logits.empty(), "[sampling] expected the logits of a vocabulary, got none");
  require<ConfigError>(std::isfinite(sampling.temperature) && sampling.temperature >= 0,
                       "[sampling] expected a temperature of 0 and more, got ",
                       sampling.temperature);
  require<ConfigError>(sampling.top_k >= 0,
                       "[sampling] expected a top-k of 0 (all tokens) and more, got ",
                       sampling.top_k);
  for (std::size_t i = 0; i < logits.size(); ++i)
    require<NonFiniteError>(std::isfinite(logits[i]), "[sampling] the logit of token ", i, " is ",
                            logits[i]);
  const auto largest = std::ranges::max_element(logits);  // the first of equal ones
  if (sampling.temperature == 0) return static_cast<std::int32_t>(largest - logits.begin());

  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  if (sampling.top_k > 0 && sampling.top_k < static_cast<std::int64_t>(ids.size())) {
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
      return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
    };
    std::ranges::nth_element(ids, ids.begin() + sampling.top_k, likelier);
    ids.resize(static_cast<std::size_t>(sampling.top_k));
    std::ranges::sort(ids);
  }
  std::vector<double> until;  // running sums of the weights
  double sum = 0;
  for (const std::int32_t id : ids) {
    sum += math::exp((static_cast<double>(logit(id)) - static_cast<double>(*largest)) /
                     sampling.temperature);
    until.push_back(sum);
  }
  // u <= 1 - 2^-53, so the product rounds below the whole sum and there is always a token.
  const auto chosen = std::ranges::upper_bound(until, key.uniform(place) * sum);
  return ids[static_cast<std::size_t>(chosen - until.begin())];
}

}  // namespace ebb::train
