#include "quant/kernels/depthwise.h"

#include "core/kernels/lanes.h"
#include "quant/kernels/epilogue/affine.h"

namespace ebb::kernels {
namespace {

using Floats = Full::Float;
using Doubles = Full::Double;
using Ints = Full::Int;

template <class Element>
constexpr bool kReal = false;
template <>
constexpr bool kReal<float> = true;

/// Reads a vector of elements; of the last ones only `count`, and zeros behind them.
template <bool kWhole, class V, class Element>
inline void read(const Element* from, std::int64_t count, V& v) {
  v = V{};
  __builtin_memcpy(&v, from, kWhole ? sizeof v : static_cast<std::size_t>(count) * sizeof(Element));
}
template <bool kWhole, class V, class Code>
inline void read_lanes(const Code* from, std::int64_t count, V& lanes) {
  Ints ints;
  if constexpr (kWhole) {
    load_codes(from, ints);
  } else {
    Code some[kLanes] = {};
    __builtin_memcpy(some, from, static_cast<std::size_t>(count) * sizeof(Code));
    load_codes(some, ints);
  }
  lanes = __builtin_convertvector(ints, V);
}
template <bool kWhole, class V>
inline void read_lanes(const float* from, std::int64_t count, V& lanes) {
  read<kWhole>(from, count, lanes);
}

template <class Code, class V>
inline void add(const V& x, const V& y, V& sum) {
  if constexpr (kReal<Code>) {
    kernels::add_product(x, y, sum);
  } else {
    sum += x * y;
  }
}

/// kVectors vectors of channels from j on, at every position; the last vector of a row may be
/// `count` channels wide.
template <class V, class Lane, bool kWhole, std::size_t kVectors, class Code>
inline void convolve_strip(const DepthwiseOutputs& run, std::int64_t j, std::int64_t count) {
  const auto* const weights = static_cast<const Lane*>(run.weights) + j;
  const std::int64_t taps = run.piece.taps;
  for (std::int64_t p = 0; p < run.piece.positions; ++p) {
    const void* const* const pixels = run.piece.pixels + p * taps;
    V sum[kVectors] = {}, codes[kVectors] = {};
    for (std::int64_t t = 0; t < taps; ++t) {
      if (!kReal<Code> && pixels[t] == run.piece.zeros) continue;
      const Code* const from = static_cast<const Code*>(pixels[t]) + j;
      for (std::size_t v = 0; v < kVectors; ++v) {
        V x, w;
        read_lanes<kWhole>(from + v * kLanes, count, x);
        read<true>(weights + t * run.stride + v * kLanes, kLanes, w);
        add<Code>(x, w, sum[v]);
        if constexpr (!kReal<Code>) codes[v] += x;
      }
    }
    float* const out = run.out + p * run.out_stride + j;
    for (std::size_t v = 0; v < kVectors; ++v) {
      Floats result;
      if constexpr (kReal<Code>) {
        result = sum[v];
      } else {
        Doubles scale_ab, zero_b, constant;
        read<kWhole>(run.scale_ab + j + v * kLanes, count, scale_ab);
        read<kWhole>(run.zero_b + j + v * kLanes, count, zero_b);
        read<kWhole>(run.constant[p] + j + v * kLanes, count, constant);
        const Doubles products = __builtin_convertvector(sum[v], Doubles),
                      row_sum = __builtin_convertvector(codes[v], Doubles);
        Doubles value;
        scale_sum(products, row_sum, scale_ab, zero_b, constant, value);
        result = __builtin_convertvector(value, Floats);
      }
      __builtin_memcpy(out + v * kLanes, &result,
                       kWhole ? sizeof result : static_cast<std::size_t>(count) * sizeof(float));
    }
  }
}

template <class V, class Lane, class Code>
void convolve(const DepthwiseOutputs& run) {
  std::int64_t j = 0;
  for (; j + 4 * kLanes <= run.channels; j += 4 * kLanes)
    convolve_strip<V, Lane, true, 4, Code>(run, j, kLanes);
  for (; j + kLanes <= run.channels; j += kLanes)
    convolve_strip<V, Lane, true, 1, Code>(run, j, kLanes);
  if (j < run.channels) convolve_strip<V, Lane, false, 1, Code>(run, j, run.channels - j);
}

/// kTaps taps from t on, which share the gradient.
template <class V, bool kWhole, std::size_t kTaps, std::size_t kVectors, class Code, class Gradient>
inline void sum_taps(const DepthwiseSums& run, std::int64_t t, std::int64_t j, std::int64_t count) {
  V sum[kTaps][kVectors] = {};
  const auto at = [&](std::size_t k, std::size_t v) {
    return (t + static_cast<std::int64_t>(k)) * run.stride + j +
           static_cast<std::int64_t>(v) * kLanes;
  };
  if constexpr (kReal<Code>) {
    for (std::size_t k = 0; k < kTaps; ++k) {
      for (std::size_t v = 0; v < kVectors; ++v)
        __builtin_memcpy(&sum[k][v], static_cast<float*>(run.sums) + at(k, v), sizeof(V));
    }
  }
  for (std::int64_t p = 0; p < run.piece.positions; ++p) {
    const void* const* const pixels = run.piece.pixels + p * run.piece.taps + t;
    const auto* const gradient =
        static_cast<const Gradient*>(run.gradient) + p * run.gradient_stride + j;
    for (std::size_t v = 0; v < kVectors; ++v) {
      V g, x;
      read_lanes<kWhole>(gradient + v * kLanes, count, g);
      for (std::size_t k = 0; k < kTaps; ++k) {
        const Code* const from = static_cast<const Code*>(pixels[k]) + j;
        read_lanes<kWhole>(from + v * kLanes, count, x);
        add<Code>(x, g, sum[k][v]);
      }
    }
  }
  for (std::size_t k = 0; k < kTaps; ++k) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      if constexpr (kReal<Code>) {
        __builtin_memcpy(static_cast<float*>(run.sums) + at(k, v), &sum[k][v], sizeof(V));
      } else {
        double* const to = static_cast<double*>(run.sums) + at(k, v);
        Doubles total;
        read<true>(to, kLanes, total);
        total += __builtin_convertvector(sum[k][v], Doubles);
        __builtin_memcpy(to, &total, sizeof total);
      }
    }
  }
}

