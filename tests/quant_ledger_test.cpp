#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "quant/cost_model.h"
#include "quant/gemm.h"
#include "quant/ledger.h"

using namespace ebb;

namespace {

const Site kFirst{"conv1", {"first"}}, kMiddle{"stage1.conv"}, kLast{"fc", {"last"}};
const Format k8 = Format::integer(8), k4 = Format::integer(4), k32 = Format::fp32();

}  // namespace

TEST_CASE(
    "a product is charged macs x left width x right width, a float32 operand with 32 bits, by site "
    "and product") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 1000, k8, k4);
  ledger.charge(kLast, Product::forward, 10, k32, k32);
  ledger.charge(kFirst, Product::grad_right, 7, k8, k32);
  ledger.charge(kFirst, Product::forward, 1, k8, k4);
  CHECK(ledger.total_macs() == 1018);
  CHECK(ledger.total_bit_ops() == 1001 * 32 + 10 * 1024 + 7 * 256);
  REQUIRE(ledger.rows().size() == 2);
  CHECK(ledger.rows()[0].site.name == "conv1");
  CHECK(ledger.rows()[0].cells[0] == CostLedger::Cell{1001, 1001 * 32});
  CHECK(ledger.rows()[0].cells[1] == CostLedger::Cell{});
  CHECK(ledger.rows()[0].cells[2] == CostLedger::Cell{7, 7 * 256});
  CHECK(ledger.rows()[1].cells[0] == CostLedger::Cell{10, 10240});
}

TEST_CASE(
    "gemm charges exactly m n k, nothing for an empty product, and nominal positions for patches") {
  const Encoding e{k8};
  const Tensor x = Tensor::filled({3, 5}, 1.0f), w = Tensor::filled({5, 4}, 1.0f),
               none = Tensor::zeros({5, 0}), image = Tensor::filled({2 * 4 * 4, 3}, 1.0f),
               kernel = Tensor::filled({27, 6}, 1.0f);
  CostLedger ledger;
  const auto encoded = [&](const Tensor& t) {
    return Operand(t.matrix(), e, Granularity::per_tensor, Key(0));
  };
  gemm(encoded(x), encoded(w), {kFirst}, ledger);
  CHECK(ledger.total_macs() == 60);
  gemm(encoded(x), encoded(none), {kFirst}, ledger);
  CHECK(ledger.total_macs() == 60);
  // A 3 x 3 convolution with padding: all 9 taps count at all 32 positions. grad_left gathers from
  // 32 positions for 200 rows, say, and is charged with the convolution's own number of positions.
  PatchGeometry g{.images = 2,
                  .height = 4,
                  .width = 4,
                  .channels = 3,
                  .pixel_stride = 3,
                  .out_height = 4,
                  .out_width = 4,
                  .taps_y = 3,
                  .taps_x = 3,
                  .step = 1,
                  .divide = 1,
                  .pad_top = 1,
                  .pad_left = 1,
                  .nominal_positions = 32};
  gemm(encoded(image).patches(g), encoded(kernel), {kFirst}, ledger);
  CHECK(ledger.total_macs() == 60 + 32 * 27 * 6);
  g.out_height = 10, g.out_width = 10, g.divide = 2;
  gemm(encoded(kernel).transposed(), encoded(image).patches(g).transposed(), {kFirst}, ledger);
  CHECK(ledger.total_macs() == 60 + 2 * 32 * 27 * 6);
  CHECK(ledger.total_bit_ops() == ledger.total_macs() * 64);
}

TEST_CASE(
    "paper mode charges the whole model's forward macs with q^2 + 2 q g: 192 a mac at 8/8, 108 at "
    "6/6") {
  CostLedger ledger;
  for (int iteration = 0; iteration < 5; ++iteration) {
    ledger.charge(kFirst, Product::forward, 1000, k8, k8);
    ledger.charge(kLast, Product::forward, 10, k32,
                  k32);  // kept in fp32, and still charged as 8 bits by the papers
    ledger.charge(kLast, Product::grad_right, 10, k32, k32);
    ledger.close_iteration(k8, k8);
  }
  CHECK(ledger.paper_bit_ops() == 5 * 1010 * 192);
  CHECK(ledger.forward_macs() == 5 * 1010);
  CHECK(ledger.iterations() == 5);
  ledger.charge(kFirst, Product::forward, 1000, k8, k8);
  ledger.close_iteration(Format::integer(6), Format::integer(6));
  CHECK(ledger.paper_bit_ops() == 5 * 1010 * 192 + 1000 * 108);
  ledger.charge(kFirst, Product::forward, 1, k8, k8);
  ledger.close_iteration(Format::integer(3), k8);
  CHECK(ledger.paper_bit_ops() == 5 * 1010 * 192 + 1000 * 108 + 57);
}

