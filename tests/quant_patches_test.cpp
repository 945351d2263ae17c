#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/gemm.h"
#include "quant_problems.h"

using namespace ebb;
using namespace ebb::testing;

namespace {

/// A float32 array with its codes taken by the definition, element by element: one grid for all, or
/// one for each value of line(i).
struct Coded {
  Tensor x;
  std::vector<Grid> grids;  ///< of each element
  std::vector<int> codes;

  template <class Line>
  Coded(Tensor values, const Encoding& e, Key key, std::int64_t lines, const Line& line)
      : x(std::move(values)) {
    std::vector<Range> ranges(static_cast<std::size_t>(lines), {HUGE_VALF, -HUGE_VALF});
    for (std::int64_t i = 0; i < x.size(); ++i) {
      Range& range = ranges[static_cast<std::size_t>(line(i))];
      range = {std::min(range.min, x[i]), std::max(range.max, x[i])};
    }
    for (std::int64_t i = 0; i < x.size(); ++i) {
      grids.push_back(Grid::fit(ranges[static_cast<std::size_t>(line(i))], e.format.width, e.grid));
      const std::uint16_t draw = rounding_bits(key, static_cast<std::uint64_t>(i));
      codes.push_back(e.rounding == Rounding::stochastic ? encode(x[i], grids.back(), draw)
                                                         : encode(x[i], grids.back()));
    }
  }
  /// The real number that element i stands for, as fake quantization in double has it.
  [[nodiscard]] double operator()(std::int64_t i) const {
    const Grid& g = grids[static_cast<std::size_t>(i)];
    return double{g.scale} * codes[static_cast<std::size_t>(i)] + double{g.offset};
  }
  /// Largest |centred code| * scale + |value of the centred code 0|: what one factor of a
  /// correction term can be.
  [[nodiscard]] double magnitude() const {
    double largest = 0;
    for (const Grid& g : grids) {
      largest = std::max(largest, double{g.scale} * (1 << (g.bits - 1)) +
                                      std::abs(double{g.scale} * g.centre() + double{g.offset}));
    }
    return largest;
  }
};

/// A sum of products in double, with what bounds its distance from the integer path.
struct Reference {
  double sum = 0, absolute = 0;
  std::int64_t terms = 0;
  void add(double x, double y) {
    sum += x * y;
    absolute += std::abs(x * y);
    ++terms;
  }
  /// docs/NUMERICS.md, "How far the integer path is from fake quantization".
  [[nodiscard]] double bound(double a_magnitude, double b_magnitude) const {
    const double n = static_cast<double>(terms);
    return 0x1p-24 * std::abs(sum) +
           0x1p-53 * ((n + 4) * absolute + 8 * n * a_magnitude * b_magnitude) + 0x1p-149;
  }
};

struct Convolution {
  std::int64_t batch, height, width, in, out, taps, stride, pad;
  [[nodiscard]] std::int64_t out_height() const { return (height + 2 * pad - taps) / stride + 1; }
  [[nodiscard]] std::int64_t out_width() const { return (width + 2 * pad - taps) / stride + 1; }

  /// Calls body(y, x, w) with the flat indices of output pixel, input pixel and tap for every tap
  /// inside the image.
  template <class Body>
  void for_each_tap(const Body& body) const {
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t oy = 0; oy < out_height(); ++oy) {
        for (std::int64_t ox = 0; ox < out_width(); ++ox) {
          for (std::int64_t ky = 0; ky < taps; ++ky) {
            for (std::int64_t kx = 0; kx < taps; ++kx) {
              const std::int64_t iy = oy * stride + ky - pad, ix = ox * stride + kx - pad;
              if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
              body((b * out_height() + oy) * out_width() + ox, (b * height + iy) * width + ix,
                   ky * taps + kx);
            }
          }
        }
      }
    }
  }
};

Tensor normal_tensor(Dice& dice, const Shape& shape, float shift) {
  Tensor x = Tensor::uninitialized(shape);
  for (float& v : x.values()) v = dice.normal() + shift;
  return x;
}

