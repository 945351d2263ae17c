#include "quant/formats/grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/range_of_parts.h"
#include "quant/formats/kernels/encode.h"
#include "quant/formats/rounding.h"

namespace ebb {
namespace {

constexpr std::uint32_t kRoundingDraw = 2;  // the fourth Philox counter word; 0 and 1 are Key's own

std::array<std::uint32_t, 4> rounding_block(Key key, std::uint64_t block) {
  return philox4x32(
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0,
       kRoundingDraw},
      {static_cast<std::uint32_t>(key.value()), static_cast<std::uint32_t>(key.value() >> 32)});
}

const kernels::EncodeKernels& kernels_of(Simd simd) {
  return kernels::select<kernels::EncodeKernels>(simd);
}

kernels::EncodeGrid kernel_grid(const Grid& grid) {
  return {grid.offset, grid.scale, static_cast<float>(grid.low()), static_cast<float>(grid.high()),
          grid.centre()};
}

/// (x - offset) / scale, held to the codes there are. Written so that the vector kernels can do the
/// same three operations.
float scaled(float x, const Grid& grid) {
  const float v = (x - grid.offset) / grid.scale;
  const float low = static_cast<float>(grid.low()), high = static_cast<float>(grid.high());
  return std::min(std::max(v, low), high);
}

/// Sixteen Philox blocks give the bits of 128 consecutive elements.
void rounding_bits_group(Key key, std::uint64_t group, std::uint16_t* bits) {
  for (std::uint64_t lane = 0; lane < 16; ++lane) {
    const auto words = rounding_block(key, group * 16 + lane);
    for (std::size_t word = 0; word < 4; ++word) {
      bits[word * 16 + lane] = static_cast<std::uint16_t>(words[word]);
      bits[64 + word * 16 + lane] = static_cast<std::uint16_t>(words[word] >> 16);
    }
  }
}

template <class Code>
void encode_stochastic(const float* x, std::int64_t n, const Grid& grid, Key key,
                       std::uint64_t first, Code* out) {
  std::uint16_t bits[128];
  std::uint64_t group = ~std::uint64_t{0};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint64_t element = first + static_cast<std::uint64_t>(i);
    if (element / 128 != group) {
      group = element / 128;
      rounding_bits_group(key, group, bits);
    }
    out[i] = static_cast<Code>(encode(x[i], grid, bits[element % 128]) - grid.centre());
  }
}

template <class Code>
void encode_block(const float* x, std::int64_t n, const Grid& grid, Rounding rounding, Key key,
                  std::uint64_t first, Simd simd, Code* out) {
  const kernels::Encoders<Code>& encoders = kernels_of(simd).of<Code>();
  if (rounding == Rounding::nearest_even) {
    encoders.nearest(x, n, kernel_grid(grid), out);
  } else if (first % 128 == 0) {
    encoders.stochastic(x, n, kernel_grid(grid), key.value(), first, out);
  } else {
    encode_stochastic(x, n, grid, key, first, out);
  }
}

}  // namespace

Range measure_range(const ConstMatrix& x, Simd simd) {
  if (x.rows == 0 || x.cols == 0) return {};
  const auto kernel = kernels_of(simd).range;
  RangeOfParts parts;
  if (x.contiguous()) {
    parallel_for(x.rows * x.cols, [&](std::int64_t first, std::int64_t last) {
      float low, high;
      const bool finite = kernel(x.data + first, last - first, &low, &high);
      parts.add(finite, low, high);
    });
  } else if (x.col_stride == 1) {
    parallel_rows(x.rows, x.cols, [&](std::int64_t first, std::int64_t last) {
      RangeOfParts some;
      for (std::int64_t i = first; i < last; ++i) {
        float low, high;
        const bool finite = kernel(x.data + i * x.row_stride, x.cols, &low, &high);
        some.add(finite, low, high);
      }
      const Range range = some.range();
      parts.add(range.finite(), range.min, range.max);
    });
  } else {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t j = 0; j < x.cols; ++j) {
        const float v = x(i, j);
        parts.add(std::isfinite(v), v, v);
      }
    }
  }
  return parts.range();
}

