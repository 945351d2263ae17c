#include "quant/product.h"

#include <array>

namespace ebb {

std::string to_text(Role role) {
  constexpr std::array names{"weight", "activation", "gradient"};
  return names[static_cast<std::size_t>(role)];
}

std::string to_text(Product product) {
  constexpr std::array names{"forward", "grad_left", "grad_right", "aggregate", "aggregate_grad"};
  return names[static_cast<std::size_t>(product)];
}

}  // namespace ebb
