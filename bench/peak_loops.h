#pragma once

#include <cstdint>

// Loops over registers, compiled for one instruction set each: see core/kernels/lanes.h for why
// only plain numbers cross this line. Each does kChains independent chains `rounds` times, enough
// to hide the latency of the instructions.
namespace ebb::bench {

inline constexpr int kChains = 12;

/// Multiplications and additions of one round: two for each product that the instructions do.
inline constexpr double kInt8OpsAvx512 = 2.0 * 64 * kChains, kFloatOpsAvx512 = 2.0 * 16 * kChains;
inline constexpr double kInt8OpsAvx2 = 2.0 * 32 * kChains, kFloatOpsAvx2 = 2.0 * 8 * kChains;

void int8_loop_avx512(std::int64_t rounds);
void float_loop_avx512(std::int64_t rounds);
void int8_loop_avx2(std::int64_t rounds);
void float_loop_avx2(std::int64_t rounds);

}  // namespace ebb::bench
