#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/formats/grid.h"
#include "scratch.h"
#include "tools/quantize_command.h"

using namespace ebb;
using tools::QuantizeOptions;

namespace {

std::string run(const QuantizeOptions& options, const std::string& input) {
  std::istringstream in(input);
  std::ostringstream out;
  tools::quantize(options, in, out);
  return out.str();
}

std::string hex(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%a", value);
  return buffer;
}

}  // namespace

TEST_CASE("quantize prints each number, its code and its value on one grid over all of them") {
  CHECK(run({.format = "int2"}, "0\n1\n1.5\n0x1.8p+1\n2.5\n") ==
        "input\tcode\tvalue\n0\t0\t0x0p+0\n1\t1\t0x1p+0\n1.5\t2\t0x1p+1\n0x1.8p+1\t3\t0x1.8p+1\n2."
        "5\t2\t0x1p+1\n");
  CHECK(run({.format = "int3", .grid = "symmetric"}, "-6\n 1 \r\n+3\n-0X1P-1") ==
        "input\tcode\tvalue\n-6\t-3\t-0x1.8p+2\n1\t0\t0x0p+0\n+3\t2\t0x1p+2\n-0X1P-1\t0\t0x0p+0\n");
  CHECK(run({.format = "int8"}, "-0.1\n-0.1\n") == "input\tcode\tvalue\n-0.1\t0\t" +
                                                       hex(double{-0.1f}) + "\n-0.1\t0\t" +
                                                       hex(double{-0.1f}) + "\n");
}

TEST_CASE(
    "quantize agrees with the library for every format and rounding, and hex floats print as C's "
    "%a does") {
  std::vector<float> x;
  std::string input;
  for (std::uint64_t i = 0; i < 300; ++i) {
    x.push_back(static_cast<float>(Key(3).normal(i)));
    input += (i % 2 == 0 ? hex(double{x.back()}) : to_text(x.back())) + "\n";
  }
  for (int bits = 1; bits <= 16; ++bits) {
    for (const std::string grid_name : {"affine", "symmetric"}) {
      if (bits == 1 && grid_name == "symmetric") continue;
      const Grid grid =
          Grid::fit(measure_range({x.data(), 300, 1, 1, 1}), bits, parse_grid_style(grid_name));
      std::string nearest = "input\tcode\tvalue\n", stochastic = nearest;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::string text = i % 2 == 0 ? hex(double{x[i]}) : to_text(x[i]);
        const int even = encode(x[i], grid), drawn = encode(x[i], grid, rounding_bits(Key(9), i));
        nearest += text + "\t" + to_text(even) + "\t" + hex(double{decode(even, grid)}) + "\n";
        stochastic += text + "\t" + to_text(drawn) + "\t" + hex(double{decode(drawn, grid)}) + "\n";
      }
      CHECK(run({.format = "int" + to_text(bits), .grid = grid_name}, input) == nearest);
      CHECK(run({.format = "int" + to_text(bits),
                 .grid = grid_name,
                 .rounding = "stochastic",
                 .seed = 9},
                input) == stochastic);
    }
  }
}

TEST_CASE("quantize prints a floating format's codes as bits and its numbers as they are") {
  struct Case {
    const char *format, *rounding, *input, *row;
  };
  const Case cases[] = {{"e4m3", "nearest-even", "464", "0x7e\t0x1.cp+8"},
                        {"e4m3", "nearest-even", "-1e-9", "0x80\t-0x0p+0"},
                        {"e2m1", "nearest-even", "2.5", "0x4\t0x1p+1"},
                        {"bf16", "nearest-even", "1.01", "0x3f81\t0x1.02p+0"},
                        {"fp16", "nearest-even", "-65520", "0xfc00\t-inf"},
                        {"tf32", "nearest-even", "1", "0x1fc00\t0x1p+0"},
                        {"fp32", "stochastic", "-2", "0xc0000000\t-0x1p+1"},
                        {"e4m3", "toward-zero", "1.0625", "0x38\t0x1p+0"},
                        {"e4m3", "up", "1.0625", "0x39\t0x1.2p+0"},
                        {"e4m3", "nearest-even", "nan", "0x7f\tnan"},
                        {"fp16", "nearest-even", "inf", "0x7c00\tinf"},
                        {"posit8", "nearest-even", "3.3", "0x4d\t0x1.ap+1"},
                        {"posit8", "nearest-even", "inf", "0x80\tnan"},
                        {"posit(8,1)", "nearest-even", "-1000", "0x82\t-0x1p+10"},
                        {"fixed8.6", "nearest-even", "-9", "0x80\t-0x1p+1"},
                        {"e4m3(bias=11)", "nearest-even", "1", "0x58\t0x1p+0"}};
  for (const Case& c : cases) {
    CAPTURE(c.format);
    CHECK(run({.format = c.format, .rounding = c.rounding}, concat("7\n", c.input, "\n"))
              .ends_with(concat(c.input, '\t', c.row, '\n')));
  }
}

