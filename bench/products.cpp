#include "products.h"

#include <utility>

#include "layers/init.h"

namespace ebb::bench {

Tensor random_tensor(const Shape& shape, std::string_view name) {
  return normal_init(shape, 1.0, Key(1).fold(name));
}

RandomProduct::RandomProduct(const ProductShape& shape, Format format, Accumulator accumulator,
                             std::shared_ptr<const Multiplier> multiplier)
    : shape_(shape),
      accumulator_(accumulator),
      multiplier_(std::move(multiplier)),
      a_(random_tensor(
          shape.role == Product::grad_right ? Shape{shape.k, shape.m} : Shape{shape.m, shape.k},
          "a")),
      b_(random_tensor(
          shape.role == Product::forward ? Shape{shape.n, shape.k} : Shape{shape.k, shape.n}, "b")),
      c_(Tensor::zeros({shape.m, shape.n})) {
  const Operand::Options options{.simd = best_simd()};
  // Blocks lie along k, which scales of other formats do not vary along.
  const bool blocks = has_blocks(format);
  const Granularity of_a = !blocks                             ? Granularity::per_tensor
                           : shape.role == Product::grad_right ? Granularity::per_column
                                                               : Granularity::per_row;
  const Operand a(a_.matrix(), {format}, of_a, Key(1), options);
  const Granularity free_axis = shape.role == Product::forward ? Granularity::per_row
                                : shape.role == Product::grad_left || blocks
                                    ? Granularity::per_column
                                    : Granularity::per_tensor;
  const Operand b(b_.matrix(), {format}, free_axis, Key(1), options);
  left_ = shape.role == Product::grad_right ? a.transposed() : a;
  right_ = shape.role == Product::forward ? b.transposed() : b;
}

const Tensor& RandomProduct::operator()() {
  static const Site site{"bench"};
  gemm_into(*left_, *right_,
            {.site = site,
             .product = shape_.role,
             .accumulator = accumulator_,
             .simd = best_simd(),
             .multiplier = multiplier_.get()},
            ledger_,
            {.data = c_.data(), .rows = shape_.m, .cols = shape_.n, .row_stride = shape_.n});
  return c_;
}

}  // namespace ebb::bench