template <class V, bool kWhole, std::size_t kVectors, class Code, class Gradient>
inline void sum_strip(const DepthwiseSums& run, std::int64_t j, std::int64_t count) {
  std::int64_t t = 0;
  for (; t + 3 <= run.piece.taps; t += 3)
    sum_taps<V, kWhole, 3, kVectors, Code, Gradient>(run, t, j, count);
  for (; t < run.piece.taps; ++t)
    sum_taps<V, kWhole, 1, kVectors, Code, Gradient>(run, t, j, count);
}

template <class V, class Code, class Gradient>
void sum(const DepthwiseSums& run) {
  std::int64_t j = run.first;
  for (; j + 2 * kLanes <= run.last; j += 2 * kLanes)
    sum_strip<V, true, 2, Code, Gradient>(run, j, kLanes);
  for (; j + kLanes <= run.last; j += kLanes) sum_strip<V, true, 1, Code, Gradient>(run, j, kLanes);
  if (j < run.last) sum_strip<V, false, 1, Code, Gradient>(run, j, run.last - j);
}

constexpr DepthwiseKernels kKernels{
    {{convolve<Floats, float, std::int8_t>, convolve<Doubles, double, std::int8_t>},
     {convolve<Floats, float, std::int16_t>, convolve<Doubles, double, std::int16_t>}},
    convolve<Floats, float, float>,
    {{{sum<Floats, std::int8_t, std::int8_t>, sum<Doubles, std::int8_t, std::int8_t>},
      {sum<Floats, std::int8_t, std::int16_t>, sum<Doubles, std::int8_t, std::int16_t>}},
     {{sum<Floats, std::int16_t, std::int8_t>, sum<Doubles, std::int16_t, std::int8_t>},
      {sum<Floats, std::int16_t, std::int16_t>, sum<Doubles, std::int16_t, std::int16_t>}}},
    sum<Floats, float, float>};

}  // namespace

constinit const DepthwiseKernels DepthwiseKernels::EBB_TARGET = kKernels;

}  // namespace ebb::kernels
