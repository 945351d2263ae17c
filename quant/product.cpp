#include "quant/product.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/text.h"

namespace ebb {

std::string to_text(Role role) {
  constexpr std::array names{"weight", "activation", "gradient"};
  return names[static_cast<std::size_t>(role)];
}

std::string to_text(Product product) {
  constexpr std::array names{"forward", "grad_left", "grad_right", "aggregate", "aggregate_grad"};
  return names[static_cast<std::size_t>(product)];
}

Product parse_product(std::string_view text) {
  std::vector<std::string> names;
  for (const Product product : kAllProducts) names.push_back(to_text(product));
  const auto found = std::ranges::find(names, text);
  require<ConfigError>(found != names.end(), unknown_word("product", text, names));
  return kAllProducts[found - names.begin()];
}

}  // namespace ebb
