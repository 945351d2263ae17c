#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

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
    CHECK(cost_bits(Format::integer(bits)) == bits);
  }
  for (int exponent = 1; exponent <= 8; ++exponent) {
    for (int fraction = 0; fraction <= (exponent == 1 ? 6 : 23); ++fraction) {
      const Format format = Format::floating(exponent, fraction);
      CHECK(Format::parse(to_text(format)) == format);
      const bool e8m0 = exponent == 8 && fraction == 0;  // the format of scales has no sign
      CHECK(cost_bits(format) == (e8m0 ? 0 : 1) + exponent + fraction);
    }
  }
  struct Fact {
    const char *name, *printed;
    Container container;
    Arithmetic arithmetic;
    std::int64_t largest = 0;  // of linear codes
  };
  const Fact facts[] = {
      {"int3", "int3", Container::int8, Arithmetic::linear, 4},
      {"int8", "int8", Container::int8, Arithmetic::linear, 128},
      {"int9", "int9", Container::int16, Arithmetic::linear, 256},
      {"fp32", "fp32", Container::float32, Arithmetic::float32},
      {"e8m23", "fp32", Container::float32, Arithmetic::float32},
      {"tf32", "tf32", Container::float32, Arithmetic::float32},
      {"e5m10", "fp16", Container::int16, Arithmetic::decoded},
      {"bf16", "bf16", Container::int16, Arithmetic::decoded},
      {"fp8", "e4m3", Container::int8, Arithmetic::decoded},
      {"fp6", "e3m2", Container::int16, Arithmetic::linear, 28 << 4},
      {"e2m3", "e2m3", Container::int8, Arithmetic::linear, 60},
      {"fp4", "e2m1", Container::int8, Arithmetic::linear, 12},
      {"e4m3(inf=no,nan=no)", "e4m3(nan=no)", Container::int8, Arithmetic::decoded},
      {"posit8", "posit8", Container::int8, Arithmetic::decoded},
      {"posit(12,1)", "posit(12,1)", Container::int16, Arithmetic::decoded},
      {"fixed8.6", "fixed8.6", Container::int8, Arithmetic::linear, 128},
      {"fixed8.6(scale=absmax)", "fixed8.6(scale=absmax)", Container::int8, Arithmetic::linear,
       127},
      {"fixed12.3", "fixed12.3", Container::int16, Arithmetic::linear, 2048},
      {"mxfp4", "mxfp4", Container::int8, Arithmetic::blocks},
      {"mxint8", "mxint8", Container::int8, Arithmetic::blocks}};
  for (const Fact& fact : facts) {
    CAPTURE(fact.name);
    const Format format = Format::parse(fact.name);
    CHECK(to_text(format) == fact.printed);
    CHECK(traits_of(format).container(format) == fact.container);
    CHECK(traits_of(format).arithmetic(format) == fact.arithmetic);
    if (fact.arithmetic == Arithmetic::linear)
      CHECK(traits_of(format).largest(format) == fact.largest);
  }
  for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric})
    CHECK(parse_grid_style(to_text(style)) == style);
  for (const char* name : {"nearest-even", "nearest-away", "toward-zero", "away", "up", "down",
                           "odd", "stochastic", "sr1", "sr8", "sr32"})
    CHECK(to_text(parse_rounding_mode(name)) == name);
  CHECK(parse_rounding_mode("sr8") == RoundingMode{Rounding::stochastic, 8});
  CHECK_THROWS_AS(parse_rounding_mode("sr0"), ConfigError);
  CHECK_THROWS_AS(parse_rounding_mode("sr33"), ConfigError);
  for (const char* name : {"auto", "exact", "wrap2", "wrap62", "sat16", "fp32", "fp32_blocked(128)",
                           "f_seq(bf16)", "f_chunk(e5m2,64)", "tc(13,32,128)", "tc(25,32)"})
    CHECK(to_text(Accumulator::parse(name)) == name);
  CHECK(Accumulator::parse("hopper") == Accumulator::parse("tc(13, 32, 128)"));
  CHECK(Accumulator::parse("quire") == Accumulator::exact());
  CHECK(to_text(Accumulator::saturate(16)) == "sat16");
  CHECK(to_text(Role::gradient) == "gradient");
  CHECK(to_text(Product::grad_left) == "grad_left");
}

