#pragma once

#include <cstdint>
#include <string>

namespace ebb {

/// What an operand is to its layer.
enum class Role : std::uint8_t { weight, activation, gradient };
/// The three matrix products of training, and the sums over neighbours of graph networks, forward
/// and backward.
enum class Product : std::uint8_t { forward, grad_input, grad_weight, aggregate, aggregate_grad };
inline constexpr int kProducts = 5;
inline constexpr Product kAllProducts[kProducts] = {Product::forward, Product::grad_input,
                                                    Product::grad_weight, Product::aggregate,
                                                    Product::aggregate_grad};

std::string to_text(Role role);
std::string to_text(Product product);

}  // namespace ebb
