#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/key.h"
#include "quant/grid.h"

using namespace ebb;

TEST_CASE("encode rounds to the nearest code, ties to even, and saturates") {
  const Grid grid{.bits = 2, .scale = 0.5f, .offset = -1.0f};  // the grid is {-1.0, -0.5, 0.0, 0.5}
  struct Case {
    const char* why;
    float x;
    int code;
  };
  const Case cases[] = {{"tie between 0 and 1 goes to even 0", -0.75f, 0},
                        {"tie between 1 and 2 goes to even 2", -0.25f, 2},
                        {"a grid point stays", 0.0f, 2},
                        {"above the grid saturates", 7.0f, 3},
                        {"below the grid saturates", -7.0f, 0}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CHECK(encode(c.x, grid) == c.code);
  }
}

TEST_CASE("every SIMD level encodes the same codes and finds the same range") {
  const Key key(7);
  for (const std::int64_t n : {1, 7, 31, 32, 33, 127, 128, 129, 1000, 4096 + 5, 70000}) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(key.normal(i));
    const ConstMatrix m{x.data(), n, 1, 1, 1};
    for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
      for (int bits = 2; bits <= 8; ++bits) {
        const Grid grid = Grid::fit(measure_range(m), bits, style);
        for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
          std::vector<std::int8_t> expected(x.size()), got(x.size());
          encode_run(x.data(), n, grid, rounding, key, 256, Simd::scalar, expected.data());
          for (std::size_t i = 0; i < x.size(); ++i) {
            const int code = rounding == Rounding::stochastic ? encode(x[i], grid, rounding_bits(key, 256 + i)) : encode(x[i], grid);
            REQUIRE(expected[i] + grid.centre() == code);
          }
          for (const Simd simd : {Simd::avx2, Simd::avx512}) {
            if (simd > best_simd()) continue;
            CHECK(measure_range(m, simd) == measure_range(m));
            encode_run(x.data(), n, grid, rounding, key, 256, simd, got.data());
            CAPTURE(n);
            CAPTURE(bits);
            CHECK(got == expected);
          }
        }
      }
    }
  }
}
