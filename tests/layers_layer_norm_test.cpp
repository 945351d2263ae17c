#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/layer_norm.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("layer norm is its definition in double, for widths around the chains") {
  for (const std::int64_t width : {1, 2, 15, 16, 17, 100}) {
    CAPTURE(width);
    Bench bench;
    const LayerNorm norm = LayerNorm::create(bench.params, "norm", width);
    bench.params[norm.weight] = random_tensor({width}, Key(1));
    bench.params[norm.bias] = random_tensor({width}, Key(2));
    Pass pass = bench.pass();
    const Tensor x = random_tensor({2, 3, width}, Key(3), 2.0, 5.0);
    const Tensor y = pass.tape[norm(pass, pass.tape.constant(x))];
    for (std::int64_t i = 0; i < 6; ++i) {
      double mean = 0, variance = 0;
      for (std::int64_t j = 0; j < width; ++j)
        mean += double{x[i * width + j]} / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j)
        variance += std::pow(double{x[i * width + j]} - mean, 2) / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j) {
        const double n = (double{x[i * width + j]} - mean) / std::sqrt(variance + 1e-5),
                     w = double{bench.params[norm.weight][j]},
                     want = n * w + double{bench.params[norm.bias][j]};
        // n, its product with w and the sum are rounded once each.
        REQUIRE(std::abs(double{y[i * width + j]} - want) <=
                kUnit * (2.01 * std::abs(n * w) + std::abs(want)) + 1e-14);
      }
    }
  }
}

TEST_CASE("layer norm is its definition for rows far from zero and at both ends of the line") {
  struct Case {
    const char* why;
    float first, step;
  };
  const Case cases[] = {{"odd numbers at the end of the exact ones", 16777207.0f, 2.0f},
                        {"the largest floats", 3.3e38f, 1e36f},
                        {"both signs", -3e38f, 1.5e38f},
                        {"the smallest", 0.0f, 1e-45f},
                        {"a constant", 0.1f, 0.0f}};
  constexpr std::int64_t width = 20;
  for (const Case& c : cases) {
    CAPTURE(std::string(c.why));
    Bench bench;
    const LayerNorm norm = LayerNorm::create(bench.params, "norm", width);
    Pass pass = bench.pass();
    Tensor x = Tensor::uninitialized({1, width});
    for (std::int64_t j = 0; j < width; ++j)
      x[j] = static_cast<float>(double{c.first} + static_cast<double>(j % 5) * double{c.step});
    long double mean = 0, squares = 0;
    for (std::int64_t j = 0; j < width; ++j) mean += static_cast<long double>(x[j]);
    mean /= static_cast<long double>(width);
    for (std::int64_t j = 0; j < width; ++j)
      squares += std::pow(static_cast<long double>(x[j]) - mean, 2.0L);
    const long double slope = 1 / std::sqrt(squares / static_cast<long double>(width) + 1e-5L);
    const Tensor y = pass.tape[norm(pass, pass.tape.constant(x))];
    for (std::int64_t j = 0; j < width; ++j) {
      const long double want = (static_cast<long double>(x[j]) - mean) * slope;
      CHECK(std::abs(static_cast<long double>(y[j]) - want) <= 1e-6L * std::abs(want) + 1e-7L);
    }
  }
}

