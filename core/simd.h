#pragma once

#include <string>
#include <string_view>

namespace ebb {

/// Instruction sets that kernels are written for, each containing the ones before it. Results are
/// the same on all of them.
enum class Simd : unsigned char {
  scalar,  ///< portable C++
  avx2,    ///< AVX2 and FMA
  avx512,  ///< AVX-512 F, BW, DQ, VL and VNNI
};

/// The best level that this machine runs.
Simd best_simd();
std::string to_text(Simd level);
/// Reads "auto", "scalar", "avx2" or "avx512". @throws ConfigError for an unknown name, or a level
/// this machine lacks
Simd parse_simd(std::string_view text);

}  // namespace ebb
