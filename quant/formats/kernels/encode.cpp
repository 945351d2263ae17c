#include "quant/formats/kernels/encode.h"

#include "core/kernels/philox.h"

namespace ebb::kernels {
namespace {

constexpr std::uint32_t kRounding = 2;  // what the draws are for, as in grid.cpp
constexpr std::int64_t kStep = kNarrowed * kLanes;
/// Bytes: a group's arithmetic takes longer than processors look ahead.
constexpr std::int64_t kAhead = 2048;
/// 1.5 * 2^23: adding it to what is below 2^22 leaves the nearest integer, ties to even, in the low
/// bits of the sum.
constexpr float kRounder = 12582912.0f;

struct Scaler {
  Full::Float offset, scale, low, high;
  Full::Int centre;  ///< of codes in the low bits of sums with kRounder

  explicit Scaler(EncodeGrid g)
      : offset(broadcast<Full::Float>(g.offset)),
        scale(broadcast<Full::Float>(g.scale)),
        low(broadcast<Full::Float>(g.low)),
        high(broadcast<Full::Float>(g.high)),
        centre(reinterpret_cast<Full::Int>(broadcast<Full::Float>(kRounder)) + g.centre) {}
  [[nodiscard]] Full::Float operator()(const Full::Float& x) const {
    const Full::Float v = (x - offset) / scale, above = v > low ? v : low;
    return above < high ? above : high;
  }
  /// The code nearest to what is scaled.
  [[nodiscard]] Full::Int code(const Full::Float& v) const {
    return reinterpret_cast<Full::Int>(v + kRounder) - centre;
  }
};

/// The lanes from `from` on that there are, all of them if kWhole.
template <bool kWhole>
Full::Float read(const float* from, std::int64_t count) {
  return kWhole ? load<Full>(from) : load_first(from, count);
}

/// Encodes up to kStep elements, element j being code(j, x) of vectors that begin there.
template <bool kWhole, class Code, class Of>
[[gnu::always_inline]] inline void encode_step(const float* x, std::int64_t count, Code* out,
                                               const Of& code) {
  __builtin_prefetch(reinterpret_cast<const char*>(x) + kAhead);
  Full::Int codes[kNarrowed];
  for (int v = 0; v < kNarrowed; ++v)
    codes[v] = code(v, read<kWhole>(x + v * kLanes, count - v * kLanes));
  if constexpr (kWhole) {
    store_codes(out, codes);
  } else {
    store_codes_first(out, codes, count);
  }
}

template <class Code>
void nearest(const float* x, std::int64_t n, EncodeGrid grid, Code* out) {
  const Scaler scaled(grid);
  const auto code = [&](int, const Full::Float& v) { return scaled.code(scaled(v)); };
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) encode_step<true>(x + i, kStep, out + i, code);
  if (i < n) encode_step<false>(x + i, n - i, out + i, code);
}

template <class Code>
void nearest_each(const float* x, std::int64_t n, const EncodeGrids& grids, Code* out) {
  Scaler scaled({0.0f, 1.0f, grids.low, grids.high, grids.centre});
  std::int64_t i = 0;
  const auto code = [&](int v, const Full::Float& value) {
    scaled.offset = load<Full>(grids.offset + i + v * kLanes);
    scaled.scale = load<Full>(grids.scale + i + v * kLanes);
    return scaled.code(scaled(value));
  };
  for (; i + kStep <= n; i += kStep) encode_step<true>(x + i, kStep, out + i, code);
  if (i < n) encode_step<false>(x + i, n - i, out + i, code);
}

/// Sixteen Philox blocks give the bits of 128 elements: the low halves of a word those of sixteen,
/// word after word, then the high halves.
constexpr std::int64_t kGroup = 128;
constexpr int kSets = 16 / kLanes;

template <bool kWhole, class Code>
void stochastic_group(const float* x, std::int64_t n, const Scaler& scaled,
                      const Full::Bits (&words)[kSets][4], Code* out) {
#pragma GCC unroll 8
  for (int q = 0; q < kGroup / kLanes; q += kNarrowed) {
    if (!kWhole && q * kLanes >= n) return;
    const auto code = [&](int v, const Full::Float& of) {
      const int at = (q + v) * kLanes;  // in the group
      const Full::Bits word = words[(q + v) % kSets][at / 16 % 4];
      const auto bits = reinterpret_cast<Full::Int>(at < 64 ? word & 0xffffu : word >> 16);
      const Full::Float value = scaled(of), below = floor_of(value),
                        fraction = (value - below) * 65536.0f,
                        drawn = __builtin_convertvector(bits, Full::Float) + 0.5f;
      return scaled.code(fraction > drawn ? below + 1.0f : below);
    };
    const std::int64_t left = n - q * kLanes;
    if (kWhole || left >= kStep) {
      encode_step<true>(x + q * kLanes, kStep, out + q * kLanes, code);
    } else {
      encode_step<false>(x + q * kLanes, left, out + q * kLanes, code);
    }
  }
}

template <class Code>
void stochastic(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                std::uint64_t first, Code* out) {
  const Scaler scaled(grid);
  for (std::int64_t i = 0; i < n; i += kGroup) {
    Full::Bits words[kSets][4];
    for (std::uint64_t set = 0; set < kSets; ++set)
      philox(key, (first + static_cast<std::uint64_t>(i)) / 8 + set * kLanes, kRounding,
             words[set]);
    // A test for each part would keep them from running side by side.
    n - i >= kGroup ? stochastic_group<true>(x + i, kGroup, scaled, words, out + i)
                    : stochastic_group<false>(x + i, n - i, scaled, words, out + i);
  }
}

template <int... kLane>
struct LaneList {};
template <int kCount, int... kLane>
struct FirstLanes : FirstLanes<kCount - 1, kCount - 1, kLane...> {};
template <int... kLane>
struct FirstLanes<0, kLane...> : LaneList<kLane...> {};

/// Every lane holds what the one kApart away held.
template <int kApart, class V, int... kLane>
V exchanged(const V& v, LaneList<kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ kApart)...);
}
/// of(of(a, b), ...) of all lanes, in registers: rows may be too short to make up for a way through
/// memory.
template <int kApart = kLanes / 2, class V, class Of>
auto reduce(const V& v, const Of& of) {
  if constexpr (kApart == 0) {
    return v[0];
  } else {
    return reduce<kApart / 2>(V{of(v, exchanged<kApart>(v, FirstLanes<kLanes>{}))}, of);
  }
}

