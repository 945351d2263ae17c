#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "data/npy.h"
#include "errors.h"
#include "quant/formats/block.h"
#include "quant/formats/codec.h"
#include "scratch.h"
#include "tools/gemm_command.h"
#include "train/files.h"

using namespace ebb;
using test::contains;
using tools::GemmOptions;

namespace {

void write(const std::string& path, const Tensor& x) {
  train::write_file(path, to_npy(x.values(), x.shape().extents()));
}

/// What the command writes and says of two matrices.
struct Product {
  Tensor c, exact;
  nlohmann::json report;

  Product(const Tensor& a, const Tensor& b, GemmOptions options) {
    const Scratch scratch;
    write(scratch / "a.npy", a);
    write(scratch / "b.npy", b);
    options.a = scratch / "a.npy";
    options.b = scratch / "b.npy";
    options.out = scratch / "c.npy";
    options.exact = scratch / "e.npy";
    options.json = true;
    std::ostringstream out;
    tools::multiply_files(options, out);
    report = nlohmann::json::parse(out.str());
    c = read_npy(options.out);
    exact = read_npy(options.exact);
  }
};

Tensor normal(const Shape& shape, std::uint64_t seed) {
  Tensor x = Tensor::zeros(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(seed).normal(static_cast<std::uint64_t>(i)));
  return x;
}

std::string refusal(const Tensor& a, const Tensor& b, const GemmOptions& options) {
  try {
    Product(a, b, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("gemm multiplies numbers that the formats hold as they are") {
  const Tensor a = Tensor::from({2, 3}, std::vector<float>{1, 2, 3, -4, 0, 1.5f}),
               b = Tensor::from({3, 2}, std::vector<float>{1, -1, 0.5f, 2, 2, 1});
  for (const char* format : {"fp32", "e4m3(scale=none)", "bf16", "posit16", "fixed8.1", "mxfp8"}) {
    CAPTURE(format);
    const Product p(a, b, {.format = format});
    CHECK(p.c.values()[0] == 8.0f);   // 1 * 1 + 2 * 0.5 + 3 * 2
    CHECK(p.c.values()[1] == 6.0f);   // -1 + 4 + 3
    CHECK(p.c.values()[2] == -1.0f);  // -4 + 3
    CHECK(p.c.values()[3] == 5.5f);   // 4 + 1.5
    CHECK(p.report["sums"]["largest_error"] == 0.0);
    CHECK(p.report["sums"]["sqnr_db"] == "inf");
  }
}

TEST_CASE("gemm shows what an accumulator makes of the sum of 300 ones") {
  struct Case {
    const char *format, *accumulator, *said;
    float sum;
  };
  const Case cases[] = {{"e4m3(scale=none)", "auto", "fp32", 300},
                        {"e4m3(scale=none)", "f_seq(bf16)", "f_seq(bf16)", 256},  // 257 is no bf16
                        {"e4m3(scale=none)", "f_seq(e4m3)", "f_seq(e4m3)", 16},   // nor 17 an e4m3
                        {"e4m3(scale=none)", "hopper", "tc(13,32,128)", 300},
                        {"fixed8.0", "sat8", "sat8", 127}};
  for (const Case& c : cases) {
    CAPTURE(c.accumulator);
    const Product p(Tensor::filled({1, 300}, 1), Tensor::filled({300, 1}, 1),
                    {.format = c.format, .accumulator = c.accumulator});
    CHECK(p.c.item() == c.sum);
    CHECK(p.exact.item() == 300.0f);
    CHECK(p.report["accumulator"] == c.said);
    CHECK(p.report["sums"]["largest_error"] == 300.0 - double{c.sum});
    // The 127 additions to one after the first reach 127 without an event.
    CHECK(p.report["overflow_events"] == (std::string(c.accumulator) == "sat8" ? "173" : "0"));
  }
}

TEST_CASE("gemm encodes both matrices along the axis that is contracted, b with the next seed") {
  const Tensor a = normal({3, 40}, 1), b = normal({40, 5}, 2);  // the last block has 8 elements
  const Format format = Format::parse("mxfp4"), element = Format::parse("e2m1(scale=none)");
  for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
    std::vector<float> left(120), right(200);
    const auto encode_line = [&](const Tensor& x, std::int64_t first, std::int64_t stride,
                                 std::vector<float>& out) {
      for (std::int64_t block = 0; block < 40; block += 32) {
        std::vector<float> values;
        for (std::int64_t k = block; k < std::min<std::int64_t>(40, block + 32); ++k)
          values.push_back(x[first + k * stride]);
        const EncodedBlock nearest =
            encode_block(format, values, {}, Rounding::nearest_even, Key(0), 0);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::int64_t at = first + (block + static_cast<std::int64_t>(i)) * stride;
          float& value = out[static_cast<std::size_t>(at)];
          value = nearest.values[i];
          if (rounding != Rounding::stochastic) continue;
          const std::uint32_t code =
              encode(element, values[i], nearest.scale, rounding, Key(stride == 1 ? 7 : 8),
                     static_cast<std::uint64_t>(at));
          value = decode(element, code, nearest.scale);
        }
      }
    };
    for (std::int64_t i = 0; i < 3; ++i) encode_line(a, i * 40, 1, left);
    for (std::int64_t j = 0; j < 5; ++j) encode_line(b, j, 5, right);
    const Product p(a, b, {.format = "mxfp4", .rounding = to_text(rounding), .seed = 7});
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < 5; ++j) {
        double sum = 0;  // exact: products are of few bits
        for (std::int64_t k = 0; k < 40; ++k)
          sum += double{left[static_cast<std::size_t>(i * 40 + k)]} *
                 double{right[static_cast<std::size_t>(k * 5 + j)]};
        CHECK(p.exact[i * 5 + j] == static_cast<float>(sum));
      }
    }
  }
}

