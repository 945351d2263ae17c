#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/key.h"
#include "quant/transform.h"

using namespace ebb;

namespace {

/// Element k of the transform of elements 16 * group + j of a line, as the definition has it.
template <class Element>
double element(std::int64_t group, std::uint32_t k, std::int64_t length, const Element& x,
               double* magnitude) {
  double sum = 0;
  *magnitude = 0;
  for (std::uint32_t j = 0; j < 16; ++j) {
    const std::int64_t i = 16 * group + j;
    if (i >= length) break;
    const bool minus = ((std::popcount(j & k) & 1) != 0) != ((kHadamardSigns >> j & 1) != 0);
    sum += minus ? -x(i) : x(i);
    *magnitude += std::abs(x(i));
  }
  return sum / 4;
}

}  // namespace

TEST_CASE("the Hadamard transform is that of its definition, along either axis, filled up") {
  for (const std::int64_t length : {1, 15, 16, 17, 40}) {
    CAPTURE(length);
    constexpr std::int64_t kLines = 3;
    Tensor x = Tensor::uninitialized({kLines, length});
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(Key(5).normal(static_cast<std::uint64_t>(i)));
    const Tensor along = hadamard16(x.matrix(), 1), down = hadamard16(x.matrix().transposed(), 0);
    const std::int64_t padded = (length + 15) / 16 * 16;
    REQUIRE(along.shape() == Shape{kLines, padded});
    REQUIRE(down.shape() == Shape{padded, kLines});
    for (std::int64_t line = 0; line < kLines; ++line) {
      for (std::int64_t i = 0; i < padded; ++i) {
        double magnitude = 0;
        const double expected = element(
            i / 16, static_cast<std::uint32_t>(i % 16), length,
            [&](std::int64_t j) { return double{x[line * length + j]}; }, &magnitude);
        // An element passes four additions; each adds at most 2^-24 of the sum of magnitudes.
        const double bound = 4.001 * 0x1p-24 * magnitude / 4;
        REQUIRE(std::abs(along[line * padded + i] - expected) <= bound);
        REQUIRE(down[i * kLines + line] == along[line * padded + i]);
      }
    }
  }
}

TEST_CASE("inner products stay what they were, exactly where sums are exact") {
  Tensor x = Tensor::uninitialized({2, 37});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<int>(Key(6).bits(static_cast<std::uint64_t>(i)) % 2001) -
                              1000);
  const Tensor y = hadamard16(x.matrix(), 1);
  double before = 0, after = 0;
  for (std::int64_t i = 0; i < 37; ++i) before += double{x[i]} * double{x[37 + i]};
  for (std::int64_t i = 0; i < 48; ++i) after += double{y[i]} * double{y[48 + i]};
  CHECK(before == after);
}

TEST_CASE("transforms by name") {
  for (const Transform each : {Transform::none, Transform::hadamard16})
    CHECK(parse_transform(to_text(each)) == each);
  CHECK_THROWS_WITH_AS(static_cast<void>(parse_transform("hadamard8")),
                       doctest::Contains("did you mean 'hadamard16'"), ConfigError);
}
