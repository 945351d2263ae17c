#include "quant/gemm.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "quant/kernels/problem.h"
#include "quant/multiplier.h"

namespace ebb {
namespace {

using kernels::Kernel;
using kernels::Problem;

const Kernel& choose(const Problem& problem, const Multiply& how) {
  for (const Kernel& kernel : kernels::all_kernels()) {
    const bool wanted = how.kernel.empty()
                            ? kernel.simd <= how.simd
                            : kernel.name == how.kernel && kernel.simd <= best_simd();
    if (wanted && kernel.applies(problem)) return kernel;
  }
  std::vector<std::string> names;
  for (const std::string_view name : kernel_names()) names.emplace_back(name);
  throw ConfigError(concat("[gemm] no kernel '", how.kernel,
                           "' does this product on this machine; known: ", join_words(names)));
}

bool has_scales(const Operand& x) {
  return x.granularity() != Granularity::per_tensor || x.grid().scale != 1.0f;
}

/// Runs a kernel, behind which scales are brought in if it leaves them to that.
std::uint64_t run(const Kernel& kernel, const Problem& p) {
  const std::uint64_t events = kernel.run(p);
  if (!p.unscaled || !p.float_chain()) return events;
  parallel_rows(p.m(), p.n(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < p.n(); ++j) p.finish(i, j, static_cast<double>(p.c(i, j)));
    }
  });
  return events;
}

/// What kernels multiply, and how they sum it.
struct Prepared {
  Operand a, b;
  Accumulator accumulator = Accumulator::fp32();
  bool unscaled = false;
  const Multiplier* multiplier = nullptr;

  Prepared(const Operand& left, const Operand& right, const Multiply& how)
      : Prepared(same_kind(left, right)) {
    const Accumulator& asked = how.accumulator;
    multiplier = kernels::multiplier_for(left, right, how);
    // Of the formats as they came: what is decoded for want of a common kind takes no other.
    if (left.is_encoded() && right.is_encoded())
      accumulator = resolve(asked, left.format(), right.format());
    if (!a.is_encoded() || !b.is_encoded()) return;
    if (a.arithmetic() == Arithmetic::blocks) return;
    const bool integer_sums = accumulator.is_exact() || accumulator.is_narrow();
    if (a.arithmetic() == Arithmetic::linear && integer_sums) return;
    const bool numbers = has_codec(a.format()) && has_codec(b.format());
    a = numbers ? a.numbers() : a.decoded();
    b = numbers ? b.numbers() : b.decoded();
    unscaled = numbers && (has_scales(a) || has_scales(b));
  }
  [[nodiscard]] Problem problem(const Operand& l, const Operand& r,
                                const MutableMatrix& out) const {
    return {.a = l,
            .b = r,
            .accumulator = accumulator,
            .out = out,
            .unscaled = unscaled,
            .multiplier = multiplier};
  }

 private:
  explicit Prepared(std::pair<Operand, Operand> kinds)
      : a(std::move(kinds.first)), b(std::move(kinds.second)) {}
};

/// c = a b, or c^T = b^T a^T if that brings the patch matrix to the left.
template <class Then>
auto with_problem(const Prepared& product, const MutableMatrix& out, const Then& then) {
  if (!product.b.codes().patches) return then(product.problem(product.a, product.b, out));
  const Operand left = product.b.transposed(), right = product.a.transposed();
  Problem turned = product.problem(left, right, out);
  turned.transposed_out = turned.turned = true;
  return then(turned);
}

uint128 nominal_macs(const Operand& a, const Operand& b) {
  const auto charged = [](std::int64_t extent, std::int64_t instead) {
    return static_cast<uint128>(instead < 0 ? extent : instead);
  };
  const CodeMatrix &left = a.codes(), &right = b.codes();
  uint128 m = charged(a.rows(), left.charged_rows), n = charged(b.cols(), right.charged_cols),
          k = charged(a.cols(), left.charged_cols < 0 ? right.charged_rows : left.charged_cols);
  if (const auto& patches = a.codes().patches) {
    (a.codes().patches_transposed ? k : m) = static_cast<uint128>(patches->nominal_positions);
  } else if (const auto& gathered = b.codes().patches) {
    (b.codes().patches_transposed ? n : k) = static_cast<uint128>(gathered->nominal_positions);
  }
  return m * n * k;
}

