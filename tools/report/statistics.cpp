#include "tools/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/math.h"

namespace ebb::report {
namespace {

/// The probability that a Student variable lies within -t .. t, where t = sqrt(freedom) tan(pi u):
/// of whole degrees of freedom it is a finite sum. Source: Abramowitz and Stegun, 26.7.3
/// and 26.7.4.
double within(double u, std::int64_t freedom) {
  const double sine = math::sin_pi(u), cosine = math::cos_pi(u), square = cosine * cosine;
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1.0, sum = 0;
  for (std::int64_t k = odd ? 1 : 0; k <= freedom - 2; k += 2) {
    sum += term;
    term *= square * static_cast<double>(k + 1) / static_cast<double>(k + 2);
  }
  return odd ? 2 * (u + sine * sum / math::kPi) : sine * sum;
}

}  // namespace

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> sample_deviation(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const double middle = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - middle) * (value - middle);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double student_t(double probability, std::int64_t freedom) {
  double low = 0, high = 0.5;
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;  // neighbours
    (within(middle, freedom) < probability ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(freedom)) * math::sin_pi(high) / math::cos_pi(high);
}

PairedDifference paired_difference(std::span<const double> values,
                                   std::span<const double> baseline) {
  std::vector<double> differences(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) differences[i] = values[i] - baseline[i];
  PairedDifference result{.pairs = std::ssize(differences), .mean = mean(differences)};
  if (const std::optional<double> deviation = sample_deviation(differences)) {
    const auto pairs = static_cast<double>(result.pairs);
    const double half = student_t(0.95, result.pairs - 1) * *deviation / std::sqrt(pairs);
    result.interval = {result.mean - half, result.mean + half};
  }
  return result;
}

std::vector<std::size_t> pareto_front(std::span<const CostAndScore> points, bool lower_is_better) {
  const auto goodness = [&](std::size_t i) {
    return lower_is_better ? -points[i].score : points[i].score;
  };
  std::vector<std::size_t> order(points.size()), front;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return points[a].cost != points[b].cost ? points[a].cost < points[b].cost
                                            : goodness(a) > goodness(b);
  });
  for (const std::size_t i : order) {
    const bool twin = !front.empty() && points[i].cost == points[front.back()].cost &&
                      goodness(i) == goodness(front.back());
    if (front.empty() || goodness(i) > goodness(front.back()) || twin) front.push_back(i);
  }
  return front;
}

std::vector<std::size_t> extremes(std::span<const double> values, std::size_t buckets) {
  std::vector<std::size_t> kept;
  if (values.size() <= 2 * buckets) {
    kept.resize(values.size());
    std::iota(kept.begin(), kept.end(), std::size_t{0});
    return kept;
  }
  kept = {0, values.size() - 1};
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::size_t begin = bucket * values.size() / buckets;
    const std::size_t end = (bucket + 1) * values.size() / buckets;
    std::optional<std::size_t> lowest, highest, broken;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(values[i])) {
        if (!broken) broken = i;
        continue;
      }
      if (!lowest || values[i] < values[*lowest]) lowest = i;
      if (!highest || values[i] > values[*highest]) highest = i;
    }
    for (const auto& index : {lowest, highest, broken}) {
      if (index) kept.push_back(*index);
    }
  }
  std::ranges::sort(kept);
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

}  // namespace ebb::report