Tensor image_matrix(const Tensor& x, std::int64_t channels) {
  return x.reshaped({x.size() / channels, channels});
}

/// The reference, the best portable kernel and the best of this machine take turns.
Multiply one_of_three_ways(const Site& site, int i) {
  return {.site = site,
          .simd = i % 3 == 0 ? Simd::scalar : best_simd(),
          .kernel = i % 3 == 1 ? "reference" : ""};
}

void check_close(const Tensor& got, const std::vector<Reference>& expected, double a_magnitude,
                 double b_magnitude) {
  REQUIRE(got.size() == static_cast<std::int64_t>(expected.size()));
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(double{got[static_cast<std::int64_t>(i)]} - expected[i].sum);
    worst = std::max(worst, error / expected[i].bound(a_magnitude, b_magnitude));
  }
  CHECK(worst <= 1);
}

}  // namespace

TEST_CASE(
    "all three products of a convolution agree with fake quantization of the same codes in double, "
    "padding and strides included") {
  Dice dice(Key(40));
  for (int i = 0; i < 150; ++i) {
    Convolution c{dice.between(1, 2), dice.between(3, 7), dice.between(3, 7), dice.between(1, 4),
                  dice.between(1, 4), dice.between(1, 3), dice.between(1, 3), dice.between(0, 2)};
    const std::int64_t tap_count = c.taps * c.taps, oh = c.out_height(), ow = c.out_width(),
                       positions = c.batch * oh * ow;
    const auto encoding = [&](Rounding rounding) {
      const std::int64_t bits = dice.between(1, 16);
      return Encoding{Format::integer(bits),
                      bits > 1 && dice.one_in(2) ? GridStyle::symmetric : GridStyle::affine,
                      rounding};
    };
    const Encoding ex = encoding(Rounding::nearest_even), ew = encoding(Rounding::nearest_even),
                   eg = encoding(Rounding::stochastic);
    const auto whole = [](std::int64_t) { return 0; };
    const Coded x(normal_tensor(dice, {c.batch, c.height, c.width, c.in}, 0.5f), ex, Key(1), 1,
                  whole);
    const Coded g(normal_tensor(dice, {c.batch, oh, ow, c.out}, 0.1f), eg, Key(2), 1, whole);
    const Tensor weights = normal_tensor(dice, {c.out, tap_count, c.in}, -0.2f);
    const Coded by_output(weights, ew, Key(3), c.out,
                          [&](std::int64_t at) { return at / (tap_count * c.in); });
    const Coded by_input(weights, ew, Key(3), c.in,
                         [&](std::int64_t at) { return at % c.in; });  // encoded anew for grad_left

    std::vector<Reference> y(static_cast<std::size_t>(positions * c.out)),
        gx(static_cast<std::size_t>(x.x.size())), gw(static_cast<std::size_t>(weights.size()));
    c.for_each_tap([&](std::int64_t at_y, std::int64_t at_x, std::int64_t tap) {
      for (std::int64_t o = 0; o < c.out; ++o) {
        for (std::int64_t n = 0; n < c.in; ++n) {
          const std::int64_t py = at_y * c.out + o, px = at_x * c.in + n,
                             pw = (o * tap_count + tap) * c.in + n;
          y[static_cast<std::size_t>(py)].add(x(px), by_output(pw));
          gx[static_cast<std::size_t>(px)].add(g(py), by_input(pw));
          gw[static_cast<std::size_t>(pw)].add(g(py), x(px));
        }
      }
    });

    const Tensor image = image_matrix(x.x, c.in), gradient = image_matrix(g.x, c.out);
    const Operand qx(image.matrix(), ex, Granularity::per_tensor, Key(1)),
        qg(gradient.matrix(), eg, Granularity::per_tensor, Key(2));
    const Operand qw(weights.reshaped({c.out, tap_count * c.in}).matrix(), ew, Granularity::per_row,
                     Key(3));
    Tensor flipped = Tensor::uninitialized(
        {tap_count * c.out, c.in});  // taps from the other end, then output channels
    for (std::int64_t at = 0; at < weights.size(); ++at) {
      const std::int64_t o = at / (tap_count * c.in), tap = at / c.in % tap_count;
      flipped[((tap_count - 1 - tap) * c.out + o) * c.in + at % c.in] = weights[at];
    }
    const Operand along_input(flipped.matrix(), ew, Granularity::per_column, Key(3));
    const PatchGeometry taps_of_x{.images = c.batch,
                                  .height = c.height,
                                  .width = c.width,
                                  .channels = c.in,
                                  .pixel_stride = c.in,
                                  .out_height = oh,
                                  .out_width = ow,
                                  .taps_y = c.taps,
                                  .taps_x = c.taps,
                                  .step = c.stride,
                                  .divide = 1,
                                  .pad_top = c.pad,
                                  .pad_left = c.pad,
                                  .nominal_positions = positions};
    PatchGeometry taps_of_g = taps_of_x;
    taps_of_g.height = oh, taps_of_g.width = ow,
    taps_of_g.channels = taps_of_g.pixel_stride = c.out;
    taps_of_g.out_height = c.height, taps_of_g.out_width = c.width, taps_of_g.step = 1,
    taps_of_g.divide = c.stride;
    taps_of_g.pad_top = taps_of_g.pad_left = c.taps - 1 - c.pad;
    const Site site{"conv"};
    CostLedger ledger;
    const std::string what = concat(c.batch, 'x', c.height, 'x', c.width, 'x', c.in, " to ", c.out,
                                    " taps ", c.taps, " stride ", c.stride, " pad ", c.pad, ' ',
                                    ex.format, ' ', ew.format, ' ', eg.format);
    CAPTURE(what);
    const Multiply how = one_of_three_ways(site, i);
    check_close(gemm(qx.patches(taps_of_x), qw.transposed(), how, ledger), y, x.magnitude(),
                by_output.magnitude());
    check_close(gemm(qg.patches(taps_of_g), along_input, how, ledger), gx, g.magnitude(),
                by_input.magnitude());
    check_close(gemm(qg.transposed(), qx.patches(taps_of_x), how, ledger), gw, g.magnitude(),
                x.magnitude());
    // All three are charged with the nominal taps of the output's positions, padded ones included.
    CHECK(ledger.total_macs() == static_cast<uint128>(3 * positions * c.out * tap_count * c.in));
  }
}