void require_product(const Operand& a, const Operand& b, const Multiply& how,
                     const MutableMatrix& out) {
  require_valid(how.accumulator);
  require<ShapeError>(a.cols() == b.rows(), "[", how.site.name, " ", how.product,
                      "] cannot multiply ", a.rows(), " x ", a.cols(), " by ", b.rows(), " x ",
                      b.cols());
  require<ShapeError>(out.rows == a.rows() && out.cols == b.cols(), "[", how.site.name, " ",
                      how.product, "] the result is ", a.rows(), " x ", b.cols(), ", got room for ",
                      out.rows, " x ", out.cols);
  require<ShapeError>(!(a.codes().patches && b.codes().patches), "[", how.site.name,
                      "] only one operand can be a patch matrix");
  require<ShapeError>(
      a.granularity() != Granularity::per_column && b.granularity() != Granularity::per_row, "[",
      how.site.name, " ", how.product,
      "] a grid cannot vary along the contracted axis: encode the operand along its free axis");
}

uint128 nominal_macs(const BatchedProduct& product) {
  if (product.strips.empty()) return nominal_macs(product.a, product.b);
  uint128 macs = 0;
  for (const Strip& s : product.strips)
    macs += static_cast<uint128>(s.rows) * static_cast<uint128>(s.k() * s.cols);
  return macs;
}

void require_strips(const BatchedProduct& product, const Multiply& how) {
  std::int64_t row = 0;
  for (const Strip& s : product.strips) {
    const bool inside = s.first >= row && s.rows >= 1 && s.first + s.rows <= product.a.rows() &&
                        s.k_first >= 0 && s.k() >= 1 && s.k_last <= product.a.cols() &&
                        s.cols >= 1 && s.cols <= product.b.cols();
    const bool on_unit =
        s.k_first % kStripUnit == 0 && (s.k_last % kStripUnit == 0 || s.k_last == product.a.cols());
    require<ShapeError>(inside && on_unit, "[", how.site.name, " ", how.product, "] rows ", s.first,
                        " .. ", s.first + s.rows, " over ", s.k_first, " .. ", s.k_last, " with ",
                        s.cols, " columns are no strip of ", product.a.rows(), " x ",
                        product.a.cols(), " by ", product.b.cols(), " that follows row ", row);
    row = s.first + s.rows;
  }
  require<ShapeError>(
      product.strips.empty() || !(product.a.codes().patches || product.b.codes().patches), "[",
      how.site.name, "] patch matrices have no strips");
}

/// The scales of a block format's operand, which is contracted down its rows (0) or along them.
uint128 scale_bits(const Operand& x, int axis) {
  const Format format = x.format();
  if (!has_blocks(format)) return 0;
  const BlockExtents extents = BlockExtents::along(format, axis);
  const auto blocks = [](std::int64_t length, std::int64_t extent) {
    return static_cast<uint128>((length + extent - 1) / extent);
  };
  return blocks(x.rows(), extents.rows) * blocks(x.cols(), extents.cols) *
         static_cast<uint128>(scale_width(format));
}

void charge(const Operand& a, const Operand& b, uint128 macs, const Multiply& how,
            CostLedger& ledger) {
  ledger.charge(how.site, how.product, macs, a.format(), b.format(), how.accumulator);
  ledger.count_scales(how.site, how.product, scale_bits(a, 1) + scale_bits(b, 0));
}

std::uint64_t run_batched(const BatchedProduct& product, const Multiply& how) {
  if (how.count_only) {
    product.out.fill(0.0f);
    return 0;
  }
  const Prepared prepared(product.a, product.b, how);
  const Operand &a = prepared.a, &b = prepared.b;
  if (product.strips.empty())
    return with_problem(prepared, product.out,
                        [&](const Problem& p) { return run(choose(p, how), p); });
  Problem whole = prepared.problem(a, b, product.out);
  whole.strips = product.strips;
  if (const Kernel& kernel = choose(whole, how); kernel.dense_codes) return kernel.run(whole);
  std::uint64_t events = 0;
  for (const Strip& s : product.strips) {
    const Operand left = a.rows(s.first, s.rows).columns(s.k_first, s.k()),
                  right = b.rows(s.k_first, s.k()).columns(0, s.cols);
    const MutableMatrix& out = product.out;
    const Problem part = prepared.problem(
        left, right, {out.data + s.first * out.row_stride, s.rows, s.cols, out.row_stride});
    events += run(choose(part, how), part);
  }
  return events;
}

}  // namespace

