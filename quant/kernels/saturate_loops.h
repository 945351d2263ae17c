#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/kernels/saturate.h"

/// The loops over what an instruction set calls lanes. In an unnamed namespace: every file that is
/// compiled for one instruction set gets functions of its own.
///
/// `Lanes` has a `Vector` of kLanes registers; `step` adds one product to each and counts in
/// `events` the values that had to be held.
namespace ebb::kernels {
namespace {

template <class Lanes, int kRows, int kVectors>
std::uint64_t saturate_tile(const SaturateRun& run, const Lanes& lanes, std::int64_t col) {
  using Vector = typename Lanes::Vector;
  constexpr std::int64_t kMost = 4096;  // k whose events a lane can surely count
  Vector sum[std::size_t{kRows}][std::size_t{kVectors}];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = Lanes::load_sums(run.c + i * run.ldc + col + v * Lanes::kLanes);
  }
  std::uint64_t total = 0;
  const std::int16_t* b = run.b + col;
  const std::int16_t* a = run.a;
  for (std::int64_t k = 0; k < run.k;) {
    const std::int64_t end = run.k - k < kMost ? run.k : k + kMost;
    Vector events[std::size_t{kVectors}];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) events[v] = Lanes::zero();
    for (; k < end; ++k, b += kSaturatePanel, a += run.a_k) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vector right = Lanes::load_b(b + v * Lanes::kLanes);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i)
          sum[i][v] = lanes.step(sum[i][v], Lanes::broadcast(a[i * run.a_row]), right, events[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) total += Lanes::total(events[v]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Lanes::store_sums(run.c + i * run.ldc + col + v * Lanes::kLanes, sum[i][v]);
  }
  return total;
}

template <class Lanes>
std::uint64_t saturate_panel(const SaturateRun& run, int rows, const Lanes& lanes) {
  std::uint64_t events = 0;
  for (std::int64_t col = 0; col < run.cols; col += Lanes::kVectors * Lanes::kLanes) {
    if (rows == kSaturateRows) {
      events += run.cols - col > Lanes::kLanes
                    ? saturate_tile<Lanes, kSaturateRows, Lanes::kVectors>(run, lanes, col)
                    : saturate_tile<Lanes, kSaturateRows, 1>(run, lanes, col);
      continue;
    }
    SaturateRun one = run;
    for (int i = 0; i < rows; ++i, one.a += run.a_row, one.c += run.ldc)
      events += saturate_tile<Lanes, 1, Lanes::kVectors>(one, lanes, col);
  }
  return events;
}

}  // namespace
}  // namespace ebb::kernels
