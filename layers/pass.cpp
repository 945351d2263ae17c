#include "layers/pass.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "quant/known_sites.h"

namespace ebb {
namespace {

bool per_channel(Role role, Scales scales) {
  return scales == Scales::by_role ? role == Role::weight : scales == Scales::per_channel;
}

/// Whether all products of a matrix take the same codes.
bool shares_codes(const Pass& pass, const Site& site, Role role, Scales scales) {
  const Numerics& numerics = pass.plan.at(site);
  return !per_channel(role, scales) && !numerics.is_split(role) &&
         !has_blocks(numerics.encoding(role).format) &&
         numerics.transforms == decltype(numerics.transforms){};
}

/// The range that one scale for a whole matrix goes over; none: its own, still to be measured.
struct ScaleRange {
  std::optional<Range> range;
  bool own = false;  ///< that of the very elements, so that none of them needs a look
};

/// `x` is looked at if its range is wanted and not known. @throws NonFiniteError naming the site
ScaleRange scale_range(Pass& pass, const ConstMatrix& x, const Site& site,
                       const QuantizeOptions& options) {
  const ParamId running = options.running_range;
  if (running.index >= 0 && pass.training()) {
    const Range now = options.range ? *options.range : measure_range(x, pass.simd);
    require<NonFiniteError>(now.finite(), "[", site.name, "] ", Role::activation,
                            ": a NaN or infinite value reached the layer");
    pass.effects.add_range(running, now);
    return {now, true};
  }
  if (running.index >= 0) {
    const Tensor& state = pass.params[running];
    if (state[2] != 0.0f) return {Range{state[0], state[0] + state[1]}, false};  // else untrained
  }
  return {options.range, options.range.has_value()};
}

/// Calls make(key of the site and role), naming both in what it throws.
template <class Make>
Operand encode_at(const Pass& pass, const Site& site, Role role, std::uint64_t step,
                  const Make& make) {
  try {
    const Key key = pass.key_of(site.name, site.use).fold(static_cast<std::uint64_t>(role));
    return make(step == 0 ? key : key.fold(step));
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(concat("[", site.name, "] ", role, ": ", error.what()));
  }
}

/// Shows an operand to the pass's observer, with those that `encode(encoding)` makes in its
/// formats.
template <class Encode>
Operand shown(const Pass& pass, const ConstMatrix& x, const Operand& own, const Site& site,
              Role role, const Encode& encode) {
  const Observer& observer = *pass.observer;
  const bool fp32 = own.format().is_fp32();
  if (observer.encoded && !fp32) observer.encoded({x, own, site, role, true});
  Encoding encoding = fp32 ? pass.plan.base.encoding(role) : own.encoding();
  std::vector<Operand> others;
  for (const Format format : observer.formats) {
    encoding.format = format;
    try {
      const Operand other = encode(encoding);
      if (observer.encoded) observer.encoded({x, other, site, role, false});
      if (other.arithmetic() == Arithmetic::linear) others.push_back(other.as_codes());
    } catch (const NonFiniteError&) {  // which is nothing to a pass that does not encode it so
    }
  }
  return others.empty() ? own : own.with_alternatives(std::move(others));
}

/// How scales lie: those of block formats go with `free`, the axis that is not contracted.
struct ScaleAxes {
  Granularity grid, free;
};

Operand encode_matrix(const Pass& pass, const ConstMatrix& x, const Site& site, Role role,
                      Product product, const ScaleAxes& axes, const ScaleRange& range,
                      std::uint64_t step, std::span<const Operand::Part> parts) {
  if (pass.observer != nullptr) parts = {};  // which may look at every code
  return encode_at(pass, site, role, step, [&](Key key) {
    const bool whole = axes.grid == Granularity::per_tensor;
    Operand::Options options{.simd = pass.simd,
                             .simulate = pass.plan.simulate,
                             .range = whole && range.range ? &*range.range : nullptr,
                             .own_range = whole && range.own,
                             .parts = parts};
    const auto encode = [&](const Encoding& encoding) {
      const Granularity granularity = has_blocks(encoding.format) ? axes.free : axes.grid;
      return Operand(x, encoding, granularity, key, options);
    };
    Operand operand = encode(pass.plan.encoding(site, role, product));
    if (pass.observer == nullptr) return operand;
    options.simulate = false;
    return shown(pass, x, operand, site, role, encode);
  });
}

}  // namespace

ConstMatrix Pass::matrix_of(Var x) const {
  return counting ? Tensor::shape_only(tape.shape(x)).matrix() : tape[x].matrix();
}

void Pass::check_plan() const {
  if (!plan.shared) require_known_sites(plan, ledger);
}

Key Pass::key_of(std::string_view place, std::uint64_t use) const {
  const Key own = key.fold(place);
  return use == 0 ? own : own.fold("use").fold(use);
}

Quantized Pass::quantize(const ConstMatrix& x, const Site& site, Role role,
                         const QuantizeOptions& options) {
  if (counting) return Quantized(Operand(x, {}, Granularity::per_tensor, key));
  const ScaleRange range = scale_range(*this, x, site, options);
  if (shares_codes(*this, site, role, options.scales))
    return Quantized(encode_matrix(*this, x, site, role, Product::forward,
                                   {Granularity::per_tensor, Granularity::per_row}, range,
                                   options.step, options.parts));
  const bool channels = per_channel(role, options.scales);
  return Quantized([this, x, site, role, range, channels, whole = options.whole,
                    step = options.step, parts = options.parts](int contracted, Product product) {
    const Granularity free = contracted == 1 ? Granularity::per_row : Granularity::per_column;
    const ScaleAxes axes{channels ? free : Granularity::per_tensor, free};
    if (plan.at(site).transform(product) == Transform::none)
      return encode_matrix(*this, x, site, role, product, axes, range, step, parts);
    require<ConfigError>(whole, "[", site.name, "] ", product,
                         ": only products of linear layers can be transformed; give the rule a "
                         "pattern that names those");
    const Tensor transformed = hadamard16(x, contracted);
    const Operand operand =
        encode_matrix(*this, transformed.matrix(), site, role, product, axes, {}, step, {});
    // The zeros that it was filled up with are not charged.
    return contracted == 0 ? operand.charged_for(x.rows)
                           : operand.transposed().charged_for(x.cols).transposed();
  });
}

Quantized Pass::quantize(Var x, const Site& site, Role role, QuantizeOptions options) {
  if (counting) return quantize(matrix_of(x), site, role, options);
  const Encoding encoding = plan.encoding(site, role);
  const bool shared = shares_codes(*this, site, role, options.scales);
  if (!per_channel(role, options.scales))
    options.range = options.range ? options.range : tape.range(x);
  // What becomes codes now need not stay in memory for them, nor get there.
  const LazyValue* const lazy =
      !shared || encoding.format.is_fp32() || observer != nullptr ? nullptr : tape.lazy(x);
  if (lazy != nullptr && lazy->ready) return quantize(*lazy->ready, site, role, options);
  const bool own_range = options.range && (training() || options.running_range.index < 0);
  if (lazy == nullptr || !own_range) return quantize(tape[x], site, role, options);
  const Shape& shape = tape.shape(x);
  const Range range = *scale_range(*this, {}, site, options).range;
  return Quantized(encode_at(*this, site, role, options.step, [&](Key draws) {
    return Operand({shape.size() / shape[-1], shape[-1], lazy->write}, encoding, range, draws,
                   {.simd = simd, .simulate = plan.simulate});
  }));
}

Multiply Pass::how(const Site& site, Product product, const RowsDone& rows_done) const {
  return {.site = site,
          .product = product,
          .accumulator = plan.at(site).accumulator(product),
          .simd = simd,
          .rows_done = rows_done,
          .multiplier = plan.multiplier.get(),
          .count_only = counting};
}

Tensor Pass::multiply(const Operand& a, const Operand& b, const Site& site, Product product) const {
  Tensor c = Tensor::uninitialized({a.rows(), b.cols()});
  multiply_into(a, b, site, product, {c.data(), a.rows(), b.cols(), b.cols()});
  return c;
}

void Pass::multiply_into(const Operand& a, const Operand& b, const Site& site, Product product,
                         const MutableMatrix& out, const RowsDone& rows_done,
                         const float* bias) const {
  Multiply by = how(site, product, rows_done);
  by.bias = bias;
  if (observer != nullptr) {
    const BatchedProduct one{a, b, out};
    show(SeenProducts{by, {&one, 1}});
  }
  gemm_into(a, b, by, ledger, out);
}

void Pass::multiply_all(std::span<const BatchedProduct> products, const Site& site, Product product,
                        const ProductDone& done) const {
  const Multiply by = how(site, product);
  show(SeenProducts{by, products});
  gemm_batch(products, by, ledger, done);
}

}  // namespace ebb
