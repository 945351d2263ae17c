#include "layers/matmul.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/axes.h"

namespace ebb {
namespace {

/// One side of a product: which axis is contracted, and whether its parts are transposed.
struct Side {
  const Quantized& matrix;
  int contracted;
  bool transposed;
};

/// `count` products of matrices that lie one after the other.
void multiply_each(const Pass& pass, const Site& site, Product product, std::int64_t count,
                   const Side& left, const Side& right, Tensor& out) {
  // Before they are cut: decoding takes the whole.
  const std::pair<Operand, Operand> kinds = same_kind(
      left.matrix.along(left.contracted, product), right.matrix.along(right.contracted, product));
  const Operand &a = kinds.first, &b = kinds.second;
  const auto part = [count](const Operand& x, std::int64_t i, bool transposed) {
    const std::int64_t rows = x.rows() / count;
    const Operand cut = count == 1 ? x : x.rows(i * rows, rows);
    return transposed ? cut.transposed() : cut;
  };
  std::vector<BatchedProduct> products;
  float* to = out.data();
  for (std::int64_t i = 0; i < count; ++i) {
    products.push_back({part(a, i, left.transposed), part(b, i, right.transposed), {}});
    BatchedProduct& last = products.back();
    last.out = {to, last.a.rows(), last.b.cols(), last.b.cols()};
    to += last.a.rows() * last.b.cols();
  }
  if (count == 1)
    return pass.multiply_into(products[0].a, products[0].b, site, product,
                              products[0].out);  // by all threads
  pass.multiply_all(products, site, product);
}

}  // namespace

Var matmul(Pass& pass, const Site& site, Var a, Var b) {
  const Shape left = pass.tape.shape(a), right = pass.tape.shape(b);
  const auto leading =
      left.extents().first(left.rank() < 2 ? 0 : static_cast<std::size_t>(left.rank() - 2));
  const bool shared = right.rank() == 2;  // then all rows of a are those of one matrix
  std::vector<std::int64_t> wanted = extents_of(left);
  if (left.rank() >= 2 && right.rank() >= 2) {
    wanted.back() = right[-1];
    wanted[wanted.size() - 2] = left[-1];
  }
  require<ShapeError>(
      left.rank() >= 2 && right.rank() >= 2 && right[-2] == left[-1] &&
          (shared || right == Shape(wanted)),
      "[", site.name,
      "] expected [..., m, k] times [..., k, n] of the same leading axes, or times [k, n], got ",
      left, " and ", right);
  std::int64_t count = 1;
  for (const std::int64_t extent : leading) count *= shared ? 1 : extent;

  const Site here = pass.visit(site);
  const Quantized qa = pass.quantize(a, here, Role::activation),
                  qb = pass.quantize(b, here, Role::activation, {.step = 1});
  std::vector<std::int64_t> extents = extents_of(left);
  extents.back() = right[-1];
  Tensor y = Tensor::uninitialized(Shape(extents));
  if (count > 0)
    multiply_each(pass, here, Product::forward, count, {qa, 1, false}, {qb, 0, false}, y);

  return pass.tape.record(std::move(y), {a, b}, [=, &pass](const Tensor& g, Adjoints& grads) {
    const Quantized qg = pass.quantize(g, here, Role::gradient);
    if (grads.wants(a)) {
      Tensor ga = Tensor::uninitialized(left);
      if (count > 0)
        multiply_each(pass, here, Product::grad_left, count, {qg, 1, false}, {qb, 1, true}, ga);
      grads.add(a, std::move(ga));
    }
    if (grads.wants(b)) {
      Tensor gb = Tensor::uninitialized(right);
      if (count > 0)
        multiply_each(pass, here, Product::grad_right, count, {qa, 0, true}, {qg, 0, false}, gb);
      grads.add(b, std::move(gb));
    }
  });
}

}  // namespace ebb
