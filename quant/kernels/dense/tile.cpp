#include "quant/kernels/dense/tile.h"

#include "core/kernels/lanes.h"

// Codes as int16, multiplied in pairs, which is exact; products of int8 would saturate in AVX2.
// With AVX-512 tile_avx512.cpp does this.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr int kVectors = kPanel / kLanes;
/// Rows of a tile: as many sums as leave registers for b and one of a.
constexpr int kTall = kLanes == 4 ? 2 : 6;

/// c[i][0 .. 16] = the sums of kRows rows and one panel.
template <int kRows>
void tile(const TileLeft& a, const std::uint8_t* b, std::int64_t groups,
          std::int32_t (*c)[kPanel]) {
  Full::Int sum[std::size_t{kRows}][std::size_t{kVectors}] = {};
  const std::int8_t* left = a.data;
  for (std::int64_t g = 0; g < groups; ++g, left += a.group, b += 64) {
    Full::Int right[std::size_t{kVectors}];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) fetch(right[v], b + 4 * kLanes * v);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      std::int32_t group;
      __builtin_memcpy(&group, left + i * a.row, 4);
      const Full::Int all = Full::Int{} + group;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] += multiply_pairs(all, right[v]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c[i] + kLanes * v, sum[i][v]);
  }
}

/// Calls then(first row, rows, panel, sums) for the tiles of a panel: the largest, then smaller
/// ones for the rows that are left.
template <int kRows, class Then>
void tiles_of_panel(const TileLeft& a, const TileRight& b, std::int64_t i, std::int64_t rows, int p,
                    const Then& then) {
  alignas(64) std::int32_t c[std::size_t{kRows}][kPanel];
  for (; i + kRows <= rows; i += kRows) {
    tile<kRows>({a.data + i * a.row, a.row, a.group}, b.data + p * b.panel, b.groups, c);
    then(i, kRows, p, c);
  }
  if constexpr (kRows > 1) {
    if (i < rows) tiles_of_panel<(kRows > 2 ? 2 : 1)>(a, b, i, rows, p, then);
  }
}
template <class Then>
void tiles(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels, const Then& then) {
  for (int p = 0; p < panels; ++p) tiles_of_panel<kTall>(a, b, 0, rows, p, then);
}

void accumulate(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels, int shift,
                std::int64_t* c, std::int64_t ldc) {
  tiles(a, b, rows, panels,
        [&](std::int64_t first, int count, int p, const std::int32_t(*sums)[kPanel]) {
          for (int i = 0; i < count; ++i) {
            std::int64_t* const to = c + (first + i) * ldc + kPanel * p;
            for (int j = 0; j < kPanel; ++j)
              to[j] += std::int64_t{sums[i][j]} * (std::int64_t{1} << shift);
          }
        });
}

std::uint64_t product(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                      const TileTarget& to, std::int64_t col, std::int64_t cols, int wrap_bits) {
  std::uint64_t events = 0;
  tiles(a, b, rows, panels, [&](std::int64_t first, int count, int p, std::int32_t(*sums)[kPanel]) {
    const std::int64_t at = col + kPanel * p, left = cols - kPanel * p,
                       n = left < kPanel ? left : kPanel;
    for (int i = 0; i < count; ++i) {
      if (wrap_bits > 0) events += wrap(sums[i], n, wrap_bits);
      const std::int64_t row = first + i, table = row * to.stride + at;
      float* const out = to.out + row * to.ld + at;
      const auto scale = [&](std::int64_t all) {
        scale_sums(sums[i], all, static_cast<double>(to.sums[row]), to.scale_ab + table,
                   to.zero_b + table, to.constant[row] + at, out);
      };
      n == kPanel ? scale(kPanel) : scale(n);  // a loop of a known length is unrolled
      for (std::int64_t j = 0; to.bias != nullptr && j < n; ++j) out[j] += to.bias[at + j];
    }
  });
  return events;
}

void sum_rows(const TileLeft& a, std::int64_t rows, std::int64_t k, std::int32_t* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int8_t* const row = a.data + i * a.row;
    std::int32_t sum = 0;
    if (a.group == 4) {
      std::int16_t codes[64];
      std::int64_t at = 0;
      for (; at + 64 <= k; at += 64) {
        __builtin_memcpy(codes, row + 2 * at, sizeof codes);
        for (const std::int16_t code : codes) sum += code;
      }
      __builtin_memcpy(codes, row + 2 * at, static_cast<std::size_t>(2 * (k - at)));
      for (std::int64_t j = 0; j < k - at; ++j) sum += codes[j];
    } else {
      for (std::int64_t g = 0; 2 * g < k; ++g) {
        std::int16_t pair[2];
        __builtin_memcpy(pair, row + g * a.group, 4);
        sum += pair[0] + pair[1];
      }
    }
    out[i] = sum;
  }
}

void interleave(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                std::uint8_t, std::uint8_t* out, std::int64_t group, std::int64_t panel) {
  constexpr std::int16_t missing[kPanel] = {};
  for (std::int64_t g = 0; 2 * g < k; ++g, x += 2 * ld, out += group) {
    std::uint8_t* to = out;
    for (std::int64_t j = 0; j < cols; j += kPanel, to += panel) {
      std::int16_t first[kPanel], second[kPanel], pairs[2 * kPanel];
      __builtin_memcpy(first, x + 2 * j, sizeof first);
      __builtin_memcpy(second, 2 * g + 1 < k ? static_cast<const void*>(x + ld + 2 * j) : missing,
                       sizeof second);
      for (int i = 0; i < kPanel; ++i) {
        pairs[2 * i] = first[i];
        pairs[2 * i + 1] = second[i];
      }
      __builtin_memcpy(to, pairs, sizeof pairs);
    }
  }
}

void transpose(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
               std::uint8_t, std::uint8_t* out) {
  for (std::int64_t j = 0; j < kPanel; ++j) {
    const std::int8_t* const column = x + (j < cols ? j : cols - 1) * ld;
    for (std::int64_t g = 0; g < k / 2; ++g)
      __builtin_memcpy(out + 64 * g + 4 * j, column + 4 * g, 4);
    if (k % 2 == 0) continue;
    __builtin_memcpy(out + 32 * (k - 1) + 4 * j, column + 2 * (k - 1), 2);
    __builtin_memset(out + 32 * (k - 1) + 4 * j + 2, 0, 2);
  }
}

constexpr TileMicrokernel kInt16{.rows = {0, 12, 12, 12, 12},
                                 .code_bytes = 2,
                                 .bias = 0,
                                 .accumulate = accumulate,
                                 .product = product,
                                 .sum_rows = sum_rows,
                                 .interleave = interleave,
                                 .transpose = transpose,
                                 .coefficients = coefficients};

}  // namespace

constinit const TileMicrokernel TileMicrokernel::EBB_TARGET = kInt16;

}  // namespace ebb::kernels
