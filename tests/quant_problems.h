#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/key.h"
#include "core/tensor.h"
#include "quant/gemm.h"
#include "quant/operand.h"

/// Seeded random matrix products: every pair of widths, odd and empty sizes, views, extreme codes,
/// patches, narrow accumulators.
namespace ebb::testing {

class Dice {
 public:
  explicit Dice(Key key) : key_(key) {}
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(key_.below(at_++, static_cast<std::uint64_t>(n)));
  }
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }
  bool one_in(std::int64_t n) { return below(n) == 0; }
  float normal() { return static_cast<float>(key_.normal(at_++)); }
  Key key() { return key_.fold(at_++); }

 private:
  Key key_;
  std::uint64_t at_ = 0;
};

/// Both sides of a product, with the memory that float32 operands refer to.
struct RandomProduct {
  std::vector<Tensor> memory;
  std::vector<Operand> sides;
  Accumulator accumulator;
  std::string what;  ///< for CAPTURE

  [[nodiscard]] const Operand& a() const { return sides[0]; }
  [[nodiscard]] const Operand& b() const { return sides[1]; }
};

inline const Grid& grid_of_row(const Operand& a, std::int64_t i) {
  return a.grid(a.granularity() == Granularity::per_row ? i : 0);
}
inline const Grid& grid_of_column(const Operand& b, std::int64_t j) {
  return b.grid(b.granularity() == Granularity::per_column ? j : 0);
}

/// Mostly small, sometimes 0 or 1, sometimes beyond every tile.
inline std::int64_t random_extent(Dice& dice, std::int64_t most) {
  if (dice.one_in(40)) return 0;
  if (dice.one_in(10)) return 1;
  return dice.between(1, dice.one_in(6) ? most : std::min<std::int64_t>(most, 20));
}

/// Values whose codes are ordinary, all at the ends of the grid, constant, tiny, or crowded by one
/// huge value.
inline Tensor random_values(Dice& dice, std::int64_t rows, std::int64_t cols) {
  Tensor x = Tensor::uninitialized({rows, cols});
  const std::int64_t kind = dice.below(8);
  const float shift = dice.one_in(2) ? 0.0f : dice.normal();
  for (float& v : x.values()) {
    switch (kind) {
      case 0: v = dice.one_in(2) ? -1.0f : 1.0f; break;
      case 1: v = shift; break;
      case 2: v = dice.normal() * 1e-40f; break;
      case 3: v = std::max(0.0f, dice.normal()); break;
      case 4: v = 1.0f; break;
      default: v = dice.normal() + shift; break;
    }
  }
  if (kind == 4 && x.size() > 0)
    x[dice.below(x.size())] = -1.0f;  // all codes but one at the upper end
  if (kind == 5 && x.size() > 0)
    x[dice.below(x.size())] = 1e30f;  // all codes but one at the lower end
  return x;
}

inline Encoding random_encoding(Dice& dice, bool float32) {
  Encoding e;
  if (!float32)
    e.format = Format::integer(dice.one_in(2) ? dice.between(1, 16) : dice.between(1, 8));
  if (e.format.width >= 2 && dice.one_in(2)) e.grid = GridStyle::symmetric;
  if (dice.one_in(2)) e.rounding = Rounding::stochastic;
  return e;
}

/// A dense [rows, cols] operand, possibly a transposed and sliced view, its grids whole or along
/// `free`.
inline Operand random_dense(Dice& dice, RandomProduct& p, std::int64_t rows, std::int64_t cols,
                            bool float32, Granularity free) {
  const bool transposed = dice.one_in(2), sliced = dice.one_in(3);
  const std::int64_t top = sliced ? dice.below(3) : 0, left = sliced ? dice.below(3) : 0;
  const std::int64_t all_rows = rows + top + (sliced ? dice.below(3) : 0),
                     all_cols = cols + left + (sliced ? dice.below(3) : 0);
  Granularity granularity = dice.one_in(2) ? Granularity::per_tensor : free;
  if (transposed && granularity != Granularity::per_tensor)
    granularity =
        granularity == Granularity::per_row ? Granularity::per_column : Granularity::per_row;
  p.memory.push_back(
      random_values(dice, transposed ? all_cols : all_rows, transposed ? all_rows : all_cols));
  const Encoding encoding = random_encoding(dice, float32);
  const Operand whole(p.memory.back().matrix(), encoding, granularity, dice.key());
  p.what += concat(' ', rows, 'x', cols, ' ', encoding.format, ' ', encoding.grid,
                   transposed ? " transposed" : "", sliced ? " sliced" : "",
                   granularity == Granularity::per_tensor ? "" : " lines");
  return (transposed ? whole.transposed() : whole).rows(top, rows).columns(left, cols);
}

