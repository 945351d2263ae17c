#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebb {

/// What an operand is to its layer.
enum class Role : std::uint8_t { weight, activation, gradient };
/// The three matrix products of training: a layer's, and those that give the gradients of its left
/// operand (the input) and of its right one (the weights); and the sums over neighbours of graph
/// networks, forward and backward.
enum class Product : std::uint8_t { forward, grad_left, grad_right, aggregate, aggregate_grad };
inline constexpr int kProducts = 5;
inline constexpr Product kAllProducts[kProducts] = {Product::forward, Product::grad_left,
                                                    Product::grad_right, Product::aggregate,
                                                    Product::aggregate_grad};

/// An operand of one of the three products of training.
struct ProductOperand {
  Role role;
  Product product;
};
inline constexpr ProductOperand kProductOperands[6] = {
    {Role::weight, Product::forward},     {Role::weight, Product::grad_left},
    {Role::activation, Product::forward}, {Role::activation, Product::grad_right},
    {Role::gradient, Product::grad_left}, {Role::gradient, Product::grad_right}};

std::string to_text(Role role);
std::string to_text(Product product);
/// Reads what to_text writes. @throws ConfigError for another text
Product parse_product(std::string_view text);

}  // namespace ebb
