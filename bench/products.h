#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "quant/gemm.h"

namespace ebb::bench {

/// One matrix product of training, c [m, n] = a [m, k] b [k, n]. The role says how layers store its
/// operands:
/// | forward      a is x [m, k],             b is w [n, k] transposed
/// | grad_left    a is g [m, k],             b is w [k, n]
/// | grad_right   a is x [k, m] transposed,  b is g [k, n]
struct ProductShape {
  std::string_view of;
  Product role = Product::grad_left;
  std::int64_t m = 0, n = 0, k = 0;

  [[nodiscard]] constexpr double operations() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

/// Plain row-major products that libraries are compared on, and the wide-K one that they are bad
/// at.
inline constexpr std::array kComparedProducts{
    ProductShape{"square", Product::grad_left, 512, 512, 512},
    ProductShape{"square", Product::grad_left, 1024, 1024, 1024},
    ProductShape{"square", Product::grad_left, 2048, 2048, 2048},
    ProductShape{"tall", Product::grad_left, 8192, 64, 576},
    ProductShape{"tall", Product::grad_left, 32768, 64, 144},
    ProductShape{"lstm", Product::grad_left, 2000, 650, 650},
    ProductShape{"wide-k", Product::grad_left, 144, 16, 32768},
    ProductShape{"wide-k", Product::grad_right, 144, 16, 32768}};

/// Forward products of one update as m, n, k; the other two roles follow (see in_role).
inline constexpr std::array kLayerProducts{
    ProductShape{"resnet20/stage1", Product::forward, 131072, 16, 144},
    ProductShape{"resnet20/stage2", Product::forward, 32768, 32, 288},
    ProductShape{"resnet20/stage3", Product::forward, 8192, 64, 576},
    ProductShape{"resnet18/stage1", Product::forward, 25088, 64, 576},
    ProductShape{"resnet18/stage2", Product::forward, 6272, 128, 1152},
    ProductShape{"resnet18/stage3", Product::forward, 1568, 256, 2304},
    ProductShape{"resnet18/stage4", Product::forward, 392, 512, 4608},
    ProductShape{"lstm800/gates", Product::forward, 20, 3200, 800},
    ProductShape{"lstm800/decoder", Product::forward, 700, 10000, 800},
    ProductShape{"transformer512/attention", Product::forward, 4096, 512, 512},
    ProductShape{"transformer512/feed-forward", Product::forward, 4096, 2048, 512}};

/// The product of another role of the layer whose forward product is given.
constexpr ProductShape in_role(const ProductShape& forward, Product role) {
  if (role == Product::grad_left) return {forward.of, role, forward.m, forward.k, forward.n};
  if (role == Product::grad_right) return {forward.of, role, forward.k, forward.n, forward.m};
  return forward;
}

/// A tensor of normal numbers.
Tensor random_tensor(const Shape& shape, std::string_view name);

/// A product with its operands, random and encoded: weights on a grid for each free index, the rest
/// on one grid.
class RandomProduct {
 public:
  RandomProduct(const ProductShape& shape, Format format, Accumulator accumulator = {},
                std::shared_ptr<const Multiplier> multiplier = nullptr);
  /// Into memory at hand, as other libraries' products go.
  const Tensor& operator()();

  /// As stored.
  [[nodiscard]] const Tensor& a() const { return a_; }
  [[nodiscard]] const Tensor& b() const { return b_; }

 private:
  ProductShape shape_;
  Accumulator accumulator_;
  std::shared_ptr<const Multiplier> multiplier_;
  Tensor a_, b_, c_;
  std::optional<Operand> left_, right_;
  CostLedger ledger_;
};

}  // namespace ebb::bench
