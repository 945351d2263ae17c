#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "core/tensor.h"
#include "quant/formats/block.h"
#include "quant/formats/codec.h"
#include "quant/formats/packed.h"

using namespace ebb;

namespace {

Tensor normal(std::int64_t rows, std::int64_t cols) {
  Tensor x = Tensor::zeros({rows, cols});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(5).normal(static_cast<std::uint64_t>(i)));
  return x;
}

/// Code j of a row as the layout says: bits j * width and on, bit b being bit b % 8 of byte b / 8.
std::uint32_t code_at(const PackedMatrix& packed, std::int64_t row, std::int64_t j) {
  std::uint32_t code = 0;
  const std::int64_t row_bytes = (packed.cols * packed.format.width + 7) / 8;
  for (int b = 0; b < packed.format.width; ++b) {
    const std::int64_t bit = j * packed.format.width + b;
    const auto byte = static_cast<unsigned char>(
        packed.codes[static_cast<std::size_t>(row * row_bytes + bit / 8)]);
    code |= static_cast<std::uint32_t>(byte >> (bit % 8) & 1) << b;
  }
  return code;
}

}  // namespace

TEST_CASE("packed codes are those of each row's own scale, and unpack to their values") {
  const Tensor x = normal(3, 13);
  for (const char* name : {"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "e4m3fnuz", "e4m3(scale=none)",
                           "e2m1(scale=pow2)", "bf16", "fp16", "tf32", "posit8", "posit16",
                           "posit(5,1)", "fixed8.6", "fixed7.3", "binary8p3"}) {
    CAPTURE(name);
    const Format format = Format::parse(name);
    const PackedMatrix packed = pack(x.matrix(), format, GridStyle::affine);
    const std::vector<float> values = unpack(packed);
    REQUIRE(packed.codes.size() == static_cast<std::size_t>(3 * ((13 * format.width + 7) / 8)));
    for (std::int64_t i = 0; i < 3; ++i) {
      const Range range = measure_range({x.data() + i * 13, 1, 13, 13, 1});
      const float scale = fit_scale(format, range);
      for (std::int64_t j = 0; j < 13; ++j) {
        const float value = x[i * 13 + j];
        const std::uint32_t code = encode(format, value, scale, Rounding::nearest_even, Key(0), 0);
        CHECK(code_at(packed, i, j) == code);
        CHECK(std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(i * 13 + j)]) ==
              std::bit_cast<std::uint32_t>(decode(format, code, scale)));
      }
    }
  }
}

TEST_CASE("packed integers are codes of grids, of symmetric ones in two's complement") {
  const Tensor x = normal(4, 9);
  for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
    for (int bits = style == GridStyle::affine ? 1 : 2; bits <= 16; ++bits) {
      CAPTURE(bits);
      const PackedMatrix packed = pack(x.matrix(), Format::integer(bits), style);
      const std::vector<float> values = unpack(packed);
      for (std::int64_t i = 0; i < 4; ++i) {
        const Grid grid = Grid::fit(measure_range({x.data() + i * 9, 1, 9, 9, 1}), bits, style);
        for (std::int64_t j = 0; j < 9; ++j) {
          const int code = encode(x[i * 9 + j], grid);
          CHECK(code_at(packed, i, j) == (static_cast<std::uint32_t>(code) & ((1u << bits) - 1)));
          CHECK(values[static_cast<std::size_t>(i * 9 + j)] == decode(code, grid));
        }
      }
    }
  }
}

TEST_CASE(
    "packed blocks are those of encode_block, short at the end of a row, or of several lines") {
  const Tensor x = normal(5, 40);
  for (const char* name : {"mxfp8", "mxfp8(e5m2)", "mxfp6", "mxfp6(e2m3)", "mxfp4", "mxint8",
                           "nvfp4", "msfp12", "msfp16", "bfp(5,8,4)", "e2m1(scale=absmax,block=7)",
                           "posit8(scale=pow2,block=16)", "mxfp4(block=2x16)"}) {
    CAPTURE(name);
    const Format format = Format::parse(name);
    const PackedMatrix packed = pack(x.matrix(), format, GridStyle::affine);
    const std::vector<float> values = unpack(packed);
    const Range all = measure_range(x.matrix());
    const TensorScale tensor =
        TensorScale::fit(format, std::max(std::abs(all.min), std::abs(all.max)));
    const std::int64_t lines = format.scaling.lines, block = format.scaling.block;
    for (std::int64_t row = 0; row < 5; row += lines) {
      for (std::int64_t col = 0; col < 40; col += block) {
        std::vector<std::int64_t> places;
        std::vector<float> elements;
        for (std::int64_t i = row; i < std::min<std::int64_t>(5, row + lines); ++i) {
          for (std::int64_t j = col; j < std::min<std::int64_t>(40, col + block); ++j) {
            places.push_back(i * 40 + j);
            elements.push_back(x[i * 40 + j]);
          }
        }
        const EncodedBlock expected =
            encode_block(format, elements, tensor, Rounding::nearest_even, Key(0), 0);
        for (std::size_t n = 0; n < places.size(); ++n) {
          CHECK(code_at(packed, places[n] / 40, places[n] % 40) == expected.codes[n]);
          CHECK(std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(places[n])]) ==
                std::bit_cast<std::uint32_t>(expected.values[n]));
        }
      }
    }
  }
}

TEST_CASE("two codes of four bits share a byte, the first in its low half") {
  const Tensor x = Tensor::from({1, 3}, std::vector<float>{1, -6, 0.5f});
  const PackedMatrix packed =
      pack(x.matrix(), Format::parse("e2m1(scale=none)"), GridStyle::affine);
  CHECK(packed.codes == std::string("\xf2\x01", 2));  // 1 is 0x2, -6 is 0xf, 0.5 is 0x1
  CHECK(packed.scales.empty());
}

TEST_CASE("the value of a number that a block's format has no -0 for is 0") {
  const std::vector<float> x{1, -1e-9f};
  for (const char* name : {"mxint8", "msfp12"})
    CHECK_FALSE(std::signbit(
        encode_block(Format::parse(name), x, {}, Rounding::nearest_even, Key(0), 0).values[1]));
  CHECK(std::signbit(
      encode_block(Format::parse("mxfp4"), x, {}, Rounding::nearest_even, Key(0), 0).values[1]));
}

TEST_CASE("what has no codes, or none for such numbers, is not packed") {
  const Tensor one = Tensor::filled({1, 1}, 1), nan = Tensor::filled({1, 1}, NAN);
  CHECK_THROWS_AS(pack(one.matrix(), Format::fp32(), GridStyle::affine), ConfigError);
  CHECK_THROWS_AS(pack(one.matrix(), Format::parse("e8m0"), GridStyle::affine), ConfigError);
  CHECK_THROWS_AS(pack(one.matrix(), Format::integer(1), GridStyle::symmetric), ConfigError);
  CHECK_THROWS_AS(pack(nan.matrix(), Format::parse("posit8"), GridStyle::affine), NonFiniteError);
}
