#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "core/error.h"
#include "quant/gemm.h"
#include "quant/kernels/problem.h"

using namespace ebb;

namespace {

Operand encoded(const Tensor& x, Format format) {
  return Operand(x.matrix(), {format}, Granularity::per_tensor, Key(1));
}

}  // namespace

TEST_CASE("a convolution's kernels have names of their own, in every direction") {
  const Site site{"conv"};
  const PatchGeometry g{.images = 2,
                        .height = 5,
                        .width = 5,
                        .channels = 4,
                        .pixel_stride = 4,
                        .out_height = 5,
                        .out_width = 5,
                        .taps_y = 3,
                        .taps_x = 3,
                        .pad_top = 1,
                        .pad_left = 1,
                        .nominal_positions = 50};
  const Tensor x = Tensor::filled({50, 4}, 1.0f), w = Tensor::filled({36, 6}, 1.0f),
               dy = Tensor::filled({50, 6}, 1.0f);
  struct Case {
    Format format;
    Simd simd;
    std::string_view name;
  };
  const Case cases[] = {{Format::integer(8), Simd::scalar, "conv-codes-portable"},
                        {Format::integer(8), Simd::avx2, "conv-codes-avx2"},
                        {Format::integer(8), Simd::avx512, "conv-int8-avx512"},
                        {Format::integer(12), Simd::avx512, "conv-codes-avx512"},
                        {Format::fp32(), Simd::scalar, "conv-float-portable"},
                        {Format::fp32(), Simd::avx2, "conv-float-avx2"},
                        {Format::fp32(), Simd::avx512, "conv-float-avx512"}};
  for (const Case& c : cases) {
    if (c.simd > best_simd()) continue;
    CAPTURE(c.name);
    const Operand patches = encoded(x, c.format).patches(g);
    const Multiply how{.site = site, .simd = c.simd};
    CHECK(choose_kernel(patches, encoded(w, c.format), how) == c.name);
    CHECK(choose_kernel(patches.transposed(), encoded(dy, c.format), how) == c.name);
  }
}

TEST_CASE("a kernel that does not exist is refused by name, with the ones there are") {
  const Tensor one = Tensor::filled({1, 1}, 1.0f);
  const Operand a = encoded(one, Format::integer(8));
  CostLedger ledger;
  const Site site{"fc"};
  try {
    gemm(a, a, {.site = site, .kernel = "warp"}, ledger);
    FAIL("accepted");
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    CHECK(message.find("'warp'") != std::string::npos);
    CHECK(message.find("reference") != std::string::npos);
  }
  CHECK(ledger.total_macs() == 0);
}

TEST_CASE("operands that no kernel declares to multiply are refused, not multiplied as integers") {
  float out[4];
  const Tensor twos = Tensor::filled({2, 3}, 2.0f), ones = Tensor::filled({3, 2}, 1.0f);
  const Operand left = encoded(twos, Format::integer(8)), right = encoded(ones, Format::integer(8)),
                e4m3 = encoded(ones, Format::parse("e4m3"));
  for (const auto& [a, b] : {std::pair{left, right.decoded()}, std::pair{left.decoded(), right},
                             std::pair{left, e4m3}, std::pair{left.decoded(), e4m3}}) {
    const kernels::Problem mixed{a, b, Accumulator::exact(), {out, 2, 2, 2}};
    for (const kernels::Kernel& kernel : kernels::all_kernels()) CHECK_FALSE(kernel.applies(mixed));
    CHECK_THROWS_AS((void)kernels::first_kernel(mixed, best_simd()), ConfigError);
  }
}
