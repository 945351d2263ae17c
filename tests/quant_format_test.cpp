#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/simd.h"
#include "quant/formats/format.h"
#include "quant/formats/grid.h"
#include "quant/gemm.h"
#include "quant/ledger.h"
#include "quant/operand.h"

using namespace ebb;

TEST_CASE("formats, grids, roundings and accumulators print and read back") {
  CHECK(Format::parse("fp32") == Format::fp32());
  for (int bits = 1; bits <= 16; ++bits) {
    CHECK(Format::parse(to_text(Format::integer(bits))) == Format::integer(bits));
    CHECK(Format::integer(bits).bits == bits);
  }
  CHECK(Format::fp32().bits == 32);
  for (const Format format :
       {Format::fp32(), Format::integer(3), Format::integer(8), Format::integer(9)}) {
    const FormatTraits& traits = traits_of(format);
    Format read;
    CHECK(traits.parse(traits.print(format), read));
    CHECK(read == format);
    if (traits.arithmetic != Arithmetic::linear) continue;
    CHECK(traits.largest(format) ==
          1 << (format.bits - 1));  // that of the lowest two's complement code
    CHECK(traits.code_bytes(format) == (format.bits <= 8 ? 1 : 2));
  }
  for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric})
    CHECK(parse_grid_style(to_text(style)) == style);
  for (const Rounding r : {Rounding::nearest_even, Rounding::stochastic})
    CHECK(parse_rounding(to_text(r)) == r);
  for (const Accumulator a : {Accumulator::exact(), Accumulator::wrap(2), Accumulator::wrap(62),
                              Accumulator::saturate(16)}) {
    CHECK(Accumulator::parse(to_text(a)) == a);
  }
  CHECK(to_text(Accumulator::saturate(16)) == "sat16");
  CHECK(to_text(Role::gradient) == "gradient");
  CHECK(to_text(Product::grad_left) == "grad_left");
}

TEST_CASE("unknown names and impossible widths are refused with what there is") {
  for (const std::string text : {"", "int", "int0", "int17", "int8 ", "int-4", "INT8", "fp16",
                                 "int08x", "int08", "int+8", "int016"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Format::parse(text), ConfigError);
  }
  CHECK_THROWS_WITH_AS(Format::parse("int99"),
                       "[format] unknown format 'int99'; known: fp32, int1 .. int16", ConfigError);
  CHECK_THROWS_WITH_AS(Format::integer(0), "[format] integer formats have 1 to 16 bits, got 0",
                       ConfigError);
  CHECK_THROWS_WITH_AS(
      parse_rounding("stochstic"),
      "unknown rounding 'stochstic'; did you mean 'stochastic'? Known: nearest-even, stochastic",
      ConfigError);
  CHECK_THROWS_AS(parse_grid_style("afine"), ConfigError);
  for (const std::string text : {"", "wrap", "wrap1", "wrap63", "sat0", "saturate16", "exact16",
                                 "sat-4", "sat08", "wrap016", "wrap+8"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Accumulator::parse(text), ConfigError);
  }
}

TEST_CASE(
    "SIMD levels read back, the machine's best is one of them, and a level beyond it is refused") {
  CHECK(parse_simd("auto") == best_simd());
  CHECK(parse_simd("scalar") == Simd::scalar);
  for (const Simd level : {Simd::avx2, Simd::avx512}) {
    if (level <= best_simd()) {
      CHECK(parse_simd(to_text(level)) == level);
    } else {
      CHECK_THROWS_AS(parse_simd(to_text(level)), ConfigError);
    }
  }
  CHECK_THROWS_AS(parse_simd("avx"), ConfigError);
}

TEST_CASE(
    "formats and accumulators put together by hand are refused wherever numbers are encoded, "
    "multiplied or charged") {
  const Tensor x = Tensor::zeros({2, 2});
  const Site site{"fc"};
  CostLedger ledger;
  ledger.charge(site, Product::forward, 8, Format::integer(8), Format::integer(8));
  for (const Format bad : {Format{Format::Kind::integer, 0}, Format{Format::Kind::integer, 17},
                           Format{Format::Kind::integer, 24}, Format{Format::Kind::integer, 32},
                           Format{Format::Kind::integer, 255}, Format{Format::Kind::fp32, 8}}) {
    CAPTURE(int{bad.bits});
    CHECK_THROWS_AS(Operand(x.matrix(), {.format = bad}, Granularity::per_tensor, Key(1)),
                    ConfigError);
    CHECK_THROWS_AS(ledger.charge(site, Product::forward, 8, bad, Format::fp32()), ConfigError);
    CHECK_THROWS_AS(
        static_cast<void>(ledger.bit_ops_under(PrecisionPlan::uniform(bad, Format::integer(8)))),
        ConfigError);
    CHECK(ledger.total_bit_ops() == 512);
    if (!bad.is_fp32())
      CHECK_THROWS_AS(Grid::fit({0, 1}, bad.bits, GridStyle::affine), ConfigError);
  }
  const Grid wide{.bits = 20};
  std::int16_t codes[2];
  CHECK_THROWS_AS(
      encode_run(x.data(), 2, wide, Rounding::nearest_even, Key(1), 0, Simd::scalar, codes),
      ConfigError);
  const Operand a(x.matrix(), {.format = Format::integer(8)}, Granularity::per_tensor, Key(1));
  for (const int bits : {0, 1, 63, 64}) {
    const Accumulator bad{Accumulator::Kind::wrap, static_cast<std::uint8_t>(bits)};
    CHECK_THROWS_AS(
        gemm(a, a, {.site = site, .product = Product::forward, .accumulator = bad}, ledger),
        ConfigError);
  }
}
