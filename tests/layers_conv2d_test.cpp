#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/conv2d.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

struct Problem {
  const char* why;
  Shape x, w;
  ConvConfig config;
};

const Problem kProblems[] = {
    {"3x3, padded", {2, 5, 4, 3}, {4, 3, 3, 3}, {.stride = 1, .pad = 1}},
    {"3x3 at stride 2, padded", {2, 7, 6, 2}, {3, 3, 3, 2}, {.stride = 2, .pad = 1}},
    {"5x5, not padded", {1, 7, 6, 1}, {2, 5, 5, 1}, {}},
    {"1x1, the image is its own patch matrix", {2, 3, 4, 5}, {3, 1, 1, 5}, {}},
    {"1x1 at stride 2, as in shortcuts", {2, 5, 4, 3}, {4, 1, 1, 3}, {.stride = 2}},
    {"two groups at stride 2", {2, 5, 5, 4}, {6, 3, 3, 2}, {.stride = 2, .pad = 1, .groups = 2}},
    {"depthwise", {2, 4, 5, 3}, {3, 3, 3, 1}, {.pad = 1, .groups = 3}},
    {"depthwise at stride 2, more channels than lanes",
     {2, 7, 6, 37},
     {37, 3, 3, 1},
     {.stride = 2, .pad = 1, .groups = 37}},
    {"depthwise 1x1", {2, 3, 4, 5}, {5, 1, 1, 1}, {.groups = 5}},
    {"three groups of one input, two outputs each",
     {2, 4, 5, 3},
     {6, 3, 3, 1},
     {.pad = 1, .groups = 3}},
    {"2x3 kernel, stride 3, more padding than the kernel needs",
     {1, 6, 7, 2},
     {3, 2, 3, 2},
     {.stride = 3, .pad = 2}},
};

/// The values that codes stand for, in double.
using Reals = std::vector<double>;

Reals values_of(const Operand& operand) {
  Reals reals;
  for (std::int64_t i = 0; i < operand.rows(); ++i) {
    for (std::int64_t j = 0; j < operand.cols(); ++j) reals.push_back(operand.value(i, j));
  }
  return reals;
}

/// Weights as forward sees them: one grid an output channel.
Reals by_output(const Tensor& w, Format format, GridStyle style) {
  const std::int64_t k = w.size() / w.shape()[0];
  return values_of(Operand({w.data(), w.shape()[0], k, k, 1},
                           {format, style, Rounding::nearest_even}, Granularity::per_row, Key(0)));
}

/// Weights as grad_left sees them: one grid an input channel, over all taps and the outputs of its
/// group.
Reals by_input(const Tensor& w, const ConvConfig& config, Format format, GridStyle style) {
  Reals reals(static_cast<std::size_t>(w.size()));
  const std::int64_t group_in = w.shape()[3], group_size = w.size() / config.groups;
  for (std::int64_t group = 0; group < config.groups; ++group) {
    for (std::int64_t i = 0; i < group_in; ++i) {
      std::vector<float> channel;
      for (std::int64_t at = i; at < group_size; at += group_in)
        channel.push_back(w[group * group_size + at]);
      const auto n = static_cast<std::int64_t>(channel.size());
      const Reals kept =
          values_of(Operand({channel.data(), n, 1, 1, 1}, {format, style, Rounding::nearest_even},
                            Granularity::per_tensor, Key(0)));
      for (std::int64_t row = 0; row < n; ++row) {
        reals[static_cast<std::size_t>(group * group_size + row * group_in + i)] =
            kept[static_cast<std::size_t>(row)];
      }
    }
  }
  return reals;
}

struct Products {
  Reals y, gx, gw;
};

/// The three products by the definition of convolution. `g` is laid out as the output.
Products convolve(const Problem& p, const Shape& out, const Reals& x, const Reals& w_forward,
                  const Reals& w_backward, const Reals& g) {
  Products products{Reals(static_cast<std::size_t>(out.size())), Reals(x.size()),
                    Reals(w_forward.size())};
  const std::int64_t group_in = p.w[3], group_out = p.w[0] / p.config.groups;
  for (std::int64_t b = 0; b < out[0]; ++b) {
    for (std::int64_t oy = 0; oy < out[1]; ++oy) {
      for (std::int64_t ox = 0; ox < out[2]; ++ox) {
        for (std::int64_t o = 0; o < out[3]; ++o) {
          for (std::int64_t ky = 0; ky < p.w[1]; ++ky) {
            for (std::int64_t kx = 0; kx < p.w[2]; ++kx) {
              const std::int64_t iy = oy * p.config.stride + ky - p.config.pad,
                                 ix = ox * p.config.stride + kx - p.config.pad;
              if (iy < 0 || ix < 0 || iy >= p.x[1] || ix >= p.x[2]) continue;
              for (std::int64_t i = 0; i < group_in; ++i) {
                const auto yi =
                    static_cast<std::size_t>(((b * out[1] + oy) * out[2] + ox) * out[3] + o);
                const auto xi = static_cast<std::size_t>(
                    ((b * p.x[1] + iy) * p.x[2] + ix) * p.x[3] + o / group_out * group_in + i);
                const auto wi =
                    static_cast<std::size_t>(((o * p.w[1] + ky) * p.w[2] + kx) * group_in + i);
                products.y[yi] += x[xi] * w_forward[wi];
                products.gx[xi] += g[yi] * w_backward[wi];
                products.gw[wi] += g[yi] * x[xi];
              }
            }
          }
        }
      }
    }
  }
  return products;
}