TEST_CASE("gemm compares with sums in twice float64's precision") {
  // 2^60 + 1 - 2^60: float64 loses the 1 behind 2^60, the sum does not.
  const Tensor a = Tensor::from({1, 3}, std::vector<float>{0x1p60f, 1, -0x1p60f});
  const Product p(a, Tensor::filled({3, 1}, 1), {.format = "fp32"});
  CHECK(p.exact.item() == 1.0f);
  CHECK(p.c.item() == 0.0f);
  CHECK(p.report["sums"]["largest_error"] == 1.0);
}

TEST_CASE("gemm shares scales as it is told") {
  const Tensor a = Tensor::from({2, 1}, std::vector<float>{1536, 6}), b = Tensor::filled({1, 1}, 6);
  CHECK(Product(a, b, {.format = "e2m1"}).c[1] == 0.0f);  // 6 / 256 is far below 1/2
  CHECK(Product(a, b, {.format = "e2m1", .per = "channel"}).c[1] == 36.0f);
  CHECK(Product(a, b, {.format = "e2m1", .scale = "none"}).c[0] == 36.0f);
  const Product grids(a, Tensor::filled({1, 1}, 7),
                      {.format = "int4", .grid = "symmetric", .per = "channel"});
  CHECK(grids.c[0] == doctest::Approx(1536 * 7));
  CHECK(grids.c[1] == doctest::Approx(42));
  const Product mixed(a, b, {.format_a = "int8", .format_b = "bf16"});
  CHECK(mixed.report["b"]["format"] == "bf16");
  CHECK(mixed.report["accumulator"] == "fp32");
}

TEST_CASE("gemm refuses what it cannot multiply and says why") {
  const Tensor a = Tensor::filled({2, 3}, 1), b = Tensor::filled({3, 2}, 1);
  struct Case {
    Tensor left, right;
    GemmOptions options;
    const char* why;
  };
  const Case cases[] = {
      {a, a, {.format = "e4m3"}, "/b.npy is 2 x 3: the columns of the first"},
      {Tensor::filled({3}, 1),
       b,
       {.format = "e4m3"},
       "expected a matrix [rows, columns] of numbers, got [3]"},
      {a, Tensor::filled({3, 2}, NAN), {.format = "e4m3"}, "/b.npy is nan"},
      {a, b, {}, "--format-a is missing"},
      {a, b, {.format_a = "e4m3"}, "--format-b is missing"},
      {a, b, {.format = "e8m0"}, "e8m0 is a format of scales"},
      {a, b, {.format = "e4m4x"}, "unknown format"},
      {a, b, {.format = "e4m3", .accumulator = "wrap16"}, "wrap16 sums no products of e4m3"},
      {a, b, {.format = "fp32", .accumulator = "exact"}, "with a float32 matrix is summed in fp32"},
      {a, b, {.format = "int4", .scale = "absmax"}, "--scale absmax has no effect"},
      {a, b, {.format = "e4m3", .scale = "absmin"}, "unknown scale 'absmin'; did you mean"},
      {a, b, {.format = "e4m3", .grid = "affine"}, "--grid affine has no effect"},
      {a, b, {.format = "mxfp4", .per = "channel"}, "--per channel has no effect"},
      {a, b, {.format = "e4m3", .per = "row"}, "unknown --per 'row'"},
      {a, b, {.format = "mxfp4", .rounding = "sr8"}, "draw 32 bits"},
      {a, b, {.format = "int1", .grid = "symmetric"}, "2 bits"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string said = refusal(c.left, c.right, c.options);
    CAPTURE(said);
    CHECK(contains(said, c.why));
  }
}