TEST_CASE(
    "layer norm's gradients are its definition in double, within the roundings of its float32 "
    "steps, whatever the plan") {
  for (const std::int64_t width : {1, 7, 16, 40}) {
    CAPTURE(width);
    constexpr std::int64_t rows = 70;  // more than a block of a fixed-order sum
    Bench bench;
    const LayerNorm norm = LayerNorm::create(bench.params, "norm", width);
    bench.params[norm.weight] = random_tensor({width}, Key(1));
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    const Tensor x = random_tensor({rows, width}, Key(2), 2.0, 5.0),
                 g = random_tensor({rows, width}, Key(3));
    const Var vx = pass.tape.variable(x);
    const Gradients gradients = pass.tape.backward(dot(pass, norm(pass, vx), g));
    const Tensor &gx = pass.tape.gradient_of(vx), &w = bench.params[norm.weight];
    const auto n = static_cast<double>(width);
    std::vector<double> normal(static_cast<std::size_t>(rows * width));
    for (std::int64_t i = 0; i < rows; ++i) {
      double mean = 0, variance = 0;
      for (std::int64_t j = 0; j < width; ++j) mean += double{x[i * width + j]} / n;
      for (std::int64_t j = 0; j < width; ++j)
        variance += std::pow(double{x[i * width + j]} - mean, 2) / n;
      const double slope = 1 / std::sqrt(variance + 1e-5);
      double of_h = 0, along = 0, size_h = 0, size_along = 0;
      for (std::int64_t j = 0; j < width; ++j) {
        const double h = double{g[i * width + j]} * double{w[j]},
                     z = (double{x[i * width + j]} - mean) * slope;
        normal[static_cast<std::size_t>(i * width + j)] = z;
        of_h += h / n;
        along += h * z / n;
        size_h += std::abs(h) / n;
        size_along += std::abs(h * z) / n;
      }
      for (std::int64_t j = 0; j < width; ++j) {
        const double h = double{g[i * width + j]} * double{w[j]},
                     z = normal[static_cast<std::size_t>(i * width + j)];
        const double apart = h - of_h, want = (apart - z * along) * slope;
        // Rounded: h and, through it, its mean; the mean; h - mean; z and h again through `along`;
        // along; z; their product; the second difference; the slope; the last product. The mean of
        // x itself is within 2^-45 in double.
        const double off = std::abs(h) + size_h + std::abs(of_h) + std::abs(apart) +
                           std::abs(z) * 2 * size_along + 3 * std::abs(z * along) +
                           3 * std::abs(apart - z * along);
        require_within(double{gx[i * width + j]}, want,
                       slope * (kUnit * off + 0x1p-45 * (1 + slope) * (size_h + std::abs(h))));
      }
    }
    const Tensor& gw = gradients[static_cast<std::size_t>(norm.weight.index)];
    for (std::int64_t j = 0; j < width; ++j) {
      double sum = 0, size = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        const double term =
            double{g[i * width + j]} * normal[static_cast<std::size_t>(i * width + j)];
        sum += term;
        size += std::abs(term);
      }
      require_within(double{gw[j]}, sum,
                     kUnit * (size + std::abs(sum)) + 0x1p-40);  // z is rounded, and so is the sum
    }
    require_column_sums(gradients[static_cast<std::size_t>(norm.bias.index)], g);
  }
}

TEST_CASE("layer norm takes its steps in the stated order at every SIMD level, bit for bit") {
  for (const std::int64_t width : {1, 15, 16, 17, 40, 83}) {
    constexpr std::int64_t rows = 5;
    const Tensor x = random_tensor({rows, width}, Key(1), 2.0, 5.0),
                 g = random_tensor({rows, width}, Key(2));
    const Tensor w = random_tensor({width}, Key(3)), b = random_tensor({width}, Key(4));
    Tensor y = Tensor::uninitialized({rows, width}), gx = Tensor::uninitialized({rows, width});
    const auto n = static_cast<double>(width);
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto at = [&](const Tensor& t, std::int64_t j) { return double{t[i * width + j]}; };
      std::vector<float> normal, h;
      const double mean = chained_sum(width, [&](std::int64_t j) { return at(x, j); }) / n;
      const double variance =
          chained_sum(width,
                      [&](std::int64_t j) { return (at(x, j) - mean) * (at(x, j) - mean); }) /
          n;
      const double slope = 1.0 / std::sqrt(variance + LayerNorm::kEpsilon);
      for (std::int64_t j = 0; j < width; ++j) {
        normal.push_back(static_cast<float>((at(x, j) - mean) * slope));
        y[i * width + j] = normal.back() * w[j] + b[j];
        h.push_back(g[i * width + j] * w[j]);
      }
      const auto of = [](const std::vector<float>& v, std::int64_t j) {
        return double{v[static_cast<std::size_t>(j)]};
      };
      const auto mean_h =
          static_cast<float>(chained_sum(width, [&](std::int64_t j) { return of(h, j); }) / n);
      const auto along = static_cast<float>(
          chained_sum(width, [&](std::int64_t j) { return of(h, j) * of(normal, j); }) / n);
      for (std::size_t j = 0; j < h.size(); ++j)
        gx[i * width + static_cast<std::int64_t>(j)] =
            ((h[j] - mean_h) - normal[j] * along) * static_cast<float>(slope);
    }
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      CAPTURE(width);
      CAPTURE(static_cast<int>(simd));
      Bench bench;
      const LayerNorm norm = LayerNorm::create(bench.params, "norm", width);
      bench.params[norm.weight] = w;
      bench.params[norm.bias] = b;
      Pass pass = bench.pass();
      pass.simd = simd;
      const Var in = pass.tape.variable(x), out = norm(pass, in);
      CHECK(pass.tape[out] == y);
      pass.tape.backward(dot(pass, out, g));
      CHECK(pass.tape.gradient_of(in) == gx);
    }
  }
}

TEST_CASE("layer norm's gradients agree with central differences") {
  Bench bench;
  const LayerNorm norm = LayerNorm::create(bench.params, "norm", 5);
  bench.params[norm.weight] = random_tensor({5}, Key(1));
  check_gradients(bench, {random_tensor({4, 5}, Key(2))}, 8,
                  [&](Pass& pass, const std::vector<Var>& x) { return norm(pass, x[0]); });
  Pass pass = bench.pass();
  CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros({4, 6}))), ShapeError);
}
