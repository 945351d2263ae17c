#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/group_norm.h"
#include "layers/layer_norm.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// Elements of the group of channel c of example i, by their places in the whole.
std::vector<std::size_t> group_of(std::int64_t i, std::int64_t c, std::int64_t positions,
                                  std::int64_t channels, std::int64_t width) {
  std::vector<std::size_t> places;
  for (std::int64_t p = 0; p < positions; ++p) {
    for (std::int64_t j = c / width * width; j < c / width * width + width; ++j)
      places.push_back(static_cast<std::size_t>((i * positions + p) * channels + j));
  }
  return places;
}

}  // namespace

TEST_CASE(
    "group norm and its gradients are their definitions in double, within the roundings of the "
    "float32 steps") {
  struct Case {
    const char* why;
    Shape x;
    std::int64_t groups;
  };
  const Case cases[] = {{"images", {3, 5, 4, 6}, 2},
                        {"one group: layer norm of an image", {2, 70, 4}, 1},
                        {"groups of one: instance norm", {2, 9, 9, 3}, 3},
                        {"vectors", {5, 12}, 4}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.why));
    Bench bench;
    const std::int64_t channels = c.x[-1], width = channels / c.groups, batch = c.x[0];
    const GroupNorm norm = GroupNorm::create(bench.params, "norm", c.groups, channels);
    const Tensor w = bench.params[norm.weight] = random_tensor({channels}, Key(1));
    const Tensor b = bench.params[norm.bias] = random_tensor({channels}, Key(2));
    const Tensor x = random_tensor(c.x, Key(3), 2.0, 3.0), g = gradient_for(c.x);
    const std::int64_t positions = x.size() / (batch * channels);
    const Op op = [&](Pass& pass, const std::vector<Var>& v) { return norm(pass, v[0]); };
    const OpResult result = run_op(bench, {x}, op);
    std::vector<double> z(static_cast<std::size_t>(x.size())), slopes(z.size());
    const auto at = [](const Tensor& t, std::size_t i) {
      return double{t[static_cast<std::int64_t>(i)]};
    };
    const auto weight = [&](std::size_t i) {
      return at(w, i % static_cast<std::size_t>(channels));
    };
    for (std::size_t i = 0; i < z.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      const auto group =
          group_of(place / (positions * channels), place % channels, positions, channels, width);
      const auto n = static_cast<double>(group.size());
      double mean = 0, variance = 0;
      for (const std::size_t j : group) mean += at(x, j) / n;
      for (const std::size_t j : group) variance += (at(x, j) - mean) * (at(x, j) - mean) / n;
      slopes[i] = 1 / std::sqrt(variance + norm.epsilon);
      z[i] = (at(x, i) - mean) * slopes[i];
      const double product = z[i] * weight(i),
                   want = product + at(b, i % static_cast<std::size_t>(channels));
      REQUIRE(std::abs(at(result.y, i) - want) <=
              kUnit * (2.01 * std::abs(product) + std::abs(want)) + 1e-12);
    }
    std::vector<double> gw(static_cast<std::size_t>(channels)), size_w(gw.size()), gb(gw.size());
    for (std::size_t i = 0; i < z.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      const auto group =
          group_of(place / (positions * channels), place % channels, positions, channels, width);
      const auto n = static_cast<double>(group.size());
      double mean = 0, along = 0, size = 0, size_along = 0;
      for (const std::size_t j : group) {
        const double h = at(g, j) * weight(j) / n;
        mean += h;
        along += h * z[j];
        size += std::abs(h);
        size_along += std::abs(h * z[j]);
      }
      const double h = at(g, i) * weight(i), apart = h - mean, rest = apart - z[i] * along;
      // As in layer norm: h and its mean; the mean; the difference; z and h through `along`; along;
      // z; their product; the second difference; the slope; the last product.
      const double off = std::abs(h) + size + std::abs(mean) + std::abs(apart) +
                         std::abs(z[i]) * 2 * size_along + 3 * std::abs(z[i] * along) +
                         3 * std::abs(rest);
      REQUIRE(std::abs(at(result.by_input[0], i) - rest * slopes[i]) <=
              slopes[i] * kUnit * off * (1 + 0x1p-20) +
                  0x1p-45 * slopes[i] * (1 + slopes[i]) * (size + std::abs(h)));
      const std::size_t channel = i % gw.size();
      gw[channel] += at(g, i) * z[i];
      size_w[channel] += std::abs(at(g, i) * z[i]);
      gb[channel] += at(g, i);
    }
    for (std::size_t j = 0; j < gw.size(); ++j) {
      CHECK(std::abs(at(result.by_parameter[0], j) - gw[j]) <=
            1.01 * kUnit * (size_w[j] + std::abs(gw[j])) + 1e-10);
      CHECK(std::abs(at(result.by_parameter[1], j) - gb[j]) <=
            1.01 * kUnit * std::abs(gb[j]) + 1e-10);
    }
  }
}

TEST_CASE("group norm of one group over single positions is layer norm") {
  Bench bench;
  const GroupNorm group = GroupNorm::create(bench.params, "group", 1, 16);
  const LayerNorm layer = LayerNorm::create(bench.params, "layer", 16);
  Pass pass = bench.pass();
  const Var x = pass.tape.constant(random_tensor({40, 16}, Key(1), 2.0, 1.0));
  const Tensor one = pass.tape[group(pass, x)], other = pass.tape[layer(pass, x)];
  for (std::int64_t i = 0; i < one.size(); ++i)
    REQUIRE(std::abs(double{one[i]} - double{other[i]}) <=
            2.5 * kUnit * std::abs(double{one[i]}) + 1e-12);
}

TEST_CASE(
    "group norm's gradients agree with central differences, and its bits do not depend on "
    "instructions or threads") {
  for (const std::int64_t groups : {1, 2, 6}) {
    CAPTURE(groups);
    Bench bench;
    const GroupNorm norm = GroupNorm::create(bench.params, "norm", groups, 6);
    bench.params[norm.weight] = random_tensor({6}, Key(1));
    const Op op = [&](Pass& pass, const std::vector<Var>& v) { return norm(pass, v[0]); };
    check_gradients(bench, {random_tensor({2, 3, 2, 6}, Key(2))}, 12, op);
    check_bits(bench, {random_tensor({7, 20, 15, 6}, Key(3))}, op);
  }
}

TEST_CASE("group norm refuses groups and shapes that do not fit") {
  Bench bench;
  for (const std::int64_t bad : {0, -1, 4, 7})
    CHECK_THROWS_AS(GroupNorm::create(bench.params, "norm", bad, 6), ConfigError);
  GroupNorm norm = GroupNorm::create(bench.params, "norm", 2, 6);
  Pass pass = bench.pass();
  for (const std::int64_t bad : {0, 4}) {
    norm.groups = bad;
    CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros({2, 6}))), ConfigError);
  }
  norm.groups = 2;
  CHECK(pass.tape.shape(norm(pass, pass.tape.constant(Tensor::zeros({0, 4, 6})))) ==
        Shape{0, 4, 6});
  for (const Shape& bad : {Shape{6}, Shape{2, 5}, Shape{2, 0, 6}})
    CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros(bad))), ShapeError);
}
