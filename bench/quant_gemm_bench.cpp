// Products of encoded operands, packing and compensation of zero points included.
#include "rows.h"

namespace {

using namespace ebb;
using bench::ProductShape;

void add(const ProductShape& shape, Format format) {
  const std::string name = concat(to_text(format), '/', shape.of, '/', to_text(shape.role), '/',
                                  shape.m, 'x', shape.n, 'x', shape.k);
  bench::add_row(name, [=](benchmark::State& state) {
    bench::RandomProduct product(shape, format);
    const double elements = static_cast<double>(shape.m * shape.k + shape.k * shape.n);
    bench::Work work{.bytes = elements * (format.is_fp32()   ? 4.0
                                          : format.width > 8 ? 2.0
                                                             : 1.0) +
                              4.0 * static_cast<double>(shape.m * shape.n)};
    (format.is_fp32() ? work.float_ops : work.int8_ops) = shape.operations();
    bench::time_row(state, work, [&] {
      return bench::seconds_of([&] { benchmark::DoNotOptimize(product().data()); });
    });
  });
}

const bool registered = [] {
  for (const Format format : {Format::integer(8), Format::fp32()}) {
    for (const ProductShape& shape : bench::kComparedProducts) add(shape, format);
    for (const ProductShape& shape : bench::kLayerProducts) {
      for (const Product role : {Product::forward, Product::grad_left, Product::grad_right})
        add(bench::in_role(shape, role), format);
    }
  }
  for (const int bits : {1, 2, 4, 12, 16}) add(bench::kComparedProducts[1], Format::integer(bits));
  return true;
}();

}  // namespace