/// Integer products are exact until one scaling in double of four terms, each at most k (3 a)(3 b)
/// for operands up to a and b (centred codes reach the width of the range, at most 2 a, and the
/// stored zero another a), and one rounding. Float products are a chain of k fma on values up to a
/// and b, which fake quantization has rounded twice more (to within 4 units of a, 4 of b).
double bound(double result, std::int64_t k, double a, double b, bool integer) {
  const double largest = static_cast<double>(k) * a * b;
  return integer ? kUnit * std::abs(result) + 0x1p-46 * largest
                 : static_cast<double>(k + 8) * kUnit * largest;
}

void check_close(const char* what, const Tensor& got, const Reals& expected, std::int64_t k,
                 double a, double b, bool integer) {
  REQUIRE(got.size() == static_cast<std::int64_t>(expected.size()));
  double worst = 0;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double e = expected[static_cast<std::size_t>(i)];
    worst = std::max(worst, std::abs(double{got[i]} - e) / bound(e, k, a, b, integer));
  }
  CAPTURE(what);
  CHECK(worst <= 1.0);
}

}  // namespace

TEST_CASE(
    "the three products of a convolution are those of its codes, whatever stride, padding, groups, "
    "grid and width") {
  struct Precision {
    const char* why;
    PrecisionPlan plan;
  };
  std::vector<Precision> precisions{{"fp32", PrecisionPlan::fp32()}};
  for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
    for (const auto& [forward, gradient] : {std::pair{3, 8}, std::pair{8, 8}, std::pair{16, 12}}) {
      for (const bool simulate : {false, true}) {
        PrecisionPlan plan =
            PrecisionPlan::uniform(Format::integer(forward), Format::integer(gradient));
        plan.base.set_grid(style);
        plan.simulate = simulate;
        precisions.push_back({simulate ? "simulated" : "integer", plan});
      }
    }
  }
  PrecisionPlan mixed;
  mixed.base.set_formats({Format::integer(5), Format::integer(7), Format::integer(10)});
  mixed.base.activation.rounding = Rounding::stochastic;
  precisions.push_back({"mixed widths, every draw of its own", mixed});
  for (const PrecisionPlan& plan : half_float_plans())
    precisions.push_back({"float32 beside codes", plan});
  for (const Problem& p : kProblems) {
    for (const Precision& precision : precisions) {
      const PrecisionPlan& plan = precision.plan;
      CAPTURE(p.why);
      CAPTURE(precision.why);
      CAPTURE(to_text(plan.base.weight.format));
      CAPTURE(to_text(plan.base.weight.grid));
      Bench bench, other;
      const Tensor w = random_tensor(p.w, Key(1), 0.5, 0.1), bias = random_tensor({p.w[0]}, Key(2));
      const Conv2d conv = Conv2d::create(bench.params, "conv", w, p.config);
      const Conv2d with_bias =
          Conv2d::create(other.params, conv.site, w, p.config, bias);  // the same draws

      Pass pass = bench.pass(plan);
      const Var x = pass.tape.variable(random_tensor(p.x, Key(3), 1.0, 0.3));
      const Tensor image = pass.tape[x];
      const Var y = conv(pass, x);
      Pass again = other.pass(plan);
      const Tensor out = pass.tape[y],
                   biased = again.tape[with_bias(again, again.tape.constant(image))];
      const Tensor g = random_tensor(out.shape(), Key(4));
      const Gradients gradients = pass.tape.backward(dot(pass, y, g));

      const bool fp32 = plan.base.weight.format.is_fp32();
      const auto integer = [&](Product product) {
        const auto [left, right] = plan.base.formats().of(product);
        return !left.is_fp32() && !right.is_fp32() && !plan.simulate;
      };
      const Reals qx = values_of(operand_of(pass, image.matrix(), conv.site, Role::activation));
      const Reals qg = values_of(operand_of(pass, g.matrix(), conv.site, Role::gradient));
      const Reals plain(w.values().begin(), w.values().end());
      const Reals forward =
          fp32 ? plain : by_output(w, plan.base.weight.format, plan.base.weight.grid);
      const Reals backward =
          fp32 ? plain : by_input(w, p.config, plan.base.weight.format, plan.base.weight.grid);
      const Products expected = convolve(p, out.shape(), qx, forward, backward, qg);

      const double ax = largest_magnitude(image), aw = largest_magnitude(w),
                   ag = largest_magnitude(g);
      const std::int64_t taps = p.w[1] * p.w[2], positions = out.size() / p.w[0];
      check_close("forward", out, expected.y, taps * p.w[3], ax, aw, integer(Product::forward));
      check_close("grad_left", pass.tape.gradient_of(x), expected.gx,
                  taps * p.w[0] / p.config.groups, ag, aw, integer(Product::grad_left));
      check_close("grad_right", gradients[static_cast<std::size_t>(conv.weight.index)], expected.gw,
                  positions, ag, ax, integer(Product::grad_right));
      for (std::int64_t i = 0; i < out.size(); ++i) REQUIRE(biased[i] == out[i] + bias[i % p.w[0]]);
    }
  }
}

