#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "passes.h"
#include "quant/gemm.h"

// Replays of quantized layers. Each stage of a layer is computed anew in float32 from the float32
// values of the stage before, as docs/NUMERICS.md writes it down, and held against the same stage
// in double within its roundings; what leaves the layer equals the last stages bit for bit. Across
// a whole layer no bound could hold: one ulp before an encode can flip a code. So the codes of the
// replay are those of the layer, and fake quantization means: their values, in double.

namespace ebb::test {

/// Bounds below count roundings and leave out products of two of them, which are 2^-20 of the rest
/// at the most.
inline constexpr double kSecondOrder = 1 + 0x1p-20;

inline void require_within(double got, double want, double bound) {
  CAPTURE(got);
  CAPTURE(want);
  REQUIRE(std::abs(got - want) <= bound * kSecondOrder + 0x1p-126);
}

/// The operand of a site by its definition: which format, rounding and key a role has; over its own
/// range unless one is given.
inline Operand operand_of(const Pass& pass, const ConstMatrix& x, const Site& site, Role role,
                          Granularity granularity = Granularity::per_tensor, std::uint64_t use = 0,
                          const Range* range = nullptr) {
  const SiteFormats at = pass.plan.at(site).formats();
  const Format format = role == Role::weight       ? at.weight
                        : role == Role::activation ? at.activation
                                                   : at.gradient;
  const Rounding rounding = role == Role::weight       ? Rounding::nearest_even
                            : role == Role::activation ? pass.plan.base.activation.rounding
                                                       : pass.plan.base.gradient.rounding;
  const GridStyle grid =
      role == Role::gradient ? pass.plan.base.gradient.grid : pass.plan.base.weight.grid;
  const Key key = pass.key.fold(site.name).fold(role == Role::weight       ? 0
                                                : role == Role::activation ? 1
                                                                           : 2);
  return {x,
          {format, grid, rounding},
          granularity,
          use == 0 ? key : key.fold(use),
          {.simulate = pass.plan.simulate, .range = range}};
}

/// The product of two operands, held against that of the values of their codes in double. Integers:
/// "How far the integer path is from fake quantization" of docs/NUMERICS.md, K terms. Float32, also
/// decoded: a chain of K fma, each of which rounds a part of the sum of magnitudes.
inline Tensor checked_product(const Operand& left, const Operand& right) {
  const Site site{"replay"};
  CostLedger ledger;
  const auto kinds = same_kind(left, right);
  const Operand &a = kinds.first, &b = kinds.second;
  Tensor c = gemm(a, b, {.site = site, .kernel = "reference"}, ledger);
  const auto reach = [](const Operand& o, std::int64_t i) {
    return double{o.grid(i).scale} * std::ldexp(1.0, o.grid(i).bits - 1) +
           std::abs(o.grid(i).stored_zero());
  };
  const auto terms = static_cast<double>(a.cols());
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    for (std::int64_t j = 0; j < b.cols(); ++j) {
      double sum = 0, magnitude = 0;
      for (std::int64_t k = 0; k < a.cols(); ++k) {
        const double term = a.value(i, k) * b.value(k, j);
        sum += term;
        magnitude += std::abs(term);
      }
      const double bound =
          a.is_float() ? terms * kUnit * magnitude
                       : kUnit * std::abs(sum) + 0x1p-53 * ((terms + 4) * magnitude +
                                                            8 * terms * reach(a, i) * reach(b, j));
      require_within(double{c[i * b.cols() + j]}, sum, bound);
    }
  }
  return c;
}

/// The sums of columns, as a bias gradient takes them: in double, in some order, rounded once.
inline void require_column_sums(const Tensor& got, const Tensor& g) {
  const std::int64_t cols = g.shape()[-1], rows = g.size() / cols;
  REQUIRE(got.size() == cols);
  for (std::int64_t j = 0; j < cols; ++j) {
    double sum = 0, magnitude = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      sum += double{g[i * cols + j]};
      magnitude += std::abs(double{g[i * cols + j]});
    }
    require_within(double{got[j]}, sum,
                   kUnit * std::abs(sum) + 2 * static_cast<double>(rows) * 0x1p-53 * magnitude);
  }
}

/// Float32 in one or two of the three roles: every product but one has a float32 operand beside one
/// of codes.
inline std::vector<PrecisionPlan> half_float_plans() {
  std::vector<PrecisionPlan> plans;
  for (int in_float = 1; in_float < 7; ++in_float) {  // a bit a role
    const auto format = [&](int role) {
      return (in_float >> role & 1) != 0 ? Format::fp32() : Format::integer(role == 0 ? 5 : 8);
    };
    PrecisionPlan plan;
    plan.base.set_formats({.weight = format(0), .activation = format(1), .gradient = format(2)});
    plan.base.set_grid(in_float % 2 == 0 ? GridStyle::symmetric : GridStyle::affine);
    plans.push_back(plan);
  }
  return plans;
}

struct NamedPlan {
  std::string name;
  PrecisionPlan plan;
};

/// Widths that tell every role and the site `other` (a dotted prefix) from the rest, both grids,
/// every rounding, and what is left in float32.
inline std::vector<NamedPlan> replay_plans(const std::string& other) {
  const auto format = [](int bits) { return bits == 32 ? Format::fp32() : Format::integer(bits); };
  const auto of = [&](int weight, int activation, int gradient) {
    PrecisionPlan plan;
    plan.base.set_formats({format(weight), format(activation), format(gradient)});
    return plan;
  };
  std::vector<NamedPlan> plans{{"fp32", of(32, 32, 32)},
                               {"8 bits", of(8, 8, 8)},
                               {"4 bits", of(4, 4, 4)},
                               {"mixed widths", of(5, 7, 10)},
                               {"float32 gradients", of(4, 4, 32)},
                               {"float32 weights", of(32, 8, 8)},
                               {"float32 activations", of(8, 32, 8)},
                               {"all but the gradients float32", of(32, 32, 8)},
                               {"all but the activations float32", of(32, 8, 32)},
                               {"all but the weights float32", of(8, 32, 32)},
                               {"another width elsewhere", of(8, 8, 8)},
                               {"symmetric", of(8, 8, 8)},
                               {"stochastic activations", of(6, 6, 6)},
                               {"gradients to nearest", of(8, 8, 8)},
                               {"simulated", of(8, 8, 8)},
                               {"symmetric gradients", of(8, 8, 8)},
                               {"floating formats", of(8, 8, 8)},
                               {"16-bit floats beside codes", of(8, 8, 8)}};
  const auto named = [&](std::string_view name) -> PrecisionPlan& {
    return std::ranges::find(plans, name, &NamedPlan::name)->plan;
  };
  named("another width elsewhere")
      .rules.push_back({other, Numerics{}.set_formats({format(6), format(9), format(4)})});
  named("symmetric").base.set_grid(GridStyle::symmetric);
  named("stochastic activations").base.activation.rounding = Rounding::stochastic;
  named("gradients to nearest").base.gradient.rounding = Rounding::nearest_even;
  named("simulated").simulate = true;
  named("floating formats").base =
      PrecisionPlan::uniform(Format::parse("e4m3"), Format::parse("e5m2")).base;
  named("16-bit floats beside codes").base.activation.format = Format::parse("bf16");
  named("symmetric gradients").base.gradient.grid = GridStyle::symmetric;
  return plans;
}

}  // namespace ebb::test