TEST_CASE(
    "all three products of a linear layer agree with fake quantization of the same codes in "
    "double") {
  Dice dice(Key(41));
  for (int i = 0; i < 200; ++i) {
    const std::int64_t m = dice.between(1, 9), k = dice.between(1, 60), n = dice.between(1, 9);
    const auto encoding = [&](Rounding rounding) {
      return Encoding{Format::integer(dice.between(1, 16)), GridStyle::affine, rounding};
    };
    const Encoding ex = encoding(Rounding::nearest_even), ew = encoding(Rounding::nearest_even),
                   eg = encoding(Rounding::stochastic);
    const auto whole = [](std::int64_t) { return 0; };
    const Coded x(normal_tensor(dice, {m, k}, 1), ex, Key(1), 1, whole),
        g(normal_tensor(dice, {m, n}, 0), eg, Key(2), 1, whole);
    const Tensor w = normal_tensor(dice, {n, k}, 0);
    const Coded by_output(w, ew, Key(3), n, [&](std::int64_t at) { return at / k; });
    const Coded by_input(w, ew, Key(3), k, [&](std::int64_t at) { return at % k; });
    std::vector<Reference> y(static_cast<std::size_t>(m * n)), gx(static_cast<std::size_t>(m * k)),
        gw(static_cast<std::size_t>(n * k));
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t o = 0; o < n; ++o) {
        for (std::int64_t t = 0; t < k; ++t) {
          y[static_cast<std::size_t>(r * n + o)].add(x(r * k + t), by_output(o * k + t));
          gx[static_cast<std::size_t>(r * k + t)].add(g(r * n + o), by_input(o * k + t));
          gw[static_cast<std::size_t>(o * k + t)].add(g(r * n + o), x(r * k + t));
        }
      }
    }
    const Operand qx(x.x.matrix(), ex, Granularity::per_tensor, Key(1)),
        qg(g.x.matrix(), eg, Granularity::per_tensor, Key(2));
    const Operand qw(w.matrix(), ew, Granularity::per_row, Key(3)),
        along_input(w.matrix(), ew, Granularity::per_column, Key(3));
    const Site site{"fc"};
    CostLedger ledger;
    const Multiply how = one_of_three_ways(site, i);
    check_close(gemm(qx, qw.transposed(), how, ledger), y, x.magnitude(), by_output.magnitude());
    check_close(gemm(qg, along_input, how, ledger), gx, g.magnitude(), by_input.magnitude());
    check_close(gemm(qg.transposed(), qx, how, ledger), gw, g.magnitude(), x.magnitude());
  }
}

