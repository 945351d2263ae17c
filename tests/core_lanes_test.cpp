#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/kernels/lanes.h"
#include "core/key.h"

// The vectors of kernels as this file is compiled: for the baseline of the architecture, where most
// of what intrinsics do elsewhere is done by hand. Kernels themselves are held to the reference at
// every level.
using namespace ebb;
using namespace ebb::kernels;

namespace {

constexpr Key kKey(31);

std::int16_t word(std::uint64_t i) {
  const auto bits = static_cast<std::int16_t>(kKey.bits(i));
  return i % 5 == 0 ? std::numeric_limits<std::int16_t>::min() : bits;
}
/// The lanes one by one.
template <class Number, class V>
std::array<Number, sizeof(V) / sizeof(Number)> each(const V& v) {
  std::array<Number, sizeof(V) / sizeof(Number)> numbers;
  store(numbers.data(), v);
  return numbers;
}
float number(std::uint64_t i) { return static_cast<float>(kKey.normal(i)); }

}  // namespace

TEST_CASE("lanes of int16 add, saturate, wrap and count as numbers do") {
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::int16_t x[2 * kLanes], y[2 * kLanes];
    for (std::uint64_t j = 0; j < 2 * kLanes; ++j) {
      x[j] = word(i * 64 + j);
      y[j] = word(i * 64 + 32 + j);
    }
    Words a, b, counts{};
    fetch(a, x);
    fetch(b, y);
    const Words saturated = add_saturated(a, b), wrapped = add_wrapped(a, b);
    count_unequal(saturated, wrapped, counts);
    for (std::size_t j = 0; j < 2 * kLanes; ++j) {
      const int sum = x[j] + y[j], held = std::clamp(sum, -32768, 32767);
      CHECK(each<std::int16_t>(saturated)[j] == held);
      CHECK(each<std::int16_t>(wrapped)[j] == static_cast<std::int16_t>(sum));
      CHECK(each<std::int16_t>(counts)[j] == (sum != held ? 1 : 0));
    }
  }
}

TEST_CASE("pairs of int16 and low halves multiply exactly") {
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::int16_t x[2 * kLanes], y[2 * kLanes];
    std::uint64_t p[kLanes / 2], q[kLanes / 2];
    for (std::uint64_t j = 0; j < 2 * kLanes; ++j) {
      x[j] = word(i * 64 + j);
      y[j] = std::max<std::int16_t>(word(i * 64 + 32 + j), -32767);  // a sum must fit
    }
    for (std::uint64_t j = 0; j < kLanes / 2; ++j) {
      p[j] = kKey.bits(i * 64 + j);
      q[j] = kKey.bits(i * 64 + 32 + j);
    }
    Full::Int a, b;
    fetch(a, x);
    fetch(b, y);
    const auto sums = each<std::int32_t>(multiply_pairs(a, b));
    for (std::size_t j = 0; j < kLanes; ++j)
      CHECK(sums[j] == x[2 * j] * y[2 * j] + x[2 * j + 1] * y[2 * j + 1]);
    Half::LongBits c, d;
    fetch(c, p);
    fetch(d, q);
    const auto products = each<std::uint64_t>(multiply_low(c, d));
    for (std::size_t j = 0; j < kLanes / 2; ++j)
      CHECK(products[j] == (p[j] & 0xffffffffu) * (q[j] & 0xffffffffu));
  }
}

TEST_CASE("a product is added with one rounding, and floors are floors") {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    float x[kLanes], y[kLanes], z[kLanes];
    for (std::uint64_t j = 0; j < kLanes; ++j) {
      x[j] = number(i * 32 + j);
      y[j] = number(i * 32 + 8 + j);
      z[j] = i % 3 == 0 ? -x[j] * y[j] : number(i * 32 + 16 + j) * (i % 3 == 1 ? 1.0f : 1e-12f);
    }
    auto sum = load<Full>(z);
    add_product(load<Full>(x), load<Full>(y), sum);
    const auto floors = each<float>(floor_of(load<Full>(x) * 1000.0f));
    for (std::size_t j = 0; j < kLanes; ++j) {
      CHECK(each<float>(sum)[j] == std::fma(x[j], y[j], z[j]));
      CHECK(floors[j] == std::floor(x[j] * 1000.0f));
    }
  }
}

TEST_CASE("a product that leaves a sum short of a tie, by less than double can tell, rounds down") {
  // (1 + u)(1 - u) / 2^24 is half of the last place of c, u = 2^-23, less 2^-70.
  const float x[kLanes] = {(1 + 0x1p-23f) * 0x1p-12f}, y[kLanes] = {(1 - 0x1p-23f) * 0x1p-12f},
              z[kLanes] = {1 + 0x1p-23f};
  auto sum = load<Full>(z);
  add_product(load<Full>(x), load<Full>(y), sum);
  CHECK(each<float>(sum)[0] == 1 + 0x1p-23f);
}

TEST_CASE("lanes are zipped, narrowed and cut off where they are asked to be") {
  std::uint32_t x[kLanes], y[kLanes];
  std::int32_t codes[kNarrowed][kLanes];
  float numbers[kLanes];
  for (int j = 0; j < kLanes; ++j) {
    x[j] = static_cast<std::uint32_t>(j);
    y[j] = static_cast<std::uint32_t>(100 + j);
    numbers[j] = static_cast<float>(j + 1);
    for (int v = 0; v < kNarrowed; ++v) codes[v][j] = (v % 2 == 0 ? -1 : 1) * (10 * v + j);
  }
  Full::Bits low, high, a, b;
  fetch(a, x);
  fetch(b, y);
  zip(a, b, low, high);
  Full::Int wide[kNarrowed], from_bytes, from_words;
  for (int v = 0; v < kNarrowed; ++v) fetch(wide[v], codes[v]);
  std::int8_t bytes[kNarrowed][kLanes];
  std::int16_t words[kNarrowed][kLanes];
  store_codes(bytes[0], wide);
  store_codes(words[0], wide);
  load_codes(bytes[0], from_bytes);
  load_codes(words[0], from_words);
  for (std::size_t j = 0; j < kLanes; ++j) {
    CHECK(each<std::uint32_t>(low)[j] == (j % 2 == 0 ? x : y)[j / 2]);
    CHECK(each<std::uint32_t>(high)[j] == (j % 2 == 0 ? x : y)[(kLanes + j) / 2]);
    for (int v = 0; v < kNarrowed; ++v) {
      CHECK(bytes[v][j] == codes[v][j]);
      CHECK(words[v][j] == codes[v][j]);
    }
    CHECK(each<std::int32_t>(from_bytes)[j] == codes[0][j]);
    CHECK(each<std::int32_t>(from_words)[j] == codes[0][j]);
  }
  for (std::size_t count = 0; count < kNarrowed * kLanes; ++count) {
    std::int8_t some[kNarrowed * kLanes] = {};
    store_codes_first(some, wide, static_cast<std::int64_t>(count));
    for (std::size_t j = 0; j < kNarrowed * kLanes; ++j)
      CHECK(some[j] == (j < count ? codes[j / kLanes][j % kLanes] : 0));
  }
  for (std::size_t count = 0; count <= kLanes; ++count) {
    const auto size = static_cast<std::int64_t>(count);
    const auto some = each<float>(load_first(numbers, size));
    float out[kLanes] = {};
    store_first(out, broadcast<Full::Float>(-0.0f), size);
    for (std::size_t j = 0; j < kLanes; ++j) {
      CHECK(some[j] == (j < count ? numbers[j] : 0.0f));
      CHECK(std::signbit(out[j]) == (j < count));
    }
  }
}
