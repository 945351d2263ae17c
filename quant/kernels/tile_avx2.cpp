#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/coefficients.h"
#include "quant/kernels/tile.h"

// Codes as int16, multiplied by pmaddwd, which is exact; pmaddubs would saturate on large codes.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr int kLargest =
    6;  ///< rows of a tile: twelve accumulators leave room for two vectors of b and one of a

/// c[i][0 .. 16] = the sums of kRows rows and one panel.
template <int kRows>
void tile(const TileLeft& a, const std::uint8_t* b, std::int64_t groups,
          std::int32_t (*c)[kPanel]) {
  __m256i sum[std::size_t{kRows}][2];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) sum[i][0] = sum[i][1] = _mm256_setzero_si256();
  const std::int8_t* left = a.data;
  for (std::int64_t g = 0; g < groups; ++g, left += a.group, b += 64) {
    const __m256i right0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i right1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32));
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      std::int32_t group;
      __builtin_memcpy(&group, left + i * a.row, 4);
      const __m256i all = _mm256_set1_epi32(group);
      sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(all, right0));
      sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(all, right1));
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(c[i]), sum[i][0]);
    _mm256_store_si256(reinterpret_cast<__m256i*>(c[i] + 8), sum[i][1]);
  }
}

/// Calls then(first row, rows, panel, sums) for every tile, panel by panel.
template <class Then>
void tiles(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels, const Then& then) {
  alignas(32) std::int32_t c[kLargest][kPanel];
  for (int p = 0; p < panels; ++p) {
    const std::uint8_t* const panel = b.data + p * b.panel;
    std::int64_t i = 0;
    const auto at = [&] { return TileLeft{a.data + i * a.row, a.row, a.group}; };
    for (; i + 6 <= rows; i += 6) {
      tile<6>(at(), panel, b.groups, c);
      then(i, 6, p, c);
    }
    for (; i + 2 <= rows; i += 2) {
      tile<2>(at(), panel, b.groups, c);
      then(i, 2, p, c);
    }
    for (; i < rows; ++i) {
      tile<1>(at(), panel, b.groups, c);
      then(i, 1, p, c);
    }
  }
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

/// Takes n sums modulo 2^bits and returns how often they went round.
std::uint64_t wrap(std::int32_t* sums, std::int64_t n, int bits) {
  std::uint64_t events = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const auto kept =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(sums[j]) << (32 - bits)) >>
        (32 - bits);
    const std::int32_t turns = (sums[j] - kept) >> bits;
    events += static_cast<std::uint32_t>(turns < 0 ? -turns : turns);
    sums[j] = kept;
  }
  return events;
}

void scale(const std::int32_t* sums, std::int64_t n, const double* alpha, const double* beta,
           const double* gamma, double row_sum, float* out) {
  for (std::int64_t j = 0; j < n; ++j)
    out[j] = static_cast<float>((alpha[j] * static_cast<double>(sums[j]) + beta[j] * row_sum) +
                                gamma[j]);
}

std::uint64_t product(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                      const TileTarget& to, std::int64_t col, std::int64_t cols, int wrap_bits) {
  std::uint64_t events = 0;
  tiles(a, b, rows, panels, [&](std::int64_t first, int count, int p, std::int32_t(*sums)[kPanel]) {
    const std::int64_t at = col + kPanel * p, left = cols - kPanel * p,
                       n = left < kPanel ? left : kPanel;
    for (int i = 0; i < count; ++i) {
      if (wrap_bits > 0) events += wrap(sums[i], n, wrap_bits);
      const std::int64_t row = first + i;
      float* const out = to.out + row * to.ld + at;
      const double *const alpha = to.alpha + row * to.hop + at, *const beta =
                                                                    to.beta + row * to.hop + at;
      const auto row_sum = static_cast<double>(to.sums[row]);
      if (n == kPanel) {
        scale(sums[i], kPanel, alpha, beta, to.gamma[row] + at, row_sum, out);
      } else {
        scale(sums[i], n, alpha, beta, to.gamma[row] + at, row_sum, out);
      }
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

constexpr TileMicrokernel kInt16{
    {0, 12, 12, 12, 12}, 2,           0, accumulate, product, sum_rows, interleave_int16,
    transpose_int16,     coefficients};

}  // namespace

const TileMicrokernel& tile_int16_avx2() { return kInt16; }

}  // namespace ebb::kernels
