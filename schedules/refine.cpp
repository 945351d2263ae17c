#include "schedules/refine.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/math.h"

namespace ebb {
namespace {

/// Counts of ranks 0 .. n-1, with the k-th smallest found in O(log n) (a Fenwick tree).
class Ranks {
 public:
  explicit Ranks(std::size_t n) : counts_(n + 1, 0), top_(std::bit_floor(n)) {}

  void add(std::size_t rank, std::int64_t count) {
    for (std::size_t i = rank + 1; i < counts_.size(); i += i & (~i + 1)) counts_[i] += count;
  }
  std::size_t kth(std::int64_t k) const {
    std::size_t at = 0;
    for (std::size_t step = top_; step > 0; step /= 2) {
      if (at + step < counts_.size() && counts_[at + step] <= k) {
        at += step;
        k -= counts_[at];
      }
    }
    return at;
  }

 private:
  std::vector<std::int64_t> counts_;
  std::size_t top_;
};

/// The median of 2 half + 1 values about each.
std::vector<double> running_median(const std::vector<double>& values, std::int64_t half) {
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  const std::int64_t n = std::ssize(values);
  const auto rank_at = [&](std::int64_t i) {
    const std::int64_t inside = i < 0 ? 0 : i < n ? i : 2 * (n - 1) - i;  // mirrored
    const double value = values[static_cast<std::size_t>(inside)];
    return static_cast<std::size_t>(std::ranges::lower_bound(sorted, value) - sorted.begin());
  };
  Ranks ranks(values.size());
  for (std::int64_t i = -half; i < half; ++i) ranks.add(rank_at(i), 1);
  std::vector<double> medians;
  medians.reserve(values.size());
  for (std::int64_t i = 0; i < n; ++i) {
    ranks.add(rank_at(i + half), 1);
    medians.push_back(sorted[ranks.kth(half)]);
    ranks.add(rank_at(i - half), -1);
  }
  return medians;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

RefinedSchedule refine(std::span<const double> norms, const Refinement& settings) {
  require<ConfigError>(settings.power == 1 || settings.power == 2,
                       "[refine] expected a power of 2 (SGD, 2-norms) or 1 (Adam, 1-norms), got ",
                       settings.power);
  require<ConfigError>(settings.window >= 0 && settings.window <= 1,
                       "[refine] expected a window from 0 to 1, a share of the run, got ",
                       settings.window);
  RefinedSchedule result;
  std::vector<double> kept;
  for (std::size_t t = 0; t < norms.size(); ++t) {
    require<DataError>(!(norms[t] < 0), "[refine] the norm of update ", t, " is ", norms[t],
                       "; a norm is not negative");
    if (std::isfinite(norms[t])) kept.push_back(norms[t]);
  }
  require<DataError>(kept.size() >= 3, "[refine] expected 3 finite norms or more, got ",
                     kept.size(), " of ", norms.size());
  if (kept.size() < norms.size())
    result.warnings.push_back(
        concat(norms.size() - kept.size(), " norms that are not finite are left out"));
  if (settings.extend) kept.push_back(kept.back());
  const auto half =
      static_cast<std::int64_t>(settings.window * static_cast<double>(kept.size()) / 2);
  std::vector<double> smooth = running_median(kept, std::min(half, std::ssize(kept) - 1));
  const double median = median_of(smooth), least = 0.01 * median;
  require<DataError>(median > 0,
                     "[refine] half of the norms are 0: a schedule cannot be made of "
                     "gradients that vanish");
  const auto small = std::ranges::count_if(smooth, [&](double g) { return g < least; });
  if (small > 0)
    result.warnings.push_back(concat(small, " of ", smooth.size(),
                                     " smoothed norms are below a hundredth of their median, ",
                                     least, ", and count as that"));
  double after = 0, most = 0;
  std::size_t peak = 0;
  std::vector<double>& rates = result.rates;
  rates.resize(smooth.size());
  for (std::size_t t = smooth.size(); t-- > 0;) {
    const double weight =
        1 / math::pow(std::max(smooth[t], least) / median, std::int64_t{settings.power});
    rates[t] = weight * after;
    after += weight;
    if (rates[t] >= most) {
      most = rates[t];
      peak = t;
    }
  }
  require<DataError>(peak < rates.size() - rates.size() / 20 || rates.size() < 20,
                     "[refine] the rates would peak at update ", peak, " of ", rates.size(),
                     ", in the last 5 % of the run: its gradients vanish at the end, as when the "
                     "training data are learnt by heart; refine a shorter run, or one with more "
                     "data");
  if (settings.extend) rates.pop_back();
  for (double& rate : rates) rate /= most;
  return result;
}

std::vector<double> shares_of(std::span<const double> rates, std::size_t shares) {
  require<ConfigError>(shares >= 1, "[refine] expected 1 point or more");
  if (shares >= rates.size()) return {rates.begin(), rates.end()};
  std::vector<double> means;
  for (std::size_t i = 0; i < shares; ++i) {
    const std::size_t begin = i * rates.size() / shares, end = (i + 1) * rates.size() / shares;
    double sum = 0;
    for (std::size_t t = begin; t < end; ++t) sum += rates[t];
    means.push_back(sum / static_cast<double>(end - begin));
  }
  return means;
}

}  // namespace ebb