const Multiplier* kernels::multiplier_for(const Operand& a, const Operand& b, const Multiply& how) {
  if (how.multiplier == nullptr || !a.is_encoded() || !b.is_encoded()) return nullptr;
  require_multipliable(a.format(), b.format(), how.accumulator);
  return how.multiplier;
}

std::pair<Operand, Operand> same_kind(const Operand& a, const Operand& b) {
  const Arithmetic kind = a.arithmetic();
  if (kind == b.arithmetic() && (kind == Arithmetic::linear || kind == Arithmetic::blocks))
    return {a, b};
  const auto has_numbers = [](const Operand& x) {
    return x.is_encoded() && has_codec(x.format()) && !has_blocks(x.format());
  };
  if (has_numbers(a) && has_numbers(b)) return {a.numbers(), b.numbers()};
  return {a.decoded(), b.decoded()};
}

void MutableMatrix::fill(float value) const {
  if (data == nullptr) return;
  parallel_rows(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) std::fill_n(data + i * row_stride, cols, value);
  });
}

void add_bias(const MutableMatrix& y, const float* bias) {
  parallel_rows(y.rows, y.cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < y.cols; ++j) y.data[i * y.row_stride + j] += bias[j];
    }
  });
}

void gemm_into(const Operand& a, const Operand& b, const Multiply& how, CostLedger& ledger,
               const MutableMatrix& out) {
  require_product(a, b, how, out);
  if (how.count_only) {
    out.fill(0.0f);
    charge(a, b, nominal_macs(a, b), how, ledger);
    if (how.rows_done && out.data != nullptr)
      parallel_for(out.rows, how.rows_done, kRowsDone, kRowsDone);
    return;
  }
  Problem::Report report{how.rows_done};
  bool complete = true;  // as the kernel leaves it
  const std::uint64_t events = with_problem(Prepared(a, b, how), out, [&](Problem p) {
    const Kernel& kernel = choose(p, how);
    if (kernel.dense_codes && !p.a.codes().patches) p.bias = how.bias;
    complete = p.bias == how.bias && !p.unscaled;
    if (how.rows_done && complete) p.report = &report;
    const std::uint64_t counted = run(kernel, p);
    complete = p.bias == how.bias;
    return counted;
  });
  if (!complete) add_bias(out, how.bias);
  charge(a, b, nominal_macs(a, b), how, ledger);
  ledger.count_overflow(how.site, how.product, events);
  if (how.rows_done && !report.used) parallel_for(out.rows, how.rows_done, kRowsDone, kRowsDone);
}

void gemm_batch(std::span<const BatchedProduct> products, const Multiply& how, CostLedger& ledger,
                const ProductDone& done) {
  require<ConfigError>(
      how.bias == nullptr && !how.rows_done, "[", how.site.name,
      "] products of a batch take no bias and report no rows; use gemm_into for one that should");
  for (const BatchedProduct& product : products) {
    require_product(product.a, product.b, how, product.out);
    require_strips(product, how);
  }
  std::uint64_t events = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : events)
  for (std::size_t i = 0; i < products.size(); ++i) {
    events += run_batched(products[i], how);
    if (done) done(i);
  }
  for (const BatchedProduct& product : products)
    charge(product.a, product.b, nominal_macs(product), how, ledger);
  ledger.count_overflow(how.site, how.product, events);
}

Tensor gemm(const Operand& a, const Operand& b, const Multiply& how, CostLedger& ledger) {
  Tensor c = Tensor::uninitialized({a.rows(), b.cols()});
  gemm_into(a, b, how, ledger, {c.data(), a.rows(), b.cols(), b.cols()});
  return c;
}

std::span<const std::string_view> kernel_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> list;
    for (const Kernel& kernel : kernels::all_kernels()) {
      if (list.empty() || list.back() != kernel.name) list.push_back(kernel.name);
    }
    return list;
  }();
  return names;
}

std::string_view choose_kernel(const Operand& a, const Operand& b, const Multiply& how) {
  return with_problem(Prepared(a, b, how), MutableMatrix{},
                      [&](const Problem& p) { return choose(p, how).name; });
}

}  // namespace ebb
