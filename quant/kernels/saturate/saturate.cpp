#include "quant/kernels/saturate/saturate.h"

#include "core/kernels/lanes.h"

namespace ebb::kernels {
namespace {

template <class V>
V clamped(const V& x, const V& low, const V& high) {
  const V above = x < low ? low : x;
  return above > high ? high : above;
}

/// Sums as vectors of registers, kCount in each and kVectors side by side. `step` adds one product
/// to each and counts in `events` the values that had to be held.
///
/// These are registers of up to 16 bits. Saturating and wrapping addition differ exactly where a
/// 16-bit register overflows; narrower ones are clamped besides.
template <bool kHoldProducts, bool kClamp>
struct Narrow {
  using Vector = Words;
  using Number = std::int16_t;
  static constexpr int kCount = 2 * kLanes, kVectors = 2;
  Words low, high;

  static void load_b(const std::int16_t* b, Words& to) { fetch(to, b); }
  static Words broadcast(std::int16_t a) { return Words{} + a; }
  [[nodiscard]] Words step(const Words& sum, const Words& a, const Words& b, Words& events) const {
    const Words product = a * b, term = kHoldProducts ? clamped(product, low, high) : product;
    const Words next = add_saturated(sum, term), held = kClamp ? clamped(next, low, high) : next;
    if (kHoldProducts) count_unequal(term, product, events);
    count_unequal(held, add_wrapped(sum, term), events);
    return held;
  }
};

/// Registers of up to 31 bits: a held sum and a held product always add up within 32.
struct Wide {
  using Vector = Full::Int;
  using Number = std::int32_t;
  static constexpr int kCount = kLanes, kVectors = kLanes == 16 ? 4 : 2;
  Full::Int low, high;

  static void load_b(const std::int16_t* b, Full::Int& to) { load_codes(b, to); }
  /// The upper half of each pair is zero: a sum of two products then is one.
  static Full::Int broadcast(std::int16_t a) { return Full::Int{} + static_cast<std::uint16_t>(a); }
  [[nodiscard]] Full::Int step(const Full::Int& sum, const Full::Int& a, const Full::Int& b,
                               Full::Int& events) const {
    const Full::Int product = multiply_pairs(a, b), term = clamped(product, low, high);
    const Full::Int next = sum + term, held = clamped(next, low, high);
    count_unequal(term, product, events);
    count_unequal(held, next, events);
    return held;
  }
};

template <class Lanes>
void load_sums(const std::int32_t* from, typename Lanes::Vector& to) {
  typename Lanes::Number sums[Lanes::kCount];
  for (int j = 0; j < Lanes::kCount; ++j) sums[j] = static_cast<typename Lanes::Number>(from[j]);
  fetch(to, sums);
}
template <class Lanes>
void store_sums(const typename Lanes::Vector& from, std::int32_t* to) {
  typename Lanes::Number sums[Lanes::kCount];
  store(sums, from);
  for (int j = 0; j < Lanes::kCount; ++j) to[j] = sums[j];
}

/// kMost k at a time, whose events a lane can surely count.
constexpr std::int64_t kMost = 4096;

template <class Lanes>
std::uint64_t total(const typename Lanes::Vector& events) {
  typename Lanes::Number counts[Lanes::kCount];
  store(counts, events);
  std::uint64_t sum = 0;
  for (const auto count : counts) sum += static_cast<std::uint64_t>(count);
  return sum;
}

template <class Lanes, int kRows, int kVectors>
std::uint64_t tile(const SaturateRun& run, const Lanes& lanes, std::int64_t col) {
  using Vector = typename Lanes::Vector;
  Vector sum[std::size_t{kRows}][std::size_t{kVectors}];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      load_sums<Lanes>(run.c + i * run.ldc + col + v * Lanes::kCount, sum[i][v]);
  }
  std::uint64_t all = 0;
  const std::int16_t* b = run.b + col;
  const std::int16_t* a = run.a;
  for (std::int64_t k = 0; k < run.k;) {
    const std::int64_t end = run.k - k < kMost ? run.k : k + kMost;
    Vector events[std::size_t{kVectors}];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) events[v] = Vector{};
    for (; k < end; ++k, b += kSaturatePanel, a += run.a_k) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        Vector right;
        Lanes::load_b(b + v * Lanes::kCount, right);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i)
          sum[i][v] = lanes.step(sum[i][v], Lanes::broadcast(a[i * run.a_row]), right, events[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) all += total<Lanes>(events[v]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      store_sums<Lanes>(sum[i][v], run.c + i * run.ldc + col + v * Lanes::kCount);
  }
  return all;
}

template <class Lanes>
std::uint64_t panel(const SaturateRun& run, int rows, const Lanes& lanes) {
  std::uint64_t events = 0;
  for (std::int64_t col = 0; col < run.cols; col += Lanes::kVectors * Lanes::kCount) {
    if (rows == kSaturateRows) {
      events += run.cols - col > Lanes::kCount
                    ? tile<Lanes, kSaturateRows, Lanes::kVectors>(run, lanes, col)
                    : tile<Lanes, kSaturateRows, 1>(run, lanes, col);
      continue;
    }
    SaturateRun one = run;
    for (int i = 0; i < rows; ++i, one.a += run.a_row, one.c += run.ldc)
      events += tile<Lanes, 1, Lanes::kVectors>(one, lanes, col);
  }
  return events;
}

std::uint64_t narrow(const SaturateRun& run, int rows) {
  const Words low = Words{} + static_cast<std::int16_t>(run.low),
              high = Words{} + static_cast<std::int16_t>(run.high);
  if (run.hold_products) return panel(run, rows, Narrow<true, true>{low, high});
  return run.high == 32767 ? panel(run, rows, Narrow<false, false>{low, high})
                           : panel(run, rows, Narrow<false, true>{low, high});
}
std::uint64_t wide(const SaturateRun& run, int rows) {
  return panel(run, rows, Wide{Full::Int{} + run.low, Full::Int{} + run.high});
}

constexpr SaturateKernels kSaturate{narrow, wide};

}  // namespace

constinit const SaturateKernels SaturateKernels::EBB_TARGET = kSaturate;

}  // namespace ebb::kernels
