#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebb {

/// Names and their numbers, in order: hyperparameters, states of controllers, scores.
using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// The number of that name. @throws ConfigError naming the nearest there is
double number_of(const NamedNumbers& numbers, std::string_view name);
double& number_of(NamedNumbers& numbers, std::string_view name);

/// A number that an optimizer or a controller can be told: a row of its table.
struct Hyperparameter {
  std::string_view name;
  double default_value;       ///< its value if none is given
  std::string_view expected;  ///< which numbers are allowed, in words: "0 to below 1"
  bool (*accepts)(double);

  /// 0 <= x < 1: a momentum, a share.
  static constexpr Hyperparameter share(std::string_view name, double default_value) {
    return {name, default_value, "0 to below 1", [](double x) { return x >= 0 && x < 1; }};
  }
  /// Finite and 0 or more: a weight decay.
  static constexpr Hyperparameter amount(std::string_view name, double default_value) {
    return {name, default_value, "0 and more, and finite",
            [](double x) { return x >= 0 && x - x == 0; }};
  }
  /// Whole, 0 or more: a patience.
  static constexpr Hyperparameter whole(std::string_view name, double default_value) {
    return {name, default_value, "a whole number of 0 to 1e9", [](double x) {
              return x >= 0 && x <= 1e9 && x == static_cast<double>(static_cast<long long>(x));
            }};
  }
  /// Finite and above 0.
  static constexpr Hyperparameter positive(std::string_view name, double default_value) {
    return {name, default_value, "a number above 0, and finite",
            [](double x) { return x > 0 && x - x == 0; }};
  }
};

/// @throws ConfigError unless the numbers are those of the table, in its order, and allowed:
/// "[adam] beta1: expected 0 to below 1, got 1"
void check_hyperparameters(std::string_view owner, std::span<const Hyperparameter> table,
                           const NamedNumbers& numbers);

/// The table's numbers with those given in their place.
/// @throws ConfigError for a name that is not in the table, or a number that it does not allow
NamedNumbers complete_hyperparameters(std::string_view owner, std::span<const Hyperparameter> table,
                                      const NamedNumbers& given);

}  // namespace ebb