TEST_CASE(
    "paper mode with weights, activations and gradients of 2, 4 and 8 bits: 4 x 2 + 8 x 2 + 4 x 8 "
    "= 56 a mac") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 1000, k4, Format::integer(2));
  ledger.close_iteration({.weight = Format::integer(2), .activation = k4, .gradient = k8});
  CHECK(ledger.paper_bit_ops() == 1000 * 56);
  CHECK(CostLedger::paper_bits({k8, k8, k8}) == 192);
  CHECK(CostLedger::paper_bits({Format::integer(3), Format::integer(3), k8}) == 57);
  CHECK(CostLedger::paper_bits(SiteFormats::fp32()) == 3 * 32 * 32);
}

TEST_CASE("a cost reference is three widths, for weights, activations and gradients") {
  CHECK(parse_cost_reference("8/8/8") == SiteFormats{k8, k8, k8});
  CHECK(parse_cost_reference("1/4/16") == SiteFormats{Format::integer(1), k4, Format::integer(16)});
  CHECK(parse_cost_reference("fp32/fp32/fp32") == SiteFormats::fp32());
  for (const char* text : {"8/8/8", "1/4/16", "fp32/8/fp32"})
    CHECK(cost_reference_text(parse_cost_reference(text)) == text);
  for (const char* bad :
       {"", "8", "8/8", "8/8/8/8", "8/8/", "/8/8", "8/8/8/", "0/8/8", "8/17/8", "08/8/8", "8/8/+8",
        "8/8/32", "int17/8/8", "8/8/8 ", "8,8,8", "fp9/fp8/fp8", "8/x/8/8"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_cost_reference(bad), ConfigError);
  }
}

TEST_CASE("the same products can be priced under another plan") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 100, k4, k4);
  ledger.charge(kFirst, Product::grad_right, 90, k4, k8);
  ledger.charge(kMiddle, Product::grad_left, 80, k8, k4);
  CHECK(ledger.bit_ops_under(PrecisionPlan::uniform(k8, k8)) == 270 * 64);
  CHECK(ledger.bit_ops_under(PrecisionPlan::uniform(k4, k8)) == ledger.total_bit_ops());
  CHECK(ledger.bit_ops_under(PrecisionPlan::fp32()) == 270 * 1024);
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(3), Format::integer(5));
  plan.keep_fp32({"first"});
  CHECK(ledger.bit_ops_under(plan) == 190 * 1024 + 80 * 15);
}

TEST_CASE(
    "a ledger survives its text, with counters beyond 64 bits, and counts on as if nothing had "
    "happened") {
  CostLedger ledger;
  const uint128 huge = (uint128{1} << 100) + 12345;
  ledger.charge(kFirst, Product::forward, huge, k8, k4);
  ledger.charge(kLast, Product::grad_left, 3, k32, k8);
  ledger.close_iteration(k8, k4);
  ledger.charge(kMiddle, Product::forward, 5, k8, k8);  // an open iteration
  ledger.count_overflow(kMiddle, Product::forward, uint128{1} << 70);
  CHECK(ledger.total_bit_ops() == huge * 32 + 3 * 256 + 5 * 64);
  CostLedger loaded = CostLedger::load(ledger.save());
  CHECK(loaded == ledger);
  CHECK(loaded.total_bit_ops() == ledger.total_bit_ops());
  CHECK(loaded.total_macs() == ledger.total_macs());
  CHECK(loaded.overflow_events() == uint128{1} << 70);
  CHECK(loaded.rows()[0].site.tags == std::vector<std::string>{"first"});
  for (CostLedger* l : {&loaded, &ledger}) {
    l->charge(kMiddle, Product::forward, 5, k8, k8);
    l->close_iteration(k8, k8);
  }
  CHECK(loaded == ledger);
  CHECK(CostLedger::load(CostLedger().save()) == CostLedger());
}

