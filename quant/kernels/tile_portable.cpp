#include <cstddef>
#include <cstring>

#include "quant/kernels/coefficients.h"
#include "quant/kernels/tile.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Codes as int16 in loops that any compiler turns into vectors. x86-64 always has pmaddwd, which
// compilers do not find by themselves.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr int kLargest = 4;  ///< rows of a tile

#if defined(__SSE2__)
constexpr int kTogether = 2;  ///< rows: eight accumulators leave room for b

template <int kRows>
void tile(const TileLeft& a, const std::uint8_t* b, std::int64_t groups,
          std::int32_t (*c)[kPanel]) {
  __m128i sum[std::size_t{kRows}][4] = {};
  const std::int8_t* left = a.data;
  for (std::int64_t g = 0; g < groups; ++g, left += a.group, b += 64) {
    __m128i all[std::size_t{kRows}];
    for (int i = 0; i < kRows; ++i) {
      std::int32_t group;
      std::memcpy(&group, left + i * a.row, 4);
      all[i] = _mm_set1_epi32(group);
    }
    for (int q = 0; q < 4; ++q) {
      const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 16 * q));
      for (int i = 0; i < kRows; ++i)
        sum[i][q] = _mm_add_epi32(sum[i][q], _mm_madd_epi16(all[i], right));
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int q = 0; q < 4; ++q)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(c[i] + 4 * q), sum[i][q]);
  }
}
#else
constexpr int kTogether = 4;

template <int kRows>
void tile(const TileLeft& a, const std::uint8_t* b, std::int64_t groups,
          std::int32_t (*c)[kPanel]) {
  std::int32_t sum[std::size_t{kRows}][kPanel] = {};
  const std::int8_t* left = a.data;
  for (std::int64_t g = 0; g < groups; ++g, left += a.group, b += 64) {
    std::int16_t right[2 * kPanel];
    std::memcpy(right, b, sizeof right);
    for (int i = 0; i < kRows; ++i) {
      std::int16_t pair[2];
      std::memcpy(pair, left + i * a.row, 4);
      for (int j = 0; j < kPanel; ++j)
        sum[i][j] += pair[0] * right[2 * j] + pair[1] * right[2 * j + 1];
    }
  }
  std::memcpy(c, sum, sizeof sum);
}
#endif

/// Calls then(first row, rows, panel, sums) for every tile, panel by panel.
template <class Then>
void tiles(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels, const Then& then) {
  std::int32_t c[kLargest][kPanel];
  for (int p = 0; p < panels; ++p) {
    const std::uint8_t* const panel = b.data + p * b.panel;
    std::int64_t i = 0;
    const auto at = [&] { return TileLeft{a.data + i * a.row, a.row, a.group}; };
    for (; i + kTogether <= rows; i += kTogether) {
      tile<kTogether>(at(), panel, b.groups, c);
      then(i, kTogether, p, c);
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

std::uint64_t product(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                      const TileTarget& to, std::int64_t col, std::int64_t cols, int wrap_bits) {
  std::uint64_t events = 0;
  tiles(a, b, rows, panels, [&](std::int64_t first, int count, int p, std::int32_t(*sums)[kPanel]) {
    const std::int64_t at = col + kPanel * p, left = cols - kPanel * p,
                       n = left < kPanel ? left : kPanel;
    for (int i = 0; i < count; ++i) {
      if (wrap_bits > 0) events += wrap(sums[i], n, wrap_bits);
      const std::int64_t row = first + i;
      const double *const alpha = to.alpha + row * to.hop + at,
                          *const beta = to.beta + row * to.hop + at,
                          *const gamma = to.gamma[row] + at;
      const auto row_sum = static_cast<double>(to.sums[row]);
      float* const out = to.out + row * to.ld + at;
      for (std::int64_t j = 0; j < n; ++j)
        out[j] = static_cast<float>(
            (alpha[j] * static_cast<double>(sums[i][j]) + beta[j] * row_sum) + gamma[j]);
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
      const auto* const codes = reinterpret_cast<const std::int16_t*>(row);
      for (std::int64_t j = 0; j < k; ++j) sum += codes[j];
    } else {
      for (std::int64_t g = 0; 2 * g < k; ++g) {
        std::int16_t pair[2];
        std::memcpy(pair, row + g * a.group, 4);
        sum += pair[0] + pair[1];
      }
    }
    out[i] = sum;
  }
}

constexpr TileMicrokernel kInt16{
    {0, 16, 16, 16, 16}, 2,           0, accumulate, product, sum_rows, interleave_int16,
    transpose_int16,     coefficients};

}  // namespace

void interleave_int16(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                      std::uint8_t, std::uint8_t* out, std::int64_t group, std::int64_t panel) {
  constexpr std::int16_t missing[kPanel] = {};
  for (std::int64_t g = 0; 2 * g < k; ++g, x += 2 * ld, out += group) {
    std::uint8_t* to = out;
    for (std::int64_t j = 0; j < cols; j += kPanel, to += panel) {
      std::int16_t first[kPanel], second[kPanel], pairs[2 * kPanel];
      std::memcpy(first, x + 2 * j, sizeof first);
      std::memcpy(second, 2 * g + 1 < k ? static_cast<const void*>(x + ld + 2 * j) : missing,
                  sizeof second);
      for (int i = 0; i < kPanel; ++i) {
        pairs[2 * i] = first[i];
        pairs[2 * i + 1] = second[i];
      }
      std::memcpy(to, pairs, sizeof pairs);
    }
  }
}

void transpose_int16(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                     std::uint8_t, std::uint8_t* out) {
  for (std::int64_t j = 0; j < kPanel; ++j) {
    const std::int8_t* const column = x + (j < cols ? j : cols - 1) * ld;
    for (std::int64_t g = 0; g < k / 2; ++g) std::memcpy(out + 64 * g + 4 * j, column + 4 * g, 4);
    if (k % 2 == 0) continue;
    std::memcpy(out + 32 * (k - 1) + 4 * j, column + 2 * (k - 1), 2);
    std::memset(out + 32 * (k - 1) + 4 * j + 2, 0, 2);
  }
}

const TileMicrokernel& tile_int16_portable() { return kInt16; }

}  // namespace ebb::kernels
