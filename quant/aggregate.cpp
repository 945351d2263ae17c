#include "quant/aggregate.h"

#include <algorithm>
#include <atomic>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/parallel.h"
#include "quant/kernels/aggregate.h"
#include "quant/kernels/problem.h"

namespace ebb {
namespace {

/// The definition, one output at a time.
std::uint64_t reference(const Csr& a, std::span<const float> scale, const Operand& x,
                        Accumulator accumulator, Tensor& c) {
  const CodeMatrix& codes = x.codes();
  std::uint64_t events = 0;
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    const float row_scale = scale.empty() ? 1.0f : scale[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < x.cols(); ++j) {
      float chain = 0.0f;
      std::int64_t sum = 0;
      for (const std::int32_t k : a.row(i)) {
        if (x.is_float()) {
          chain += codes.value_at(codes.offset(k, j));
        } else if (accumulator.kind == Accumulator::Kind::saturate) {
          sum = kernels::narrow_add(sum, codes.code_at(codes.offset(k, j)), accumulator, events);
        } else {
          sum += codes.code_at(codes.offset(k, j));
        }
      }
      if (accumulator.kind == Accumulator::Kind::wrap)
        sum = kernels::wrapped(sum, accumulator.bits, events);
      float& out = c[i * x.cols() + j];
      if (x.is_float()) {
        out = chain * row_scale;
      } else {
        const Grid& grid = x.grid();
        const double total = static_cast<double>(grid.scale) * static_cast<double>(sum);
        const double offset = grid.stored_zero() * static_cast<double>(a.count(i));
        out = static_cast<float>(static_cast<double>(row_scale) * (total + offset));
      }
    }
  }
  return events;
}

void run_vectors(const Csr& a, std::span<const float> scale, const Operand& x, Simd simd,
                 Tensor& c) {
  const CodeMatrix& codes = x.codes();
  const bool integer = !x.is_float();
  const kernels::AggregateRun run{.starts = a.starts.data(),
                                  .columns = a.columns.data(),
                                  .row_scale = scale.empty() ? nullptr : scale.data(),
                                  .cols = x.cols(),
                                  .stride = codes.row_stride,
                                  .scale = integer ? static_cast<double>(x.grid().scale) : 1.0,
                                  .zero = integer ? x.grid().stored_zero() : 0.0,
                                  .out = c.data()};
  const kernels::AggregateKernels& kernel = kernels::select<kernels::AggregateKernels>(simd);
  const std::int64_t cost = (a.entries() / std::max<std::int64_t>(1, a.rows()) + 1) * x.cols();
  parallel_rows(a.rows(), cost, [&](std::int64_t first, std::int64_t last) {
    switch (codes.container) {
      case CodeMatrix::Container::int8:
        return kernel.int8(run, static_cast<const std::int8_t*>(codes.data), first, last);
      case CodeMatrix::Container::int16:
        return kernel.int16(run, static_cast<const std::int16_t*>(codes.data), first, last);
      case CodeMatrix::Container::float32:
        return kernel.float32(run, static_cast<const float*>(codes.data), first, last);
    }
  });
}

}  // namespace

Tensor aggregate(const Csr& a, std::span<const float> scale, const Operand& operand,
                 const Multiply& how, CostLedger& ledger) {
  require_valid(how.accumulator);
  const bool codes = operand.arithmetic() == Arithmetic::linear &&
                     (how.accumulator.is_exact() || how.accumulator.is_narrow());
  if (operand.is_encoded() && !codes && !how.count_only)
    require_float32_sums(how.accumulator, concat(how.site.name, ' ', how.product),
                         operand.format());
  const Operand x = codes ? operand : operand.decoded();
  require<ShapeError>(a.cols == x.rows(), "[", how.site.name, " ", how.product,
                      "] cannot sum rows of a ", x.rows(), " x ", x.cols(),
                      " matrix over neighbours numbered 0 .. ", a.cols - 1);
  require<ShapeError>(scale.empty() || static_cast<std::int64_t>(scale.size()) == a.rows(), "[",
                      how.site.name, " ", how.product, "] expected a scale for each of ", a.rows(),
                      " rows, got ", scale.size());
  require<ShapeError>(
      !x.codes().patches && (x.is_float() || x.granularity() == Granularity::per_tensor), "[",
      how.site.name, " ", how.product, "] sums over neighbours need a dense operand with one grid");
  require<ConfigError>(how.kernel.empty() || how.kernel == "reference", "[aggregate] no kernel '",
                       how.kernel, "'; there is 'reference'");
  const auto macs = static_cast<uint128>(a.entries()) * static_cast<uint128>(x.cols());
  if (how.count_only) {
    ledger.charge(how.site, how.product, macs, kAdjacency, x.format());
    return Tensor::shape_only({a.rows(), x.cols()});
  }
  Tensor c = Tensor::uninitialized({a.rows(), x.cols()});
  const bool narrow = !x.is_float() && how.accumulator.is_narrow();
  const Accumulator accumulator = narrow ? how.accumulator : Accumulator::exact();
  const bool in_vectors = how.kernel.empty() && accumulator.is_exact() && x.codes().col_stride == 1;
  std::uint64_t events = 0;
  if (in_vectors) {
    run_vectors(a, scale, x, how.simd, c);
  } else {
    events = reference(a, scale, x, accumulator, c);
  }
  ledger.charge(how.site, how.product, macs, kAdjacency, x.format(),
                narrow ? accumulator : Accumulator{});
  ledger.count_overflow(how.site, how.product, events);
  return c;
}

}  // namespace ebb
