#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/range_of_parts.h"
#include "quant/formats/codec.h"
#include "quant/operand.h"
#include "quant_problems.h"

using namespace ebb;
using namespace ebb::testing;

TEST_CASE(
    "an operand holds the codes of its definition, in the narrowest container, for every axis and "
    "any layout of the input") {
  Dice dice(Key(50));
  for (std::size_t i = 0; i < 600; ++i) {
    const bool tall = dice.one_in(20);  // several blocks of rows for ranges of columns
    const std::int64_t rows = tall ? dice.between(60, 200) : dice.between(1, 12),
                       cols = !tall && dice.one_in(6) ? dice.between(30, 75) : dice.between(1, 12);
    const bool across = dice.one_in(2);
    const Tensor memory = random_values(dice, across ? cols : rows, across ? rows : cols);
    const ConstMatrix x = across ? memory.matrix().transposed() : memory.matrix();
    const Encoding e = random_encoding(dice, false);
    const Granularity granularity = static_cast<Granularity>(dice.below(3));
    const Key key = dice.key();
    const Operand q(
        x, e, granularity, key,
        {.simd = std::min(best_simd(), std::array{Simd::scalar, Simd::avx2, Simd::avx512}[i % 3])});
    CHECK((q.codes().container == CodeMatrix::Container::int8) == (e.format.width <= 8));
    int wrong = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        Range range{x(r, c), x(r, c)};
        for (std::int64_t s = 0; s < rows; ++s) {
          for (std::int64_t d = 0; d < cols; ++d) {
            if ((granularity == Granularity::per_row && s != r) ||
                (granularity == Granularity::per_column && d != c))
              continue;
            range = {std::min(range.min, x(s, d)), std::max(range.max, x(s, d))};
          }
        }
        const Grid grid = Grid::fit({range.min + 0.0f, range.max + 0.0f}, e.format.width, e.grid);
        const std::uint16_t draw = rounding_bits(key, static_cast<std::uint64_t>(r * cols + c));
        const int code = e.rounding == Rounding::stochastic ? encode(x(r, c), grid, draw)
                                                            : encode(x(r, c), grid);
        const int stored = q.codes().code_at(q.codes().offset(r, c));
        wrong += !(q.grid(granularity == Granularity::per_column ? c : r) == grid) ||
                 stored != code - grid.centre();
        wrong += q.value(r, c) != double{grid.scale} * stored + grid.stored_zero();
      }
    }
    CAPTURE(to_text(e.format));
    CHECK(wrong == 0);
  }
}

