#include "layers/probe.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/range.h"
#include "core/tensor.h"
#include "quant/aggregate.h"
#include "quant/depthwise.h"
#include "quant/formats/grid.h"
#include "quant/ledger.h"

namespace ebb {
namespace {

/// Bits of the narrowest two's complement register that holds the range.
int register_bits(const Range& sums) {
  int bits = 1;
  const auto holds = [&] {
    const double end = std::ldexp(1.0, bits - 1);
    return double{sums.min} >= -end && double{sums.max} <= end - 1;
  };
  while (!holds()) ++bits;
  return bits;
}

/// Whether sums of this range leave a register alone that wraps around. Its steps may pass the ends
/// on the way, so that nothing is known of one that saturates.
bool never_wraps(const Range& sums, Accumulator accumulator) {
  const double end = std::ldexp(1.0, accumulator.bits - 1);
  return accumulator.kind == Accumulator::Kind::wrap && double{sums.min} > -end &&
         double{sums.max} < end;
}

const Operand* in_format(const Operand& x, Format format) {
  const auto found = std::ranges::find(x.alternatives(), format, &Operand::format);
  return found == x.alternatives().end() ? nullptr : &*found;
}

std::int64_t outputs_of(const BatchedProduct& product) {
  if (product.strips.empty()) return product.a.rows() * product.b.cols();
  std::int64_t outputs = 0;
  for (const Strip& s : product.strips) outputs += s.rows * s.cols;
  return outputs;
}

/// Products of a site in another format, with room for their sums.
struct OtherProducts {
  const Multiply& how;
  const PatchGeometry* depthwise;
  std::vector<BatchedProduct> products{};
  Tensor sums{};
  std::int64_t outputs = 0;

  /// Does them; returns the accumulator's events.
  [[nodiscard]] uint128 run(Accumulator accumulator) {
    CostLedger ledger;
    Multiply by{
        .site = how.site, .product = how.product, .accumulator = accumulator, .simd = how.simd};
    const BatchedProduct& first = products.front();
    if (depthwise != nullptr && how.product == Product::grad_right) {
      depthwise_grad_weight_into(first.a, *depthwise, first.b, by, ledger, sums.data());
    } else if (depthwise != nullptr) {
      depthwise_into(first.a, *depthwise, first.b, by, ledger, first.out);
    } else if (products.size() == 1 && first.strips.empty()) {
      gemm_into(first.a, first.b, by, ledger, first.out);  // by all threads
    } else {
      gemm_batch(products, by, ledger);
    }
    return ledger.overflow_events();
  }
};

std::optional<OtherProducts> in_format(const SeenProducts& seen, Format format) {
  OtherProducts other{.how = seen.how, .depthwise = seen.depthwise};
  std::int64_t size = 0;
  for (const BatchedProduct& product : seen.products) {
    const Operand *const a = in_format(product.a, format), *const b = in_format(product.b, format);
    if (a == nullptr || b == nullptr) return std::nullopt;
    MutableMatrix out{nullptr, a->rows(), b->cols(), b->cols()};
    if (seen.depthwise != nullptr) {
      const PatchGeometry& g = *seen.depthwise;
      const bool weights = seen.how.product == Product::grad_right;
      out = {nullptr, weights ? g.taps_y * g.taps_x : g.rows(), g.channels, g.channels};
    }
    other.outputs += seen.depthwise != nullptr ? out.rows * out.cols : outputs_of(product);
    size += out.rows * out.cols;
    other.products.push_back({*a, *b, out, product.strips});
  }
  if (other.products.empty()) return std::nullopt;
  other.sums = Tensor::zeros({size});  // what no strip reaches is no sum, and moves no end
  float* at = other.sums.data();
  for (BatchedProduct& product : other.products) {
    product.out.data = at;
    at += product.out.rows * product.out.cols;
  }
  return other;
}

/// The row of a site's products in a format.
ProductSums& row_of(std::vector<ProductSums>& rows, const Multiply& how, Format format,
                    const std::vector<Accumulator>& accumulators) {
  const auto found = std::ranges::find_if(rows, [&](const ProductSums& row) {
    return row.site == how.site.name && row.product == how.product && row.format == format;
  });
  if (found != rows.end()) return *found;
  rows.push_back({.site = how.site.name, .product = how.product, .format = format});
  for (const Accumulator accumulator : accumulators)
    rows.back().overflows.emplace_back(accumulator, 0);
  return rows.back();
}

/// Adds sums that run(accumulator) does again, leaving them in `sums`.
template <class Run>
void add_sums(ProductSums& row, std::int64_t outputs, const Tensor& sums, Simd simd,
              const Run& run) {
  static_cast<void>(run(Accumulator::exact()));
  const Range range = measure_range(sums.matrix(), simd);
  row.sums += outputs;
  row.bits = std::max(row.bits, register_bits(range));
  for (auto& [accumulator, events] : row.overflows) {
    if (!never_wraps(range, accumulator)) events += run(accumulator);
  }
}

void add_products(std::vector<ProductSums>& rows, const SeenProducts& seen, const Probe& probe) {
  for (const Format format : probe.formats) {
    std::optional<OtherProducts> other = in_format(seen, format);
    if (!other || other->outputs == 0) continue;
    add_sums(row_of(rows, seen.how, format, probe.accumulators), other->outputs, other->sums,
             seen.how.simd, [&](Accumulator accumulator) { return other->run(accumulator); });
  }
}

void add_neighbours(std::vector<ProductSums>& rows, const SeenSum& seen, const Probe& probe) {
  for (const Format format : probe.formats) {
    const Operand* const x = in_format(seen.x, format);
    if (x == nullptr || seen.adjacency.rows() * x->cols() == 0) continue;
    Tensor sums;
    const auto run = [&](Accumulator accumulator) {
      CostLedger ledger;
      sums = aggregate(seen.adjacency, {}, *x,
                       {.site = seen.how.site,
                        .product = seen.how.product,
                        .accumulator = accumulator,
                        .simd = seen.how.simd},
                       ledger);
      return ledger.overflow_events();
    };
    add_sums(row_of(rows, seen.how, format, probe.accumulators), seen.adjacency.rows() * x->cols(),
             sums, seen.how.simd, run);
  }
}

}  // namespace

Observer measuring(Measurements& into, bool own, const Probe& probe) {
  Observer observer{.formats = probe.formats};
  observer.encoded = [&into, own](const EncodedMatrix& matrix) {
    if (matrix.own && !own) return;
    (matrix.own ? into.operands : into.probed)
        .push_back(measure_quality(matrix.x, matrix.operand, matrix.site, matrix.role));
  };
  if (probe.formats.empty()) return observer;
  observer.products = [&into, probe](const SeenProducts& seen) {
    add_products(into.sums, seen, probe);
  };
  observer.sum = [&into, probe](const SeenSum& seen) { add_neighbours(into.sums, seen, probe); };
  return observer;
}

}  // namespace ebb
