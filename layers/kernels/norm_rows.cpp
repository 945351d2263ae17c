#include "layers/kernels/norm_rows.h"

#include "core/kernels/lanes.h"

// Columns go in strips of a vector, whose coefficients stay in registers down the rows.

namespace ebb::kernels {
namespace {

template <class V>
inline V relu(const V& v) {
  return v <= V{} ? V{} : v;
}

/// Ranges of a strip's columns.
template <class Lanes>
struct StripRange {
  typename Lanes::Float min = typename Lanes::Float{} + __builtin_inff(), max = -min;
  typename Lanes::Bits largest{};

  void add(const typename Lanes::Float& y) {
    min = y < min ? y : min;
    max = y > max ? y : max;
    typename Lanes::Bits bits;
    __builtin_memcpy(&bits, &y, sizeof bits);
    bits &= 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  void merge_into(RowsRange& all) const {
    constexpr std::size_t width = Lanes::kCount;
    float low[width], high[width];
    std::uint32_t most[width];
    __builtin_memcpy(low, &min, sizeof low);
    __builtin_memcpy(high, &max, sizeof high);
    __builtin_memcpy(most, &largest, sizeof most);
    for (std::size_t j = 0; j < width; ++j) {
      all.min = low[j] < all.min ? low[j] : all.min;
      all.max = high[j] > all.max ? high[j] : all.max;
      all.largest = most[j] > all.largest ? most[j] : all.largest;
    }
  }
};

constexpr RowsRange kEmpty{__builtin_inff(), -__builtin_inff(), 0};

template <bool kAdd, bool kRelu>
RowsRange normalise_rows(const float* x, const NormColumns& c, const float* add, std::int64_t rows,
                         std::int64_t cols, float* out, std::uint32_t* passed) {
  RowsRange all = kEmpty;
  for_each_strip<Full>(cols, [&](auto lanes, std::int64_t j) {
    using Lanes = decltype(lanes);
    using Float = typename Lanes::Float;
    using Bits = typename Lanes::Bits;
    const auto mean = load<Lanes>(c.mean + j), slope = load<Lanes>(c.slope + j),
               shift = load<Lanes>(c.shift + j);
    StripRange<Lanes> range;
    for (std::int64_t first = 0; first < rows; first += 32) {
      const std::int64_t end = rows - first < 32 ? rows - first : 32;
      Bits word{}, bit = Bits{} + 1u;
      for (std::int64_t r = 0, at = first * cols + j; r < end; ++r, at += cols) {
        Float y = (load<Lanes>(x + at) - mean) * slope + shift;
        if (kAdd) y += load<Lanes>(add + at);
        if (kAdd && kRelu) {
          word |= y <= Float{} ? Bits{} : bit;
          bit += bit;
        }
        if (kRelu) y = relu(y);
        store(out + at, y);
        range.add(y);
      }
      if (kAdd && kRelu) store(passed + first / 32 * cols + j, word);
    }
    range.merge_into(all);
  });
  return all;
}

RowsRange normalise(const float* x, const NormColumns& c, const float* add, bool relu,
                    std::int64_t rows, std::int64_t cols, float* out, std::uint32_t* passed) {
  const auto run = add != nullptr
                       ? (relu ? normalise_rows<true, true> : normalise_rows<true, false>)
                       : (relu ? normalise_rows<false, true> : normalise_rows<false, false>);
  return run(x, c, add, rows, cols, out, passed);
}

void mask_by_input(const float* x, const NormColumns& c, std::int64_t rows, std::int64_t cols,
                   float* g) {
  for_each_strip<Full>(cols, [&](auto lanes, std::int64_t j) {
    using Lanes = decltype(lanes);
    const auto mean = load<Lanes>(c.mean + j), slope = load<Lanes>(c.slope + j),
               shift = load<Lanes>(c.shift + j);
    for (std::int64_t at = j; at < rows * cols; at += cols) {
      const typename Lanes::Float y = (load<Lanes>(x + at) - mean) * slope + shift,
                                  from = load<Lanes>(g + at);
      store(g + at, y <= typename Lanes::Float{} ? typename Lanes::Float{} : from);
    }
  });
}

void mask_by_bits(const std::uint32_t* passed, std::int64_t rows, std::int64_t cols, float* g) {
  for_each_strip<Full>(cols, [&](auto lanes, std::int64_t j) {
    using Lanes = decltype(lanes);
    for (std::int64_t first = 0; first < rows; first += 32) {
      const std::int64_t end = rows - first < 32 ? rows - first : 32;
      auto word = load_bits<Lanes>(passed + first / 32 * cols + j);
      for (std::int64_t r = 0, at = first * cols + j; r < end; ++r, at += cols, word >>= 1) {
        auto bits = load_bits<Lanes>(g + at);
        bits &= -(word & 1u);
        store(g + at, bits);
      }
    }
  });
}

RowsRange gradient(const float* x, const NormColumns& c, const float* along, const float* offset,
                   const float* g, std::int64_t rows, std::int64_t cols, float* gx) {
  RowsRange all = kEmpty;
  for_each_strip<Full>(cols, [&](auto lanes, std::int64_t j) {
    using Lanes = decltype(lanes);
    const auto mean = load<Lanes>(c.mean + j), slope = load<Lanes>(c.slope + j);
    const auto a = load<Lanes>(along + j), b = load<Lanes>(offset + j);
    StripRange<Lanes> range;
    for (std::int64_t at = j; at < rows * cols; at += cols) {
      const typename Lanes::Float y =
          load<Lanes>(g + at) * slope + ((load<Lanes>(x + at) - mean) * a + b);
      store(gx + at, y);
      range.add(y);
    }
    range.merge_into(all);
  });
  return all;
}

constexpr NormKernels kNorm{normalise, mask_by_input, mask_by_bits, gradient};

}  // namespace

constinit const NormKernels NormKernels::EBB_TARGET = kNorm;

}  // namespace ebb::kernels