TEST_CASE("rows that are written on demand get the codes of the whole matrix") {
  Dice dice(Key(57));
  for (int i = 0; i < 200; ++i) {
    const std::int64_t rows = dice.between(0, dice.one_in(8) ? 3000 : 40),
                       cols = dice.between(1, dice.one_in(8) ? 700 : 40);
    const Tensor x = random_values(dice, rows, cols);
    const Encoding e = random_encoding(dice, false);
    const Key key = dice.key();
    const Operand::Options options{.simd = dice.one_in(2) ? Simd::scalar : best_simd(),
                                   .simulate = dice.one_in(4)};
    const std::function<void(std::int64_t, std::int64_t, float*)> write =
        [&](std::int64_t first, std::int64_t last, float* out) {
          std::copy(x.data() + first * cols, x.data() + last * cols, out);
        };
    const Operand whole(x.matrix(), e, Granularity::per_tensor, key, options);
    const Operand written({rows, cols, write}, e, measure_range(x.matrix()), key, options);
    REQUIRE(written.rows() == rows);
    REQUIRE(written.cols() == cols);
    CHECK(written.is_float() == options.simulate);
    std::int64_t wrong = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) wrong += written.value(r, c) != whole.value(r, c);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("parts beside zeros get the codes and the grids of the whole matrix") {
  Dice dice(Key(58));
  for (int i = 0; i < 200; ++i) {
    const std::int64_t cols = dice.between(1, dice.one_in(8) ? 300 : 40),
                       squares = dice.between(1, 4), rows = squares * cols,
                       step = dice.between(1, cols);
    Tensor x = random_values(dice, rows, cols);
    std::vector<Operand::Part> parts;
    std::vector<bool> inside(static_cast<std::size_t>(rows * cols), false);
    for (std::int64_t square = 0; square < squares;
         ++square) {  // strips that reach further and further, as a causal head's
      for (std::int64_t first = 0; first < cols; first += step) {
        const std::int64_t height = std::min(step, cols - first);
        parts.push_back({(square * cols + first) * cols, height, first + height, cols});
      }
    }
    for (const Operand::Part& part : parts) {
      for (std::int64_t r = 0; r < part.rows; ++r) {
        for (std::int64_t c = 0; c < part.cols; ++c)
          inside[static_cast<std::size_t>(part.first + r * part.stride + c)] = true;
      }
    }
    for (std::int64_t e = 0; e < rows * cols; ++e)
      x[e] = inside[static_cast<std::size_t>(e)] ? x[e] + 0.5f : 0.0f;
    const Encoding e = random_encoding(dice, false);
    const Key key = dice.key();
    const Granularity granularity = dice.one_in(2) ? Granularity::per_row : Granularity::per_tensor;
    const bool flat =
        granularity == Granularity::per_tensor && dice.one_in(2);  // all squares in one row
    const ConstMatrix matrix =
        flat ? ConstMatrix{x.data(), 1, rows * cols, rows * cols} : x.matrix();
    Operand::Options options{.simd = dice.one_in(2) ? Simd::scalar : best_simd(),
                             .simulate = dice.one_in(4)};
    const Operand whole(matrix, e, granularity, key, options);
    options.parts = parts;
    const Operand cut(matrix, e, granularity, key, options);
    std::int64_t wrong = 0;
    for (std::int64_t element = 0; element < rows * cols; ++element) {
      const std::int64_t r = flat ? 0 : element / cols, c = flat ? element : element % cols;
      wrong += !(cut.grid(r) == whole.grid(r));
      if (inside[static_cast<std::size_t>(element)]) wrong += cut.value(r, c) != whole.value(r, c);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("transposed and sliced views share the codes and carry their grids along") {
  Dice dice(Key(51));
  for (int i = 0; i < 300; ++i) {
    const std::int64_t rows = dice.between(2, 9), cols = dice.between(2, 9);
    const Tensor x = random_values(dice, rows, cols);
    const Operand q(x.matrix(), random_encoding(dice, dice.one_in(4)),
                    static_cast<Granularity>(dice.below(3)), dice.key());
    const std::int64_t top = dice.below(rows), left = dice.below(cols);
    const std::int64_t height = dice.between(0, rows - top), width = dice.between(0, cols - left);
    const Operand part = q.rows(top, height).columns(left, width),
                  turned = q.transposed().rows(left, width).columns(top, height);
    CHECK(part.rows() == height);
    CHECK(part.cols() == width);
    const Operand decoded = q.is_float() ? q : part.decoded();
    int wrong = 0;
    for (std::int64_t r = 0; r < height; ++r) {
      for (std::int64_t c = 0; c < width; ++c) {
        wrong += part.value(r, c) != q.value(top + r, left + c) ||
                 turned.value(c, r) != part.value(r, c);
        if (q.is_float()) continue;
        const Grid& grid = q.grid(q.granularity() == Granularity::per_column ? left + c : top + r);
        const int code = q.codes().code_at(q.codes().offset(top + r, left + c)) + grid.centre();
        wrong += decoded.value(r, c) != double{decode(code, grid)};
      }
    }
    CHECK(wrong == 0);
  }
  const Tensor x = Tensor::zeros({2, 3});
  const Operand q(x.matrix(), {}, Granularity::per_tensor, Key(0));
  CHECK_THROWS_WITH_AS(static_cast<void>(q.columns(1, 3)),
                       "[operand] columns 1 .. 4 of a matrix with 3 columns", ShapeError);
  CHECK_THROWS_AS(static_cast<void>(q.rows(-1, 1)), ShapeError);
}

TEST_CASE("an fp32 operand refers to its matrix and has no codes") {
  const Tensor x = Tensor::filled({2, 3}, 0.1f);
  const Operand q(x.matrix(), {}, Granularity::per_row, Key(0));
  CHECK(q.is_float());
  CHECK(q.codes().data == static_cast<const void*>(x.data()));
  CHECK(q.granularity() == Granularity::per_tensor);
  CHECK(q.format() == Format::fp32());
}

TEST_CASE("a simulated operand holds the decoded codes and keeps its format") {
  const Tensor x = Tensor::from({1, 4}, std::vector<float>{-1, 0.2f, 0.4f, 2});
  const Operand q(x.matrix(), {Format::integer(2)}, Granularity::per_tensor, Key(0),
                  {.simulate = true});
  CHECK(q.is_float());
  CHECK(q.format() == Format::integer(2));
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(q.value(0, i) == double{decode(encode(x[i], q.grid()), q.grid())});  // grid -1, 0, 1, 2
  CHECK(q.value(0, 2) == 0);
}

TEST_CASE(
    "a given range replaces the matrix's own and values outside saturate, infinitely far ones by "
    "subtraction too") {
  const Tensor x = Tensor::from({1, 4}, std::vector<float>{-5, 0.25f, 9, 3e38f});
  const Range range{0, 1}, far{-3e38f, -2e38f};
  const Operand q(x.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(0),
                  {.range = &range});
  CHECK(q.value(0, 0) == doctest::Approx(0));
  CHECK(q.value(0, 2) == doctest::Approx(1));
  CHECK(q.codes().code_at(0) == -128);
  CHECK(q.codes().code_at(3) == 127);
  const Operand w(x.matrix(), {Format::integer(8), GridStyle::affine, Rounding::stochastic},
                  Granularity::per_tensor, Key(0), {.range = &far});
  CHECK(w.codes().code_at(3) == 127);
  CHECK_THROWS_AS(
      Operand(x.matrix(), {Format::integer(8)}, Granularity::per_row, Key(0), {.range = &range}),
      ConfigError);
}

TEST_CASE(
    "NaN and infinity are refused wherever they stand, also when a range is given; fp32 takes "
    "them") {
  const Range range{-1, 1};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Tensor x = Tensor::filled({3, 5}, 0.5f);
    x[11] = bad;
    for (const Granularity granularity :
         {Granularity::per_tensor, Granularity::per_row, Granularity::per_column}) {
      CHECK_THROWS_WITH_AS(Operand(x.matrix(), {Format::integer(8)}, granularity, Key(0)),
                           "a NaN or infinite value cannot be encoded", NonFiniteError);
    }
    CHECK_THROWS_AS(Operand(x.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(0),
                            {.range = &range}),
                    NonFiniteError);
    CHECK_NOTHROW(Operand(x.matrix(), {}, Granularity::per_tensor, Key(0)));
  }
  const Tensor x = Tensor::filled({2, 2}, 1.0f);
  CHECK_THROWS_AS(Operand(x.matrix(), {Format::integer(1), GridStyle::symmetric},
                          Granularity::per_tensor, Key(0)),
                  ConfigError);
}

TEST_CASE("a range that its producer found not to be finite is refused like the matrix itself") {
  const Tensor x = Tensor::filled({2, 3}, std::numeric_limits<float>::quiet_NaN());
  RangeOfParts parts;
  parts.add(measure_range(x.matrix()));
  const Range range = parts.range();
  const auto encode = [&] {
    return Operand(x.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(1),
                   {.range = &range, .own_range = true});
  };
  CHECK_THROWS_WITH_AS(encode(), "a NaN or infinite value cannot be encoded", NonFiniteError);
}

TEST_CASE("empty matrices are encoded too") {
  for (const Shape& shape : {Shape{0, 5}, Shape{5, 0}, Shape{0, 0}}) {
    const Tensor x = Tensor::zeros(shape);
    for (const Granularity granularity :
         {Granularity::per_tensor, Granularity::per_row, Granularity::per_column}) {
      const Operand q(x.matrix(), {Format::integer(4), GridStyle::affine, Rounding::stochastic},
                      granularity, Key(0));
      CHECK(q.rows() == shape[0]);
      CHECK(q.transposed().rows() == shape[1]);
      CHECK(q.decoded().is_float());
    }
  }
}

TEST_CASE("an operand of a format with a codec holds the codes of its numbers over their scale") {
  Dice dice(Key(91));
  for (const char* name : {"e4m3", "e5m2", "e2m1", "e3m0", "bf16", "fp16", "tf32"}) {
    for (const Granularity granularity :
         {Granularity::per_tensor, Granularity::per_row, Granularity::per_column}) {
      for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
        CAPTURE(name);
        CAPTURE(static_cast<int>(granularity));
        const Format format = Format::parse(name);
        const Tensor x = random_values(dice, 5, 7);
        const Key key = dice.key();
        const Encoding encoding{.format = format, .rounding = rounding};
        const Operand q(x.matrix(), encoding, granularity, key);
        CHECK(q.format() == format);
        CHECK(q.is_float() == (format.width > 16));
        // The range of the elements that share (i, j)'s scale, and what that makes of it.
        const auto want = [&](std::int64_t i, std::int64_t j) {
          Range range{x[i * 7 + j], x[i * 7 + j]};
          for (std::int64_t r = 0; r < 5; ++r) {
            for (std::int64_t c = 0; c < 7; ++c) {
              if ((granularity == Granularity::per_row && r != i) ||
                  (granularity == Granularity::per_column && c != j))
                continue;
              range = {std::min(range.min, x[r * 7 + c]), std::max(range.max, x[r * 7 + c])};
            }
          }
          const float scale = fit_scale(format, range);
          const auto element = static_cast<std::uint64_t>(i * 7 + j);
          return decode(format, encode(format, x[i * 7 + j], scale, rounding, key, element), scale);
        };
        const Operand decoded = q.decoded(), turned = q.transposed().decoded();
        int wrong = 0;
        for (std::int64_t i = 0; i < 5; ++i) {
          for (std::int64_t j = 0; j < 7; ++j) {
            const float value = want(i, j);
            wrong += decoded.value(i, j) != double{value} || turned.value(j, i) != double{value};
            wrong += static_cast<float>(q.value(i, j)) != value;
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
  const Tensor bad = Tensor::filled({1, 2}, std::numeric_limits<float>::infinity());
  CHECK_THROWS_AS(Operand(bad.matrix(), {Format::parse("bf16")}, Granularity::per_tensor, Key(0)),
                  NonFiniteError);
}

TEST_CASE("a given range scales a format with a codec, rows on the way are encoded as the whole") {
  Dice dice(Key(92));
  const Tensor x = random_values(dice, 40, 33);
  const Range range{-3, 2};
  for (const char* name : {"e4m3", "bf16", "tf32"}) {
    CAPTURE(name);
    const Encoding encoding{.format = Format::parse(name), .rounding = Rounding::stochastic};
    const Operand q(x.matrix(), encoding, Granularity::per_tensor, Key(5), {.range = &range});
    CHECK(q.grid().scale == fit_scale(encoding.format, range));
    const std::function<void(std::int64_t, std::int64_t, float*)> write =
        [&](std::int64_t first, std::int64_t last, float* out) {
          std::copy(x.data() + first * 33, x.data() + last * 33, out);
        };
    const Operand rows({40, 33, write}, encoding, range, Key(5), {});
    int wrong = 0;
    for (std::int64_t i = 0; i < 40; ++i) {
      for (std::int64_t j = 0; j < 33; ++j) wrong += q.value(i, j) != rows.value(i, j);
    }
    CHECK(wrong == 0);
  }
}
