#pragma once

#include <cstdint>

/// Sums over neighbours, columns side by side in vectors. Only plain pointers and numbers cross
/// this line.
namespace ebb::kernels {

struct AggregateRun {
  const std::int64_t* starts;
  const std::int32_t* columns;
  const float* row_scale;  ///< null: all 1
  std::int64_t cols;
  std::int64_t stride;  ///< of the rows of x, whose columns are neighbours
  double scale, zero;   ///< of the codes
  float* out;           ///< [rows, cols]
};

/// Each writes rows first .. last. Code matrices may be read up to 64 elements beyond their end.
struct AggregateKernels {
  void (*int8)(const AggregateRun& run, const std::int8_t* x, std::int64_t first,
               std::int64_t last);
  void (*int16)(const AggregateRun& run, const std::int16_t* x, std::int64_t first,
                std::int64_t last);
  void (*float32)(const AggregateRun& run, const float* x, std::int64_t first, std::int64_t last);

  static const AggregateKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