TEST_CASE("overflow events stay with the site and the product that they happened in") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 12, k8, k4);
  ledger.charge(kLast, Product::forward, 10, k8, k8);
  const std::string without = ledger.save();
  ledger.count_overflow(kFirst, Product::grad_right, 0);
  CHECK(ledger.save() == without);
  CHECK(without ==
        "ebb-ledger-3 0 0 0 22 0"
        "|conv1 first 12 384 0 0 1 int8 int4 exact 12 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
        "|fc last 10 640 0 0 1 int8 int8 exact 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0");
  ledger.count_overflow(kLast, Product::forward, 3);
  ledger.count_overflow(kLast, Product::grad_right, 4);
  CHECK(ledger.overflow_events() == 7);
  CHECK(ledger.save() ==
        "ebb-ledger-3 0 0 0 22 7"
        "|conv1 first 12 384 0 0 1 int8 int4 exact 12 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
        "|fc last 10 640 3 0 1 int8 int8 exact 10 0 0 0 0 0 0 0 4 0 0 0 0 0 0 0 0 0 0 0 0");
  const CostLedger loaded = CostLedger::load(ledger.save());
  CHECK(loaded == ledger);
  CHECK(loaded.overflow_events() == 7);
  CHECK(loaded.rows()[0].cells[0].overflow_events == 0);
  CHECK(loaded.rows()[1].cells[0] == CostLedger::Cell{10, 640, 3});
  CHECK(loaded.rows()[1].cells[2] == CostLedger::Cell{0, 0, 4});
}

TEST_CASE(
    "a ledger of version 0.1, which counted overflow events without their place, is read and "
    "counts on") {
  CostLedger ledger =
      CostLedger::load("ebb-ledger-2 1 576 10 0 98|fc last 10 640 0 0 10 640 0 0 0 0");
  CHECK(ledger.overflow_events() == 98);
  CHECK(ledger.rows()[0].cells[0] == CostLedger::Cell{10, 640});
  ledger.count_overflow(kLast, Product::forward, 2);
  CHECK(ledger.overflow_events() == 100);
  CHECK(ledger.rows()[0].cells[0].overflow_events == 2);
  CHECK(CostLedger::load(ledger.save()) == ledger);
}

TEST_CASE("products of one kind are counted together, in whatever order they come") {
  const Format e4m3 = Format::parse("e4m3"), mxfp4 = Format::parse("mxfp4");
  CostLedger one, other;
  one.charge(kFirst, Product::forward, 5, e4m3, e4m3);
  one.charge(kFirst, Product::forward, 7, mxfp4, mxfp4);
  one.charge(kFirst, Product::forward, 2, e4m3, e4m3, Accumulator::exact());
  one.charge(kFirst, Product::forward, 1, e4m3, e4m3, Accumulator::fp32());
  REQUIRE(one.rows()[0].operations[0].size() == 3);
  CHECK(one.rows()[0].operations[0][0].macs == 6);
  CHECK(one.rows()[0].operations[0][0].accumulator == Accumulator::fp32());
  CHECK(one.rows()[0].operations[0][1].accumulator == Accumulator::parse("fp32_blocked(32)"));
  other.charge(kFirst, Product::forward, 2, e4m3, e4m3, Accumulator::exact());
  other.charge(kFirst, Product::forward, 7, mxfp4, mxfp4);
  other.charge(kFirst, Product::forward, 6, e4m3, e4m3);
  CHECK(one == other);
  CHECK(CostLedger::load(one.save()) == one);
}

