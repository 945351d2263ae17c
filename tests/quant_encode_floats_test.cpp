// The vector kernels of floating and fixed-point formats against the scalar definition.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/parallel.h"
#include "core/simd.h"
#include "quant/formats/codec.h"

using namespace ebb;

namespace {

std::vector<Simd> levels() {
  std::vector<Simd> all{Simd::scalar};
  for (const Simd level : {Simd::avx2, Simd::avx512}) {
    if (level <= best_simd()) all.push_back(level);
  }
  return all;
}

template <class Code>
int differing(const Encoding& encoding, const Grid& grid, std::span<const float> x, Simd simd,
              const std::vector<Code>& want, std::int64_t first) {
  std::vector<Code> got(x.size() + 1, 77);
  encode_elements(x.data(), std::ssize(x), grid, encoding, Key(9), first, simd, got.data());
  int wrong = got.back() == 77 ? 0 : 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (got[i] == want[i]) continue;
    if (++wrong == 1)
      MESSAGE(to_text(encoding.format), ' ', to_text(encoding.rounding), ' ', to_text(simd), ": ",
              x[i], " / ", grid.scale, " is ", int{got[i]}, " instead of ", int{want[i]});
  }
  return wrong;
}

/// How many elements some instruction set encodes otherwise than the definition.
template <class Code>
int differing(const Encoding& encoding, float scale, std::span<const float> x,
              std::int64_t first = 0) {
  const Grid grid{.bits = encoding.format.width,
                  .scale = scale * stored_unit(encoding.format),
                  .style = GridStyle::symmetric};
  std::vector<Code> want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    want[i] =
        encode_element<Code>(x[i], first + static_cast<std::int64_t>(i), grid, encoding, Key(9));
  int wrong = 0;
  for (const Simd simd : levels()) wrong += differing<Code>(encoding, grid, x, simd, want, first);
  return wrong;
}

int differing(std::string_view name, Rounding rounding, float scale, std::span<const float> x,
              std::int64_t first = 0) {
  const Encoding encoding{.format = Format::parse(name), .rounding = rounding};
  return traits_of(encoding.format).container(encoding.format) == Container::int8
             ? differing<std::int8_t>(encoding, scale, x, first)
             : differing<std::int16_t>(encoding, scale, x, first);
}

bool has_nan(std::string_view name) {
  const Format format = Format::parse(name);
  return traits_of(format).has_nan(format);
}

constexpr const char* kFormats[] = {"bf16",
                                    "fp16",
                                    "e4m3",
                                    "e5m2",
                                    "e3m2",
                                    "e2m3",
                                    "e2m1",
                                    "e4m3ieee",
                                    "e3m4",
                                    "e1m6",
                                    "e6m1",
                                    "e7m0",
                                    "e5m9",
                                    "e4m3fnuz",
                                    "e5m2fnuz",
                                    "binary8p4",
                                    "e3m0",
                                    "e2m1(bias=40)",
                                    "fixed8.6",
                                    "fixed8.6(scale=absmax)",
                                    "fixed12.3",
                                    "fp16(overflow=saturate)",
                                    "e5m2(overflow=ieee)",
                                    "e4m3(subnormals=no)",
                                    "posit8",
                                    "posit16",
                                    "posit(2,2)",
                                    "posit(3,3)",
                                    "posit(5,1)",
                                    "posit(8,0)",
                                    "posit(16,3)",
                                    "posit(8,1,underflow=yes)",
                                    "posit16(underflow=yes)",
                                    "posit(16,3,underflow=yes)"};

}  // namespace

TEST_CASE("kernels encode numbers of all sizes as the definition does, at every instruction set") {
  std::vector<float> x;
  for (std::uint32_t i = 0; i < 1 << 14; ++i) {  // every exponent, few bits and many
    const auto bits = static_cast<std::uint32_t>(Key(3).bits(i));
    x.push_back(std::bit_cast<float>(i << 18 | (i % 2 == 0 ? 0 : bits & 0x3ffff)));
  }
  for (const char* name : kFormats) {
    CAPTURE(name);
    std::vector<float> some;
    for (const float v : x) {
      if (!std::isnan(v) || has_nan(name)) some.push_back(v);
    }
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic})
      CHECK(differing(name, rounding, 1.0f, some) == 0);
  }
}

