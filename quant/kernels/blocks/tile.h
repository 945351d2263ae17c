#pragma once

#include <cstdint>

#include "quant/kernels/dense/tile.h"

/// The innermost loops of products of block formats. Only plain pointers and numbers cross this
/// line, see core/kernels/lanes.h.
namespace ebb::kernels {

inline constexpr std::int64_t kBlockPanel = 16;  ///< columns of a packed panel of b

/// Linear codes in groups, as dense/tile.h has them. Segment s ends before group ends[s]. Rows of a
/// in segment s have the scales at scale_a + s * rows, columns of b at scale_b + s * columns; a
/// number that follows is of the next row or column.
struct BlockTile {
  TileLeft a;
  TileRight b;
  const std::int64_t* ends;
  std::int64_t segments;
  const float* scale_a;
  const std::int32_t* sums_a;  ///< of a's codes, laid out as scale_a; where b is biased
  std::int64_t rows;
  const float* scale_b;
  std::int64_t columns;
  float* c;  ///< whole panels
  std::int64_t ldc;
};

/// Numbers in float64: element k of row i at a + i * k_all + k, and of panel p the 16 at b + (p *
/// k_all + k) * 16. Segments end before ends[s]; all else as above.
struct WideBlockTile {
  const double *a, *b;
  std::int64_t k_all;
  const std::int64_t* ends;
  std::int64_t segments;
  const float* scale_a;
  std::int64_t rows;
  const float* scale_b;
  std::int64_t columns;
  float* c;
  std::int64_t ldc;
};

/// Each writes c = the sum over segments, ascending, of the exact sum of products times both
/// scales, rounded to float32 at every addition.
struct BlockKernels {
  int panels;  ///< of a call, at the most
  /// For sums below 2^24 whose product with the scale of a is exact in float32.
  void (*bytes)(const BlockTile& tile, int rows, int panels);  ///< null where there is none
  void (*words)(const BlockTile& tile, int rows, int panels);
  /// For sums that are exact in float64.
  void (*exact)(const WideBlockTile& tile, int rows, int panels);
  /// For those that are exact as two numbers of float64, and scales that are powers of two.
  void (*pairs)(const WideBlockTile& tile, int rows, int panels);

  static const BlockKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