TEST_CASE("unknown names and impossible widths are refused with what there is") {
  for (const std::string text :
       {"",       "int",   "int0",  "int17",  "int8 ", "int-4", "INT8",  "fp64",
        "int08x", "int08", "int+8", "int016", "e9m3",  "e0m3",  "e4m24", "e1m7",
        "e4m",    "em3",   "e4",    "e04m3",  "E4M3",  "e4m3 "}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Format::parse(text), ConfigError);
  }
  CHECK_THROWS_WITH_AS(Format::integer(0), "[format] integer formats have 1 to 16 bits, got 0",
                       ConfigError);
  CHECK_THROWS_WITH_AS(
      parse_rounding("stochstic"),
      "unknown rounding 'stochstic'; did you mean 'stochastic'? Known: nearest-even, stochastic, "
      "nearest-away, toward-zero, away, up, down, odd",
      ConfigError);
  CHECK_THROWS_AS(parse_grid_style("afine"), ConfigError);
  for (const std::string text : {"",
                                 "wrap",
                                 "wrap1",
                                 "wrap63",
                                 "sat0",
                                 "saturate16",
                                 "exact16",
                                 "sat-4",
                                 "sat08",
                                 "wrap016",
                                 "wrap+8",
                                 "fp32_blocked",
                                 "fp32_blocked(0)",
                                 "f_seq()",
                                 "f_seq(int8)",
                                 "f_chunk(bf16)",
                                 "tc(13)",
                                 "tc(41,32)",
                                 "tc(13,32",
                                 "tc(13,32,0)"}) {
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
  std::vector<Format> all;
  for (const int width : {0, 17, 24, 32, 255}) {
    all.push_back(Format::integer(8));
    all.back().width = static_cast<std::uint8_t>(width);
  }
  all.push_back(Format::integer(8));
  all.back().exponent = 4;
  all.push_back(Format::fp32());
  all.back().width = 8;
  all.push_back(Format::fp32());
  all.back().bias = 126;
  all.push_back({.kind = static_cast<Format::Kind>(7)});
  for (const Format bad : all) {
    CAPTURE(int{bad.width});
    CHECK_THROWS_AS(Operand(x.matrix(), {.format = bad}, Granularity::per_tensor, Key(1)),
                    ConfigError);
    CHECK_THROWS_AS(ledger.charge(site, Product::forward, 8, bad, Format::fp32()), ConfigError);
    CHECK_THROWS_AS(
        static_cast<void>(ledger.bit_ops_under(PrecisionPlan::uniform(bad, Format::integer(8)))),
        ConfigError);
    CHECK(ledger.total_bit_ops() == 512);
  }
  for (const int bits : {0, 17, 255})
    CHECK_THROWS_AS(Grid::fit({0, 1}, bits, GridStyle::affine), ConfigError);
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

TEST_CASE("a product's accumulator is the one asked for, or what its formats have") {
  struct Case {
    const char *asked, *a, *b, *used;  // nothing: refused
  };
  const Case cases[] = {{"auto", "int8", "int4", "exact"},
                        {"auto", "e2m1", "e3m2", "exact"},
                        {"auto", "e2m1", "e4m3", "fp32"},
                        {"auto", "bf16", "bf16", "fp32"},
                        {"auto", "int8", "bf16", "fp32"},
                        {"wrap16", "int8", "int8", "wrap16"},
                        {"wrap16", "e2m1", "e2m1", "wrap16"},
                        {"wrap16", "e4m3", "e4m3", ""},
                        {"hopper", "e4m3", "e2m1", "tc(13,32,128)"},
                        {"hopper", "int8", "int8", ""},
                        {"exact", "e5m2", "e4m3", "exact"},
                        {"exact", "int8", "e4m3", ""},
                        {"auto", "mxfp4", "e2m1", "fp32"},
                        {"hopper", "mxfp4", "e4m3", ""},
                        {"exact", "e2m1", "mxfp4", ""},
                        {"auto", "mxfp4", "nvfp4", "fp32_blocked(16)"},
                        {"fp32", "int8", "e4m3", "fp32"}};
  for (const Case& c : cases) {
    CAPTURE(c.asked);
    CAPTURE(c.a);
    CAPTURE(c.b);
    const auto used = [&] {
      return to_text(resolve(Accumulator::parse(c.asked), Format::parse(c.a), Format::parse(c.b)));
    };
    if (*c.used == 0) {
      CHECK_THROWS_AS(used(), ConfigError);
    } else {
      CHECK(used() == c.used);
    }
  }
}