TEST_CASE("kernels see which side of a middle a quotient lies on") {
  for (const char* name : {"e4m3", "e5m2", "e2m1", "e3m2", "bf16", "fixed8.6(scale=absmax)",
                           "posit8", "posit16", "posit(8,3)"}) {
    CAPTURE(name);
    const auto numbers = all_numbers(Format::parse(name));
    for (const float scale : {3.0f / 448, 0.1f, 1.7e-20f, 0x1.fffffep9f, 0x1p-140f}) {
      std::vector<float> x;
      for (std::uint32_t i = 0; i < 4000; ++i) {
        const std::size_t code = Key(4).below(i, numbers.size() / 2 - 1);
        const double middle =
            (static_cast<double>(numbers[code]) + static_cast<double>(numbers[code + 1])) / 2;
        const auto near = static_cast<float>(middle * static_cast<double>(scale));
        if (!std::isfinite(near)) continue;
        x.push_back(near);
        x.push_back(std::nextafter(near, 0.0f));
        x.push_back(-std::nextafter(near, 1e38f));
      }
      for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic})
        CHECK(differing(name, rounding, scale, x) == 0);
    }
  }
}

TEST_CASE("kernels end where the elements end, wherever these begin") {
  std::vector<float> x(200);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Key(6).normal(i));
  for (const char* name : {"e4m3", "e2m1", "bf16", "e3m2", "posit8"}) {
    CAPTURE(name);
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      for (const int n : {0, 1, 3, 15, 16, 17, 31, 33, 63, 64, 65, 130, 200}) {
        for (const std::int64_t first : {0, 64, 100, 128})
          CHECK(differing(name, rounding, 0.01f, std::span(x).first(static_cast<std::size_t>(n)),
                          first) == 0);
      }
    }
  }
}

// A release check of minutes: ctest --test-dir build/release -C exhaustive -R exhaustive. Other
// roundings than these two have no kernels.
TEST_CASE("every float32 becomes the code of the definition" * doctest::skip()) {
  constexpr std::int64_t kBlock = 1 << 20;
  for (const char* name : {"bf16", "e4m3", "e5m2", "e2m1", "posit8"}) {
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      std::atomic<std::uint64_t> wrong = 0;
      parallel_for(
          std::int64_t{1} << 32,
          [&](std::int64_t begin, std::int64_t end) {
            std::vector<float> x;
            for (std::int64_t at = begin; at < end; at += kBlock) {
              x.resize(static_cast<std::size_t>(std::min(kBlock, end - at)));
              for (std::size_t i = 0; i < x.size(); ++i) {
                x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(at) +
                                            static_cast<std::uint32_t>(i));
                if (std::isnan(x[i]) && !has_nan(name)) x[i] = 0;
              }
              wrong += static_cast<std::uint64_t>(differing(name, rounding, 1.0f, x, at));
            }
          },
          kBlock, kBlock);
      CAPTURE(name);
      CHECK(wrong == 0);
    }
  }
}

// Likewise.
TEST_CASE("ten million random numbers become the codes of the definition in 16 bits" *
          doctest::skip()) {
  std::vector<float> x(10'000'000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto bits = static_cast<std::uint32_t>(Key(8).bits(i));
    x[i] = std::bit_cast<float>(bits);
    // Half of them from the binades that formats have numbers in.
    if (i % 2 == 0) x[i] = std::bit_cast<float>((bits & 0x9fffffff) | 0x20000000);
  }
  for (const char* name :
       {"fp16", "bf16", "e6m9", "e4m11", "posit16", "posit(16,1)", "posit(16,3)", "fixed16.8"}) {
    CAPTURE(name);
    std::vector<float> some;
    for (const float v : x) {
      if (!std::isnan(v) || has_nan(name)) some.push_back(v);
    }
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic})
      CHECK(differing(name, rounding, 1.0f, some) == 0);
  }
}
