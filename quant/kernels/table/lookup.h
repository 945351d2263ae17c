#pragma once

#include <cstdint>

/// Sums of entries of a table of products. Only plain pointers and numbers cross this line.
namespace ebb::kernels {

/// Columns of b are packed in groups of so many.
inline constexpr int kLookupColumns = 32;

/// Adds to the sums of one row of a, for some k, the entries of a(k) and each b(k, j).
struct LookupRun {
  const std::uint16_t* table;  ///< [256, 256]
  const std::int16_t* a;       ///< 1 + the index of a(k) at a[k * a_k]; 0 for padding, which adds
                               ///< nothing
  std::int64_t a_k, k;         ///< k is at most 65537, so that no sum overflows
  const std::uint8_t* b;       ///< indices: rows of `cols`, see column_at
  std::int64_t cols;           ///< a multiple of kLookupColumns
  std::uint32_t* sums;         ///< [cols]
};

struct LookupKernels {
  void (*add)(const LookupRun& run);
  /// Which column of a group stands at a place of b.
  int (*column_at)(int place);

  static const LookupKernels portable, avx512;
};

}  // namespace ebb::kernels