TEST_CASE("the scales of blocks are counted apart from bit-operations, once a product") {
  struct Case {
    const char* format;
    std::uint64_t bits;
  };
  // 3 x 70 by 70 x 5: rows and columns have three blocks of 32, or five of 16.
  for (const Case& c : {Case{"mxfp4", (3 + 5) * 3 * 8}, {"nvfp4", (3 + 5) * 5 * 8}, {"int8", 0}}) {
    CAPTURE(c.format);
    const Encoding e{Format::parse(c.format)};
    const Tensor x = Tensor::filled({3, 70}, 1.0f), w = Tensor::filled({70, 5}, 1.0f);
    CostLedger ledger;
    const auto by = [](bool blocks, Granularity granularity) {
      return blocks ? granularity : Granularity::per_tensor;
    };
    gemm(Operand(x.matrix(), e, by(c.bits > 0, Granularity::per_row), Key(0)),
         Operand(w.matrix(), e, by(c.bits > 0, Granularity::per_column), Key(0)), {kFirst}, ledger);
    CHECK(ledger.scale_bits() == c.bits);
    CHECK(ledger.rows()[0].cells[0].scale_bits == c.bits);
    CHECK(ledger.total_bit_ops() == uint128{3 * 70 * 5} * (c.format[0] == 'i' ? 64 : 16));
    CHECK(CostLedger::load(ledger.save()).scale_bits() == c.bits);
  }
}

/// docs/NUMERICS.md has these, with sums of 256 products.
TEST_CASE("cost models count what their formulas say") {
  struct Case {
    const char *format, *accumulator;
    double multiplier, datapath, throughput;
  };
  for (const Case& c : {
           Case{"int4", "auto", 16, 16 + 16, 0.25},
           {"int8", "auto", 64, 64 + 24, 0.5},
           {"int16", "auto", 256, 256 + 40, 1},
           {"int8", "wrap12", 64, 64 + 12, 0.5},
           {"fp32", "auto", 585, 585 + 183.5, 8},
           {"tf32", "auto", 130, 130 + 183.5, 2},
           {"fp16", "fp32", 127, 127 + 183.5, 1},
           {"bf16", "fp32", 73, 73 + 183.5, 1},
           {"e4m3", "fp32", 21, 21 + 183.5, 0.5},
           {"e5m2", "fp32", 15, 15 + 183.5, 0.5},
           {"fp16", "exact", 127, 127 + 44.5 * 6 + 89, 1},
           {"e4m3", "exact", 21, 21 + 22.5 * 5 + 45, 0.5},
           {"e5m2", "exact", 15, 15 + 36.5 * 6 + 73, 0.5},
           {"e3m2", "exact", 13, 13 + 13.5 * 4 + 27, 0.5},
           {"e2m3", "exact", 19, 19 + 10.5 * 3 + 21, 0.5},
           {"e2m1", "exact", 7, 7 + 8.5 * 3 + 17, 0.25},
           {"mxfp4", "auto", 7, 7 + 7 * 3 + 14 + (9 + 183.5) / 32, 0.25},
           {"nvfp4", "auto", 7, 7 + 6.5 * 3 + 13 + (16 + 5 + 183.5) / 16, 0.25},
           // Four bits of significand, of exponent those of 0 .. 48.
           {"posit8", "fp32", 16 + 6 + 1, 23 + 183.5, 0.5},
           // 14 bits and three more: 17 x 5 / 2 to align, 17 to add; the rest once in 32 products,
           // and a float32 sum once in 128.
           {"e4m3", "hopper", 21, 21 + 42.5 + 17 + (42.5 + 8.5 + 8) / 32 + 183.5 / 128, 0.5},
       }) {
    CAPTURE(std::string(c.format));
    CAPTURE(std::string(c.accumulator));
    const Format format = Format::parse(c.format);
    CostLedger ledger;
    ledger.charge(kFirst, Product::forward, 10, format, format, Accumulator::parse(c.accumulator));
    CHECK(cost(ledger, CostModel::parse("multiplier")) == 10 * c.multiplier);
    CHECK(cost(ledger, CostModel::parse("datapath")).value() == doctest::Approx(10 * c.datapath));
    CHECK(cost(ledger, CostModel::parse("throughput")) == 10 * c.throughput);
    CHECK(cost(ledger, CostModel{}) == static_cast<double>(ledger.total_bit_ops()));
  }
}