TEST_CASE("a padded tap is an exact zero even where the grid has none") {
  // One pixel of value 3 on a grid 2 .. 4, a 3 x 3 kernel of ones, padding 1: only the middle tap
  // counts.
  const Tensor pixel = Tensor::filled({1, 1}, 3.0f), ones = Tensor::filled({1, 9}, 1.0f);
  const Range range{2, 4}, unit{0, 1};
  const Operand::Options from_two{.range = &range}, from_zero{.range = &unit};
  const PatchGeometry g{.images = 1,
                        .height = 1,
                        .width = 1,
                        .channels = 1,
                        .pixel_stride = 1,
                        .out_height = 1,
                        .out_width = 1,
                        .taps_y = 3,
                        .taps_x = 3,
                        .step = 1,
                        .divide = 1,
                        .pad_top = 1,
                        .pad_left = 1,
                        .nominal_positions = 1};
  const Operand x =
      Operand(pixel.matrix(), {Format::integer(2)}, Granularity::per_tensor, Key(0), from_two)
          .patches(g);
  const Operand w(ones.matrix(), {Format::integer(1)}, Granularity::per_tensor, Key(0), from_zero);
  CostLedger ledger;
  const Site site{"conv"};
  const float level =
      decode(encode(3.0f, x.grid()), x.grid());  // 3 is a tie between two levels of the 2-bit grid
  CHECK(gemm(x, w.transposed(), {site}, ledger).item() == doctest::Approx(level).epsilon(1e-6));
  for (std::int64_t tap = 0; tap < 9; ++tap) CHECK((x.value(0, tap) == 0) == (tap != 4));
}

TEST_CASE("patches refuse an image or an operand that does not fit") {
  const Tensor image = Tensor::zeros({12, 4});
  const Encoding e{Format::integer(8)};
  const PatchGeometry good{.images = 1,
                           .height = 3,
                           .width = 4,
                           .channels = 4,
                           .pixel_stride = 4,
                           .out_height = 3,
                           .out_width = 4,
                           .taps_y = 1,
                           .taps_x = 1,
                           .nominal_positions = 12};
  const Operand x(image.matrix(), e, Granularity::per_tensor, Key(0)),
      rows(image.matrix(), e, Granularity::per_row, Key(0));
  CHECK(x.patches(good).rows() == 12);
  PatchGeometry wrong = good;
  wrong.height = 4;
  CHECK_THROWS_AS(static_cast<void>(x.patches(wrong)), ShapeError);
  wrong = good;
  wrong.channels = 3;
  CHECK_THROWS_AS(static_cast<void>(x.patches(wrong)), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(rows.patches(good)), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(x.transposed().patches(good)), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(x.patches(good).columns(0, 1)), ShapeError);
}
