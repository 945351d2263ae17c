#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "optim/gradients.h"

using namespace ebb;

TEST_CASE("accumulated gradients are elementwise sums; a missing one counts as zero") {
  const Tensor a = Tensor::from({2}, std::array{1.0f, 2.0f}),
               b = Tensor::from({2}, std::array{10.0f, 20.0f});
  Gradients sum{a, Tensor{}, a, Tensor{}};
  accumulate(sum, {b, b, Tensor{}, Tensor{}});
  CHECK(sum[0] == Tensor::from({2}, std::array{11.0f, 22.0f}));
  CHECK(sum[1] == b);
  CHECK(sum[2] == a);
  CHECK(sum[3].size() == 0);
  CHECK_THROWS_AS(accumulate(sum, {b}), ShapeError);
  CHECK_THROWS_AS(accumulate(sum, {Tensor::zeros({3}), b, b, b}), ShapeError);
}

TEST_CASE("clipping scales gradients down to the largest norm and leaves smaller ones alone") {
  const Gradients start{Tensor::from({2}, std::array{3.0f, 0.0f}), Tensor{},
                        Tensor::from({1, 1}, std::array{-4.0f})};
  CHECK(global_norm(start) == 5.0);
  struct Case {
    const char* why;
    double largest;
    float scale;
  };
  const Case cases[] = {
      {"halved", 2.5, 0.5f}, {"exactly at the limit", 5.0, 1.0f}, {"below the limit", 100.0, 1.0f}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Gradients g = start;
    CHECK(clip_global_norm(g, c.largest) == 5.0);
    CHECK(g[0] == Tensor::from({2}, std::array{3.0f * c.scale, 0.0f}));
    CHECK(g[2].item() == -4.0f * c.scale);
  }
}

TEST_CASE("clipping refuses to hide a non-finite gradient, and limits that are none") {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Gradients g{Tensor::from({2}, std::array{1.0f, bad})};
    CHECK_THROWS_AS(clip_global_norm(g, 1.0), NonFiniteError);
    CHECK(g[0][0] == 1.0f);
  }
  Gradients g{Tensor::filled({1}, 1.0f)};
  for (const double limit : {0.0, -1.0, std::nan("")})
    CHECK_THROWS_AS(clip_global_norm(g, limit), ConfigError);
}
