#include "core/hyperparameters.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace ebb {

double number_of(const NamedNumbers& numbers, std::string_view name) {
  return number_of(const_cast<NamedNumbers&>(numbers), name);
}

double& number_of(NamedNumbers& numbers, std::string_view name) {
  for (auto& [known, number] : numbers) {
    if (known == name) return number;
  }
  std::vector<std::string> names;
  for (const auto& [known, number] : numbers) names.push_back(known);
  throw ConfigError(unknown_word("number", name, names));
}

void check_hyperparameters(std::string_view owner, std::span<const Hyperparameter> table,
                           const NamedNumbers& numbers) {
  const auto same_name = [](const Hyperparameter& row, const NamedNumbers::value_type& number) {
    return row.name == number.first;
  };
  require<ConfigError>(std::ranges::equal(table, numbers, same_name), "[", owner, "] expected its ",
                       table.size(), " hyperparameters by name, in its order, got ", numbers.size(),
                       " others");
  for (std::size_t i = 0; i < table.size(); ++i) {
    require<ConfigError>(table[i].accepts(numbers[i].second), "[", owner, "] ", table[i].name,
                         ": expected ", table[i].expected, ", got ", numbers[i].second);
  }
}

NamedNumbers complete_hyperparameters(std::string_view owner, std::span<const Hyperparameter> table,
                                      const NamedNumbers& given) {
  NamedNumbers numbers;
  std::vector<std::string> names;
  for (const Hyperparameter& row : table) {
    numbers.emplace_back(row.name, row.default_value);
    names.emplace_back(row.name);
  }
  for (const auto& [name, number] : given) {
    const auto place = std::ranges::find(names, name);
    require<ConfigError>(place != names.end(), "[", owner, "] ",
                         unknown_word("hyperparameter", name, names));
    numbers[static_cast<std::size_t>(place - names.begin())].second = number;
  }
  check_hyperparameters(owner, table, numbers);
  return numbers;
}

}  // namespace ebb