bool range(const float* x, std::int64_t n, float* min, float* max) {
  auto low = broadcast<Full::Float>(x[0]), high = low;
  Full::Bits largest{};
  const auto take = [&](Full::Float v) {
    keep_in_register(v);
    low = low < v ? low : v;
    high = high > v ? high : v;
    const Full::Bits magnitude = reinterpret_cast<Full::Bits>(v) & 0x7fffffffu;
    largest = largest > magnitude ? largest : magnitude;
  };
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAhead);
    take(load<Full>(x + i));
  }
  if (i < n && n >= kLanes) {  // the last ones, some of them once more
    take(load<Full>(x + n - kLanes));
  } else {
    for (; i < n; ++i) take(broadcast<Full::Float>(x[i]));
  }
  *min = reduce(low, [](const auto& a, const auto& b) { return a < b ? a : b; });
  *max = reduce(high, [](const auto& a, const auto& b) { return a > b ? a : b; });
  return reduce(largest, [](const auto& a, const auto& b) { return a > b ? a : b; }) < 0x7f800000u;
}

template <class Code>
constexpr Encoders<Code> kEncoders{nearest, nearest_each, stochastic};

constexpr EncodeKernels kEncode{range, kEncoders<std::int8_t>, kEncoders<std::int16_t>};

}  // namespace

constinit const EncodeKernels EncodeKernels::EBB_TARGET = kEncode;

}  // namespace ebb::kernels
