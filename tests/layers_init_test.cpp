#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "layers/init.h"

using namespace ebb;

TEST_CASE("initial values have the stated moments and depend on the key alone") {
  struct Case {
    const char* why;
    Tensor x;
    double deviation;
  };
  const Shape conv{64, 3, 3, 32}, linear{100, 300};
  const Case cases[] = {
      {"normal", normal_init(linear, 0.3, Key(1)), 0.3},
      {"uniform over [-b, b) deviates by b / sqrt 3", uniform_init(linear, 0.3, Key(2)),
       0.3 / std::sqrt(3.0)},
      {"He by fan-in", he_init(conv, Key(3)), std::sqrt(2.0 / (9 * 32))},
      {"He by fan-in, linear", he_init(linear, Key(4)), std::sqrt(2.0 / 300)},
      {"He by fan-out", he_fan_out_init(conv, Key(5)), std::sqrt(2.0 / (9 * 64))}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const auto n = static_cast<double>(c.x.size());
    double sum = 0, squares = 0;
    for (const float v : c.x.values()) {
      sum += double{v};
      squares += double{v} * double{v};
    }
    CHECK(std::abs(sum / n) <= 5 * c.deviation / std::sqrt(n));  // five standard errors
    CHECK(std::abs(std::sqrt(squares / n) / c.deviation - 1) <= 5 / std::sqrt(2 * n));
  }
  CHECK(normal_init(linear, 0.3, Key(1)) == cases[0].x);
  CHECK(normal_init(linear, 0.3, Key(2)) != cases[0].x);
  CHECK_THROWS_AS(he_fan_out_init({3, 4}, Key(1)), ShapeError);
}
