#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ebb::report {

double mean(std::span<const double> values);
/// The sample standard deviation, sqrt(sum of squares / (n - 1)); none of fewer than two values.
std::optional<double> sample_deviation(std::span<const double> values);

/// The t for which a Student variable of so many degrees of freedom lies within -t .. t with the
/// given probability: student_t(0.95, 2) is 4.3027.
double student_t(double probability, std::int64_t freedom);

struct Interval {
  double low = 0, high = 0;
};

/// What lies between two configurations that ran with the same seeds.
struct PairedDifference {
  std::int64_t pairs = 0;
  double mean = 0;                     ///< of the differences, seed by seed
  std::optional<Interval> interval{};  ///< 95 %, of Student's t; none of fewer than two pairs
  /// Whether the interval excludes 0, so that chance alone explains the difference badly.
  [[nodiscard]] bool separates() const {
    return interval && (interval->low > 0 || interval->high < 0);
  }
};
/// `values` and `baseline` are of the same seeds in the same order, at least one.
PairedDifference paired_difference(std::span<const double> values,
                                   std::span<const double> baseline);

struct CostAndScore {
  double cost = 0, score = 0;
};
/// The points for which no other is at least as good in both and better in one, by ascending cost.
std::vector<std::size_t> pareto_front(std::span<const CostAndScore> points, bool lower_is_better);

/// The indices of a long curve to draw, ascending: first and last, and of each of `buckets` equal
/// parts the lowest and the highest value, and the first that is no number, where a line breaks.
/// All of them if there are no more than that.
std::vector<std::size_t> extremes(std::span<const double> values, std::size_t buckets);

}  // namespace ebb::report