Grid Grid::fit(const Range& range, int bits, GridStyle style) {
  static_cast<void>(Format::integer(bits));
  require<ConfigError>(
      style == GridStyle::affine || bits >= 2,
      "[grid] a symmetric grid needs at least 2 bits; use an affine grid for int1");
  require<NonFiniteError>(range.finite(), "a NaN or infinite value cannot be encoded");
  constexpr float floor_scale = 1e-8f;
  Grid grid{.bits = bits, .scale = floor_scale, .offset = 0.0f, .style = style};
  const bool affine = style == GridStyle::affine;
  const float width =
      affine ? range.max - range.min : std::max(std::abs(range.min), std::abs(range.max));
  require<NonFiniteError>(width - width == 0.0f, "the range ", range.min, " .. ", range.max,
                          " is wider than float32 can hold");
  if (affine) grid.offset = range.min;
  if (width > 0.0f)
    grid.scale =
        std::max(width / static_cast<float>(grid.high()), std::numeric_limits<float>::denorm_min());
  // Where float32 ends, a quotient that was rounded up leads beyond it.
  while (!std::isfinite(decode(grid.high(), grid))) grid.scale = std::nextafter(grid.scale, 0.0f);
  return grid;
}

int encode(float x, const Grid& grid) {
  return static_cast<int>(math::round_half_even(static_cast<double>(scaled(x, grid))));
}

int encode(float x, const Grid& grid, std::uint16_t bits) {
  const float v = scaled(x, grid);
  const float below = std::floor(v);
  const bool up = (v - below) * 65536.0f > static_cast<float>(bits) + 0.5f;
  return static_cast<int>(below) + (up ? 1 : 0);
}

int encode(float x, const Grid& grid, Rounding rounding, Draw draw) {
  const float v = scaled(x, grid), below = std::floor(v);
  const int code = static_cast<int>(below);
  // v has 24 bits: its fraction is a whole number of 2^-149.
  int exponent = 0;
  const auto n = static_cast<std::uint64_t>(std::ldexp(std::frexp(v - below, &exponent), 24));
  Place place = place_at(n, 24 - exponent, draw.bits);
  const bool negative = x < 0;
  if (!negative || place.exact || rounding == Rounding::stochastic)
    return code + (rounds_up(place, code % 2 != 0, false, rounding, draw) ? 1 : 0);
  // Of a negative number the code above is the one nearer to zero.
  place.side = -place.side;
  return code + (rounds_up(place, code % 2 == 0, true, rounding, draw) ? 0 : 1);
}

float decode(int code, const Grid& grid) {
  const float product = static_cast<float>(code) * grid.scale;
  return product + grid.offset;
}

std::uint16_t rounding_bits(Key key, std::uint64_t i) {
  const std::uint32_t word = rounding_block(key, 16 * (i / 128) + i % 16)[(i / 16) % 4];
  return static_cast<std::uint16_t>(i / 64 % 2 == 0 ? word : word >> 16);
}

std::uint32_t rounding_word(Key key, std::uint64_t i) {
  return rounding_block(key, 16 * (i / 64) + i % 16)[(i / 16) % 4];
}

template <class Code>
void encode_run(const float* x, std::int64_t n, const Grid& grid, Rounding rounding, Key key,
                std::uint64_t first, Simd simd, Code* out) {
  constexpr int kBits = 8 * static_cast<int>(sizeof(Code));
  require<ConfigError>(grid.bits >= 1 && grid.bits <= kBits, "[encode] codes of ", kBits,
                       " bits cannot hold a grid of ", grid.bits);
  require<ConfigError>(rounding == Rounding::nearest_even || rounding == Rounding::stochastic,
                       "[encode] runs are rounded to nearest-even or stochastically, got ",
                       rounding);
  parallel_for(n, [&](std::int64_t begin, std::int64_t end) {
    encode_block(x + begin, end - begin, grid, rounding, key,
                 first + static_cast<std::uint64_t>(begin), simd, out + begin);
  });
}
template void encode_run(const float*, std::int64_t, const Grid&, Rounding, Key, std::uint64_t,
                         Simd, std::int8_t*);
template void encode_run(const float*, std::int64_t, const Grid&, Rounding, Key, std::uint64_t,
                         Simd, std::int16_t*);

}  // namespace ebb