TEST_CASE("quantize divides by a scale, overflows and sums up as it is asked") {
  const auto line = [](const QuantizeOptions& options, const std::string& input) {
    const std::string out = run(options, input);
    return out.substr(out.rfind('\n', out.size() - 2) + 1);
  };
  CHECK(line({.format = "e4m3", .overflow = "nan"}, "1\n465\n") == "465\t0x7f\tnan\n");
  CHECK(line({.format = "e5m2", .overflow = "ieee"}, "61440\n") == "61440\t0x7c\tinf\n");
  CHECK(line({.format = "e2m1", .scale = "absmax"}, "12\n3\n") == "3\t0x3\t0x1.8p+1\n");
  CHECK(line({.format = "e2m1", .decimal = true}, "3.3\n") == "3.3\t0x5\t0x1.8p+1\t3\n");
  CHECK(line({.format = "int4", .rounding = "up"}, "0\n15\n3.1\n") == "3.1\t4\t0x1p+2\n");
  CHECK(line({.format = "int4", .rounding = "odd"}, "0\n15\n3.1\n") == "3.1\t3\t0x1.8p+1\n");
  const std::string summary = line({.format = "e2m1", .summary = true}, "1\n9\n0.1\n");
  CHECK((summary.starts_with("3\t9.59") && summary.ends_with("\t1\t0\t1\t0\t3\n")));
  CHECK(
      run({.format = "e2m1", .json = true}, "9\n") ==
      "{\"format\":\"e2m1(scale=none)\",\"rounding\":\"nearest-even\",\"numbers\":[\n"
      "{\"input\":\"9\",\"code\":\"0x7\",\"value\":6,\"hex\":\"0x1.8p+2\",\"scale\":1,\"error\":-3,"
      "\"flags\":[\"saturated\"]}],\"summary\":{\"numbers\":1,\"sqnr_db\":9.542425094393248,"
      "\"saturated\":1,\"overflow\":0,\"underflow\":0,\"subnormal\":0,\"largest_error\":3}}\n");
  const std::string table = run({.format = "e2m1", .table = true}, "");
  CHECK(table.starts_with("code\tvalue\n0x0\t0x0p+0\n0x1\t0x1p-1\n"));
  CHECK(table.ends_with("0xf\t-0x1.8p+2\n"));
  CHECK_THROWS_WITH_AS(run({.format = "e2m1"}, "1\nnan\n"),
                       "[quantize] line 2: e2m1 has no NaN; expected a number", DataError);
}

TEST_CASE("quantize reads arrays, and lays a scale over each row or column") {
  const Scratch scratch;
  const std::string path = scratch / "numbers.npy";
  const auto write = [&](const std::string& bytes) { std::ofstream(path) << bytes; };
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
  header.resize(117, ' ');
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {'\1', '\0', static_cast<char>(header.size()), '\0'};
  bytes += header;
  const float numbers[] = {6, 3, 12, 1.5f};
  bytes.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  write(bytes);
  const auto values = [&](const char* per) {
    return run({.format = "e2m1", .scale = "absmax", .per = per, .file = path}, "");
  };
  CHECK(values("row").ends_with("12\t0x7\t0x1.8p+3\n1.5\t0x2\t0x1p+1\n"));  // 0.75: a tie
  CHECK(values("column").ends_with("12\t0x7\t0x1.8p+3\n1.5\t0x5\t0x1.8p+0\n"));
  write(bytes.substr(0, bytes.size() - 1));
  CHECK_THROWS_WITH_AS(
      values("row"), doctest::Contains("should have 4 elements of 4 bytes, and has 15"), DataError);
}

