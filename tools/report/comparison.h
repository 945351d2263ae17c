#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/report/runs.h"
#include "tools/report/statistics.h"
#include "tools/report/table.h"

namespace ebb::report {

/// How a configuration looks in every figure.
struct Look {
  enum class Shape : std::uint8_t { circle, triangle, square, diamond, pentagon };
  std::size_t colour = 0;         ///< of palette(): the profile of its schedule
  Shape shape = Shape::pentagon;  ///< repeated, triangular, static, fp32, or another schedule
  std::size_t outline = 0;        ///< the place of its highest width among those of all, from above
};

/// What a score is shown in; in data it is as in the record.
struct Unit {
  double factor = 1;
  int decimals = 4;
  std::string suffix{}, difference_suffix{};
};
Unit unit_of(const std::string& metric);

/// Runs that differ in nothing but the seed.
struct Configuration {
  std::string id;                      ///< in the page: c0, c1, ...
  std::string name;                    ///< "CR, max-bits 6": unique
  std::string brief;                   ///< "CR", where look and other columns tell the rest
  std::vector<std::string> options{};  ///< texts of Comparison::options
  Look look{};
  std::vector<std::size_t> runs{};      ///< of the collection
  std::vector<std::size_t> finished{};  ///< those that all statistics are of
  std::string split{}, metric{};        ///< what its score is; "" without an evaluation
  bool lower_is_better = false;
  std::optional<double> score{}, score_deviation{};  ///< mean and sample standard deviation
  std::optional<double> loss{};                      ///< of training, mean
  std::optional<double> cost{};                      ///< relative, mean
  double seconds = 0;                                ///< of a run, mean; 0 without finished ones
  std::optional<std::size_t> baseline{};             ///< what it is compared with
  std::optional<PairedDifference> difference{};
  bool on_front = false;

  /// Whether it has a place among costs and scores.
  [[nodiscard]] bool comparable() const { return score && std::isfinite(*score) && cost; }
};

struct Comparison {
  Collection collection{};
  std::string title{};
  std::vector<std::string> options{};  ///< in which configurations differ
  std::string cost_reference{};        ///< of all costs: "8/8/8", and the model if it is not bits
  std::optional<KeyValues> baseline{};
  std::vector<Configuration> configurations{};  ///< by cost, those without last
  std::optional<Table> claims{};                ///< what was said of the results, with verdicts

  [[nodiscard]] const Run& run(std::size_t index) const { return collection.runs[index]; }
  /// Splits and metrics that configurations are scored by, in their order: one, unless programs or
  /// data are mixed.
  [[nodiscard]] std::vector<std::string> measures() const;
};
/// "test accuracy".
std::string measure_of(const Configuration& configuration);
/// What lies between the finished runs of two configurations with the same seeds; none without
/// such.
std::optional<PairedDifference> difference_between(const Comparison& comparison,
                                                   const Configuration& each,
                                                   const Configuration& baseline);
/// The score of a run: its last evaluation on the test set, or else on the validation set.
const train::EvalRow* score_of(const Run& run);

/// Folds runs into configurations and compares them. Without a baseline of their own, runs are
/// compared with those of `--schedule static`, if there are any.
Comparison compare(Collection collection, const std::string& title,
                   const std::optional<KeyValues>& baseline);

}  // namespace ebb::report