TEST_CASE(
    "every product of a convolution is charged the forward product's nominal MACs, and the first "
    "layer no grad_left") {
  for (const Problem& p : kProblems) {
    CAPTURE(p.why);
    Bench bench;
    const Conv2d conv = Conv2d::create(bench.params, "conv", random_tensor(p.w, Key(1)), p.config);
    for (const bool first : {true, false}) {
      bench.ledger = {};
      Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(4), Format::integer(8)));
      const Tensor image = random_tensor(p.x, Key(3));
      const Var x = first ? pass.tape.constant(image) : pass.tape.variable(image);
      const Var y = conv(pass, x);
      const auto macs = static_cast<uint128>(pass.tape.shape(y).size() * p.w[1] * p.w[2] * p.w[3]);
      pass.tape.backward(dot(pass, y, Tensor::filled(pass.tape.shape(y), 1.0f)));
      const std::array<CostLedger::Cell, kProducts> expected{
          {{macs, macs * 16},
           first ? CostLedger::Cell{} : CostLedger::Cell{macs, macs * 32},
           {macs, macs * 32}}};
      REQUIRE(bench.ledger.rows().size() == 1);
      CHECK(bench.ledger.rows()[0].cells == expected);
    }
  }
}

TEST_CASE("a convolution's gradients of bias are the exact column sums") {
  Bench bench;
  const Conv2d conv = Conv2d::create(bench.params, "conv", random_tensor({3, 3, 3, 2}, Key(1)),
                                     {.pad = 1}, Tensor::zeros({3}));
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(2), Format::integer(2)));
  const Tensor g = random_tensor({2, 4, 4, 3}, Key(4));
  const Gradients gradients = pass.tape.backward(
      dot(pass, conv(pass, pass.tape.constant(random_tensor({2, 4, 4, 2}, Key(3)))), g));
  for (std::int64_t o = 0; o < 3; ++o) {
    double sum = 0;
    for (std::int64_t i = o; i < g.size(); i += 3) sum += double{g[i]};
    CHECK(gradients[static_cast<std::size_t>(conv.bias.index)][o] ==
          static_cast<float>(sum));  // 32 rows are one block: ascending order
  }
}

TEST_CASE("a convolution refuses what does not fit and says where") {
  Bench bench;
  const Conv2d conv = Conv2d::create(bench.params, "stem", Tensor::zeros({4, 3, 3, 2}), {});
  const auto create = [&](const Shape& w, const ConvConfig& config) {
    Conv2d::create(bench.params, "bad", Tensor::zeros(w), config);
  };
  CHECK_THROWS_AS(create({4, 3, 3}, {}), ShapeError);
  CHECK_THROWS_AS(create({4, 3, 3, 2}, {.stride = 0}), ConfigError);
  CHECK_THROWS_AS(create({4, 3, 3, 2}, {.pad = -1}), ConfigError);
  CHECK_THROWS_AS(create({4, 3, 3, 2}, {.groups = 3}), ConfigError);
  Pass pass = bench.pass();
  CHECK_THROWS_WITH_AS(conv(pass, pass.tape.constant(Tensor::zeros({1, 8, 8, 3}))),
                       "[stem] expected images [batch, height, width, 2], got [1, 8, 8, 3]",
                       ShapeError);
  CHECK_THROWS_AS(conv(pass, pass.tape.constant(Tensor::zeros({1, 2, 8, 2}))), ShapeError);
}
