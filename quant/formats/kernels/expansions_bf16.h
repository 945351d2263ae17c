#pragma once

#include <cstdint>

/// Only plain pointers and numbers cross this line, as in encode.h.
namespace ebb::kernels {

/// The operations of ExpansionOp on n elements of arrays; results may be operands.
struct ExpansionKernels {
  using Run = void (*)(const float* const* in, std::int64_t n, float* const* out);
  static constexpr int kOps = 9;
  Run of_two[kOps], of_three[kOps];  ///< by ExpansionOp and length

  static const ExpansionKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
