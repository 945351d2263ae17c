#include "layers/pass.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/math.h"
#include "core/sums.h"
#include "quant/known_sites.h"

namespace ebb {
namespace {

constexpr float kRangeMomentum = 0.9f;

double log10_ratio(double a, double b) { return (math::log(a) - math::log(b)) / math::log(10.0); }

OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role) {
  OperandQuality quality{site.name,
                         role,
                         operand.format(),
                         x.rows * x.cols,
                         0,
                         0,
                         std::numeric_limits<double>::infinity()};
  std::int64_t ends = 0, zeros = 0;
  std::vector<double> signal(static_cast<std::size_t>(x.rows)), noise(signal.size());
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const double value = x(i, j), kept = operand.value(i, j), error = value - kept;
      const Grid& grid = operand.grid(operand.granularity() == Granularity::per_column ? j : i);
      const double scale = grid.scale,
                   lowest = scale * grid.low() + static_cast<double>(grid.offset),
                   highest = lowest + scale * (grid.high() - grid.low());
      ends += kept <= lowest + 0.5 * scale || kept >= highest - 0.5 * scale ? 1 : 0;
      zeros += kept >= -0.5 * scale && kept < 0.5 * scale ? 1 : 0;
      signal[static_cast<std::size_t>(i)] += value * value;
      noise[static_cast<std::size_t>(i)] += error * error;
    }
  }
  const double count = static_cast<double>(std::max<std::int64_t>(1, quality.elements));
  quality.at_ends = static_cast<double>(ends) / count;
  quality.zeros = static_cast<double>(zeros) / count;
  const double lost = tree_sum(noise);
  if (lost > 0) quality.sqnr_db = 10.0 * log10_ratio(tree_sum(signal), lost);
  return quality;
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

Operand encode_matrix(const Pass& pass, const ConstMatrix& x, const Site& site, Role role,
                      Granularity granularity, const Range* range, bool own_range,
                      std::uint64_t step = 0, std::span<const Operand::Part> parts = {}) {
  if (pass.quality != nullptr) parts = {};  // which looks at every code
  return encode_at(pass, site, role, step, [&](Key key) {
    const Encoding encoding = pass.plan.encoding(site, role);
    Operand operand(x, encoding, granularity, key,
                    {.simd = pass.simd,
                     .simulate = pass.plan.simulate,
                     .range = range,
                     .own_range = own_range,
                     .parts = parts});
    if (pass.quality != nullptr && !encoding.format.is_fp32())
      pass.quality->push_back(measure_quality(x, operand, site, role));
    return operand;
  });
}

/// Moves the running range [minimum, width, updates] of a layer's input.
void move(Tensor& state, const Range& now) {
  const float width = now.max - now.min;
  const bool first = state[2] == 0.0f;
  const float old_share = kRangeMomentum, new_share = 1.0f - kRangeMomentum;
  state[0] = first ? now.min : old_share * state[0] + new_share * now.min;
  state[1] = first ? width : old_share * state[1] + new_share * width;
  state[2] = std::min(state[2] + 1.0f, 16777216.0f);  // a float counts no further
}

}  // namespace

void Pass::check_plan() const {
  if (!plan.shared) require_known_sites(plan, ledger);
}

Operand Pass::encode(const ConstMatrix& x, const Site& site, Role role, Granularity granularity,
                     std::uint64_t step, std::span<const Operand::Part> parts) const {
  return encode_matrix(*this, x, site, role, granularity, nullptr, false, step, parts);
}

Operand Pass::encode_known(const ConstMatrix& x, const Site& site, Role role, const Range& range,
                           std::span<const Operand::Part> parts) const {
  return encode_matrix(*this, x, site, role, Granularity::per_tensor, &range, true, 0, parts);
}

Operand Pass::encode_activation(const ConstMatrix& x, const Site& site, ParamId range,
                                std::uint64_t step) const {
  const Tensor& state = params[range];
  if (training() || state[2] == 0.0f)
    return encode(x, site, Role::activation, Granularity::per_tensor, step);  // or never trained
  const Range running{state[0], state[0] + state[1]};
  return encode_matrix(*this, x, site, Role::activation, Granularity::per_tensor, &running, false,
                       step);
}

Key Pass::key_of(std::string_view place, std::uint64_t use) const {
  const Key own = key.fold(place);
  return use == 0 ? own : own.fold("use").fold(use);
}

void Pass::move_range(const Site& site, ParamId range, const Range& now) {
  require<NonFiniteError>(now.finite(), "[", site.name, "] ", Role::activation,
                          ": a NaN or infinite value reached the layer");
  Tensor& state = params[range];
  const auto [at, first] = visits.ranges.try_emplace(range.index, Visits::MovedRange{state, now});
  auto& [before, seen] = at->second;
  if (!first) {
    seen = {std::min(seen.min, now.min), std::max(seen.max, now.max)};
    state = before;
  }
  move(state, seen);
}

Operand Pass::encode_gradient(const Tensor& g, const Site& site, const Statistics& facts) const {
  return facts.range ? encode_known(g.matrix(), site, Role::gradient, *facts.range)
                     : encode(g.matrix(), site, Role::gradient);
}

Operand Pass::encode_input(Var x, const Site& site, ParamId range_id) {
  if (!training()) return encode_activation(tape[x].matrix(), site, range_id, 0);
  const std::optional<Range>& known = tape.facts(x).range;
  const Range now = known ? *known : measure_range(tape[x].matrix(), simd);
  move_range(site, range_id, now);
  const Encoding encoding = plan.encoding(site, Role::activation);
  if (encoding.format.is_fp32()) tape.keep(x);  // its operand refers to it
  if (const RowWriter* const rows = tape.deferred(x);
      rows != nullptr && !encoding.format.is_fp32() && quality == nullptr) {
    const Shape& shape = tape.shape(x);
    return encode_at(*this, site, Role::activation, 0, [&](Key draws) {
      return Operand({shape.size() / shape[-1], shape[-1], *rows}, encoding, now, draws,
                     {.simd = simd, .simulate = plan.simulate});
    });
  }
  return encode_matrix(*this, tape[x].matrix(), site, Role::activation, Granularity::per_tensor,
                       &now, true);
}

Multiply Pass::how(const Site& site, Product product, const RowsDone& rows_done) const {
  return {.site = site,
          .product = product,
          .accumulator = plan.accumulator,
          .simd = simd,
          .rows_done = rows_done};
}

Tensor Pass::multiply(const Operand& a, const Operand& b, const Site& site, Product product) const {
  return gemm(a, b, how(site, product), ledger);
}

void Pass::multiply_into(const Operand& a, const Operand& b, const Site& site, Product product,
                         const MutableMatrix& out, const RowsDone& rows_done) const {
  gemm_into(a, b, how(site, product, rows_done), ledger, out);
}

void Pass::multiply_all(std::span<const BatchedProduct> products, const Site& site, Product product,
                        const ProductDone& done) const {
  gemm_batch(products, how(site, product), ledger, done);
}

ParamId add_running_range(ParamStore& params, const Site& site) {
  return params.add(site.name + ".input_range", Tensor::zeros({3}), ParamStore::Kind::state);
}

}  // namespace ebb