TEST_CASE("cost models as text: settings, their numbers, and what is refused") {
  for (const char* text : {"bits", "multiplier", "datapath(K=4096)"})
    CHECK(to_text(CostModel::parse(text)) == text);
  CHECK(CostModel::parse("m2") == CostModel::parse("datapath(K=256)"));
  CHECK(to_text(CostModel::parse("m3")) == "throughput(4=4,8=2,16=1,19=0.5,32=0.125)");
  const CostModel slow = CostModel::parse("throughput(4=2,8=1.4,posit8=0.5)");
  CHECK(CostModel::parse(to_text(slow)) == slow);
  const Format e2m1 = Format::parse("e2m1"), e3m2 = Format::parse("e3m2"),
               posit = Format::parse("posit8");
  CHECK(slow.of(e2m1, e2m1, {}) == 1 / 2.0);
  CHECK(slow.of(e2m1, e3m2, {}) == 1 / 1.4);  // the slower one counts
  CHECK(slow.of(e2m1, posit, {}) == 1 / 0.5);
  CHECK(CostModel::parse("datapath(K=1)").of(k8, k8, Accumulator::exact()) == 64 + 16);
  for (const char* bad : {"", "m4", "m", "datapath(K=0)", "datapath(k=4)", "datapath(K=4",
                          "bits(1)", "throughput(8)", "throughput(8=0)", "throughput(33=1)",
                          "throughput(e9m9=1)", "throughput(8=nan)", "multiplier(K=3)"}) {
    CAPTURE(std::string(bad));
    CHECK_THROWS_AS(CostModel::parse(bad), ConfigError);
  }
}

TEST_CASE("what another plan would cost, and what a ledger of version 0.1 cannot say") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 10, k8, k4);
  ledger.charge(kFirst, Product::grad_left, 10, k8, k8);
  PrecisionPlan plan;
  plan.base.set_formats(SiteFormats{k4, k4, k8});
  CHECK(ledger.bit_ops_under(plan) == 10 * 16 + 10 * 32);
  CHECK(cost_under(ledger, CostModel::parse("datapath"), plan) == 10 * (16 + 16) + 10 * (32 + 20));
  const CostLedger old =
      CostLedger::load("ebb-ledger-2 1 576 10 0 0|fc last 10 640 0 0 0 0 0 0 0 0");
  CHECK_FALSE(cost(old, CostModel::parse("datapath")).has_value());
  CHECK(cost(old, CostModel{}) == 640);
  CHECK(CostLedger::load(old.save()) == old);
}

TEST_CASE("a text that is no ledger is refused") {
  CostLedger ledger;
  ledger.charge(kFirst, Product::forward, 12, k8, k4);
  const std::string good = ledger.save();
  CHECK_NOTHROW(CostLedger::load(good));
  std::vector<std::string> bad{"",
                               "x",
                               "ebb-ledger-1 0 0 0 0 0",
                               "ebb-ledger-2 0 0 0 0",
                               "ebb-ledger-3 0 0 0 10 0|fc last 9 640 0 0 1 int8 int8 exact 10"
                               " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
                               "ebb-ledger-3 0 0 0 10 0|fc last 10 640 0 0 1 int99 int8 exact 10"
                               " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
                               good + "|",
                               good + " 1",
                               good + "|conv 1 2 3",
                               "ebb-ledger-2 0 0 0 10 2|fc last 10 640 0 0 0 0 0 0 0 0 3 0 0 0 0"};
  for (std::size_t length = 0; length + 3 < good.size(); ++length) {
    if (good[length] == ' ' || good[length] == '|')
      bad.push_back(good.substr(0, length));  // cut at a word, but inside the last site
  }
  for (const std::string& text : bad) {
    if (text == good.substr(0, good.find('|'))) continue;  // a whole ledger without sites
    CAPTURE(text);
    CHECK_THROWS_AS(CostLedger::load(text), DataError);
  }
}

TEST_CASE("numbers of up to 128 bits are read, longer and other ones refused") {
  CHECK(parse_uint128("0") == 0);
  CHECK(parse_uint128("340282366920938463463374607431768211455") == ~uint128{0});
  for (const std::string text : {"", "-1", "340282366920938463463374607431768211456",
                                 "9999999999999999999999999999999999999999", "1x", " 1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_uint128(text), DataError);
  }
}

TEST_CASE("the papers' units") {
  CHECK(CostLedger::giga_bit_ops(uint128{2'500'000'000}) == 2.5);
  CHECK(CostLedger::effective_flops(uint128{2048}) == 2.0);
}
