#include "peak.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "core/simd.h"
#include "peak_loops.h"

namespace ebb::bench {
namespace {

struct Loop {
  std::string_view instructions;
  void (*run)(std::int64_t rounds);
  double ops;  ///< of a round
};

// Where there are no loops by hand, what the compiler makes of plain ones.
constexpr int kLanes = 64;
template <class Sum, class Factor>
void plain_loop(std::int64_t rounds) {
  std::array<Sum, kLanes> sums{};
  std::array<Factor, kLanes> a{}, b{};
  for (std::int64_t i = 0; i < rounds; ++i) {
    asm volatile("" : : "r"(a.data()), "r"(b.data()) : "memory");
    for (std::size_t j = 0; j < kLanes; ++j)
      sums[j] += static_cast<Sum>(a[j]) * static_cast<Sum>(b[j]);
  }
  asm volatile("" : : "r"(sums.data()) : "memory");
}

Loop int8_loop() {
#ifdef __x86_64__
  if (best_simd() == Simd::avx512) return {"AVX-512 vpdpbusd", int8_loop_avx512, kInt8OpsAvx512};
  if (best_simd() == Simd::avx2)
    return {"AVX2 vpmaddubsw vpmaddwd vpaddd", int8_loop_avx2, kInt8OpsAvx2};
#endif
  return {"portable", plain_loop<std::int32_t, std::int8_t>, 2.0 * kLanes};
}
Loop float_loop() {
#ifdef __x86_64__
  if (best_simd() == Simd::avx512) return {"AVX-512 vfmadd", float_loop_avx512, kFloatOpsAvx512};
  if (best_simd() == Simd::avx2) return {"AVX2 vfmadd", float_loop_avx2, kFloatOpsAvx2};
#endif
  return {"portable", plain_loop<float, float>, 2.0 * kLanes};
}

template <class Body>
double shortest_seconds(const Body& body) {
  double shortest = 1e9;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto begun = std::chrono::steady_clock::now();
    body();
    shortest = std::min(
        shortest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
  return shortest;
}

double rate(int threads, const Loop& loop) {
  constexpr std::int64_t kRounds = 1'000'000;
  return threads * loop.ops * kRounds / shortest_seconds([&] {
#pragma omp parallel num_threads(threads)
           loop.run(kRounds);
         });
}

double copy_rate(int threads) {
  const std::vector<char> from(32 << 20, 1);
  std::vector<char> to(from.size());
  return 2.0 * static_cast<double>(from.size()) /
         shortest_seconds([&] { copy(from.data(), to.data(), from.size(), threads); });
}

}  // namespace

const Peak& peak(int threads) {
  static std::map<int, Peak> measured;
  const auto found = measured.find(threads);
  if (found != measured.end()) return found->second;
  const Loop int8 = int8_loop(), float32 = float_loop();
  return measured[threads] = {int8.instructions, float32.instructions, rate(threads, int8),
                              rate(threads, float32), copy_rate(threads)};
}

void copy(const void* from, void* to, std::size_t bytes, int threads) {
#pragma omp parallel num_threads(threads)
  {
    const auto i = static_cast<std::size_t>(omp_get_thread_num()),
               n = static_cast<std::size_t>(omp_get_num_threads());
    const std::size_t first = bytes * i / n, last = bytes * (i + 1) / n;
    std::memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first,
                last - first);
  }
}

}  // namespace ebb::bench
