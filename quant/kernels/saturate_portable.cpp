#include "quant/kernels/saturate_loops.h"

namespace ebb::kernels {
namespace {

/// Four registers of up to 31 bits, in vectors that GCC and clang have for every machine: a held
/// sum and a held product always add up within 32 bits.
struct Lanes {
  using Vector = std::int32_t __attribute__((vector_size(16)));
  static constexpr int kLanes = 4, kVectors = 2;
  Vector low, high;

  static Vector zero() { return Vector{}; }
  static Vector load_sums(const std::int32_t* c) { return Vector{c[0], c[1], c[2], c[3]}; }
  static void store_sums(std::int32_t* c, Vector s) {
    for (int j = 0; j < kLanes; ++j) c[j] = s[j];
  }
  static Vector load_b(const std::int16_t* b) { return Vector{b[0], b[1], b[2], b[3]}; }
  static Vector broadcast(std::int16_t a) { return Vector{} + a; }
  [[nodiscard]] Vector clamp(Vector x) const {
    const Vector above = x < low ? low : x;
    return above > high ? high : above;
  }

  Vector step(Vector sum, Vector a, Vector b, Vector& events) const {
    const Vector product = a * b, term = clamp(product);
    const Vector next = sum + term, held = clamp(next);
    events -= (term != product) + (held != next);
    return held;
  }
  static std::uint64_t total(Vector events) {
    std::uint64_t sum = 0;
    for (int j = 0; j < kLanes; ++j) sum += static_cast<std::uint64_t>(events[j]);
    return sum;
  }
};

std::uint64_t any(const SaturateRun& run, int rows) {
  return saturate_panel(run, rows, Lanes{Lanes::zero() + run.low, Lanes::zero() + run.high});
}

constexpr SaturateMicrokernel kMicro{any, any};

}  // namespace

const SaturateMicrokernel& saturate_portable() { return kMicro; }

}  // namespace ebb::kernels