/// The geometry of one of a convolution's products over a random image, or any other that the
/// definition allows.
inline PatchGeometry random_geometry(Dice& dice, std::int64_t channels, std::int64_t pixel_stride) {
  PatchGeometry g{.images = dice.between(1, 3),
                  .height = dice.between(1, 7),
                  .width = dice.between(1, 7),
                  .channels = channels};
  g.pixel_stride = pixel_stride;
  g.taps_y = dice.between(1, 3);
  g.taps_x = dice.between(1, 3);
  if (dice.one_in(2)) g.step = dice.between(1, 3);
  if (g.step == 1 && dice.one_in(2)) g.divide = dice.between(1, 3);
  g.pad_top = dice.between(-1, 2);
  g.pad_left = dice.between(-1, 2);
  g.out_height = dice.between(1, 8);
  g.out_width = dice.between(1, 8);
  if (dice.one_in(12)) {  // many small images: kernels take several at a time
    g.images = dice.between(30, 80);
    g.out_height = dice.between(1, 3);
    g.out_width = dice.between(1, 5);
  } else if (dice.one_in(16)) {  // lines of which only a few fit what a kernel keeps at hand
    g.images = 1;
    g.height = dice.between(5, 9);
    g.width = g.out_width = dice.between(100, 700);
  }
  if (dice.one_in(8)) g.taps_y = g.taps_x = 5;
  g.nominal_positions = g.rows();
  return g;
}

inline Operand random_patches(Dice& dice, RandomProduct& p, bool float32) {
  const std::int64_t channels = dice.one_in(4) ? dice.between(1, 40) : dice.between(1, 6),
                     groups = dice.one_in(3) ? 2 : 1;
  const PatchGeometry g = random_geometry(dice, channels, channels * groups);
  p.memory.push_back(random_values(dice, g.images * g.height * g.width, channels * groups));
  const Encoding encoding = random_encoding(dice, float32);
  const Operand image(p.memory.back().matrix(), encoding, Granularity::per_tensor, dice.key());
  p.what += concat(" patches ", g.images, 'x', g.height, 'x', g.width, 'x', channels, " of ",
                   channels * groups, " taps ", g.taps_y, 'x', g.taps_x, " step ", g.step,
                   " divide ", g.divide, " pads ", g.pad_top, ' ', g.pad_left, " to ", g.out_height,
                   'x', g.out_width, ' ', encoding.format, ' ', encoding.grid);
  return image.columns((groups - 1) * channels, channels).patches(g);
}

inline Accumulator random_accumulator(Dice& dice) {
  const std::int64_t bits = dice.one_in(8) ? dice.between(2, 62) : dice.between(4, 24);
  const std::int64_t kind = dice.below(6);
  return kind == 0   ? Accumulator::wrap(bits)
         : kind == 1 ? Accumulator::saturate(bits)
                     : Accumulator::exact();
}

/// Makes some float32 products meet values too small for their products, or an infinity. Operands
/// refer to this memory.
inline void make_unusual(Dice& dice, RandomProduct& p) {
  const std::int64_t kind = dice.below(4);
  Tensor& any =
      p.memory[static_cast<std::size_t>(dice.below(static_cast<std::int64_t>(p.memory.size())))];
  if (kind == 0) {
    p.what += " tiny";
    for (Tensor& x : p.memory) {
      for (float& v : x.values()) v *= 1e-25f;
    }
  } else if (kind == 1 && any.size() > 0) {
    p.what += " with an infinity";
    any[dice.below(any.size())] = std::numeric_limits<float>::infinity();
  }
}

/// The i-th product of a seed.
inline RandomProduct random_product(Key seed, std::uint64_t i) {
  Dice dice(seed.fold(i));
  RandomProduct p;
  const bool float32 = dice.one_in(6);
  p.accumulator = float32 ? Accumulator::fp32() : random_accumulator(dice);
  p.what = concat('#', i, ' ', p.accumulator);
  const std::int64_t free = random_extent(dice, 150);
  if (dice.one_in(3)) {
    Operand gathered = random_patches(dice, p, float32);
    if (dice.one_in(2)) gathered = gathered.transposed();
    p.what += gathered.codes().patches_transposed ? " transposed" : "";
    const bool on_the_left = dice.one_in(2);
    const Operand other =
        on_the_left ? random_dense(dice, p, gathered.cols(), free, float32, Granularity::per_column)
                    : random_dense(dice, p, free, gathered.rows(), float32, Granularity::per_row);
    p.sides = on_the_left ? std::vector{gathered, other} : std::vector{other, gathered};
    p.what += on_the_left ? "" : " (patches on the right)";
    if (float32) make_unusual(dice, p);
    return p;
  }
  const bool deep = dice.one_in(100);
  const std::int64_t k = deep ? dice.between(1000, 20000) : random_extent(dice, 400);
  const std::int64_t m = deep ? dice.between(1, 3) : free,
                     n = deep ? dice.between(1, 3) : random_extent(dice, 150);
  p.sides.push_back(random_dense(dice, p, m, k, float32, Granularity::per_row));
  p.sides.push_back(random_dense(dice, p, k, n, float32, Granularity::per_column));
  return p;
}

}  // namespace ebb::testing