TEST_CASE("quantize reads the nearest float32, subnormals included") {
  CHECK(run({.format = "int1"}, "16777217\n1e-45\n")
            .find("16777217\t1\t0x1p+24\n1e-45\t0\t0x1p-149\n") != std::string::npos);
}

TEST_CASE("quantize prints finite values up to the largest float32") {
  for (const char* grid : {"affine", "symmetric"}) {
    for (const int bits : {2, 3, 8, 11, 16}) {
      const std::string table =
          run({.format = concat("int", bits), .grid = grid}, "0\n3.4028235e38\n");
      CAPTURE(table);
      CHECK(table.find("inf") == std::string::npos);
    }
  }
}

TEST_CASE("quantize rounds to zero what is nearer to zero than to any other float32") {
  CHECK(run({.format = "int1"}, "1e-46\n0x1p-200\n1\n") ==
        "input\tcode\tvalue\n1e-46\t0\t0x0p+0\n0x1p-200\t0\t0x0p+0\n1\t1\t0x1p+0\n");
}

TEST_CASE("quantize names the line that is no number") {
  struct Case {
    std::string input, message;
  };
  const Case cases[] = {
      {"", "[quantize] the input is empty; expected one number per line"},
      {"1\n\n2\n", "[quantize] line 2 is empty; expected one number per line"},
      {"1\nx\n", "[quantize] line 2: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got 'x'"},
      {"1 2\n", "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '1 2'"},
      {"--1\n", "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '--1'"},
      {"1,5\n", "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '1,5'"},
      {"0x\n", "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '0x'"},
      {"0x-1p3\n",
       "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '0x-1p3'"},
      {"1e39\n", "[quantize] line 1: '1e39' is beyond float32, which ends at 3.4e38 in magnitude"},
      {"1\n2\nnan\n", "[quantize] line 3: 'nan' has no place on a grid; expected a finite number"},
      {"-inf\n", "[quantize] line 1: '-inf' has no place on a grid; expected a finite number"},
      {std::string(50, '\a') + "\n",
       "[quantize] line 1: expected a number such as -0.25, 1e-3 or 0x1.8p-1, got '" +
           std::string(40, '?') + "...'"}};
  for (const Case& c : cases)
    CHECK_THROWS_WITH_AS(run({.format = "int4"}, c.input), c.message.c_str(), DataError);
  CHECK_THROWS_WITH_AS(run({.format = "int4"}, "-3e38\n3e38\n"),
                       "[quantize] the range -3e+38 .. 3e+38 is wider than float32 can hold; "
                       "--grid symmetric holds it",
                       NonFiniteError);
}

TEST_CASE("quantize refuses options that are wrong before it reads anything") {
  const QuantizeOptions wrong[] = {{.format = "int17"},
                                   {.format = "fp33"},
                                   {.format = "int4", .grid = "afine"},
                                   {.format = "int4", .rounding = "upward"},
                                   {.format = "int4", .scale = "absmax"},
                                   {.format = "e4m3", .scale = "grid"},
                                   {.format = "e4m3", .scale = "most"},
                                   {.format = "e4m3", .overflow = "wrap"},
                                   {.format = "posit8", .overflow = "saturate"},
                                   {.format = "e2m1", .overflow = "nan"},
                                   {.format = "e4m3", .block_scale = "ceil"},
                                   {.format = "e4m3", .per = "row"},
                                   {.format = "int8", .per = "block"},
                                   {.format = "int8", .table = true},
                                   {.format = "fp32", .table = true},
                                   {.format = "int1", .grid = "symmetric"},
                                   {.format = "int4", .seed = -1}};
  for (const QuantizeOptions& options : wrong)
    CHECK_THROWS_AS(run(options, "no number"), ConfigError);
}

TEST_CASE("quantize notices a full disk") {
  std::istringstream in("1\n2\n");
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  CHECK_THROWS_AS(tools::quantize({.format = "int4"}, in, out), DataError);
}
