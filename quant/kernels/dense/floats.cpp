
#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/aligned.h"
#include "core/kernels/select.h"
#include "quant/kernels/conv/gather.h"
#include "quant/kernels/dense/float_tile.h"
#include "quant/kernels/registry.h"

// Float32 products. An output's chain of fma runs over all of k in ascending order, so k may be cut
// into chunks (the chain continues from the partial sum in memory) but never shared among threads;
// threads share outputs.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunk = 1024;    ///< k of a chunk, so that a packed panel stays in cache
constexpr std::int64_t kRowBlock = 96;   ///< rows of a that a thread takes at the most
constexpr std::int64_t kTileUnit = 24;   ///< a multiple of the heights of tiles
constexpr std::int64_t kPackRows = 128;  ///< rows of b that a thread packs at a time
constexpr std::int64_t kCrowded =
    256;  ///< neighbours a multiple of so many floats apart share few sets of the first cache level

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

const float* floats(const CodeMatrix& x) { return static_cast<const float*>(x.data); }

/// Rows first .. first + k of b [k, n] as panels of 16 columns, zero-padded: panel p, row r is 16
/// floats at p * k * 16 + r * 16.
void pack_panels(const CodeMatrix& b, std::int64_t first, std::int64_t k, float* out) {
  const std::int64_t panels = (b.cols + 15) / 16;
#pragma omp for schedule(static) collapse(2)
  for (std::int64_t p = 0; p < panels; ++p) {
    for (std::int64_t top = 0; top < k; top += kPackRows) {
      const std::int64_t cols = std::min<std::int64_t>(16, b.cols - 16 * p);
      float* to = out + (p * k + top) * 16;
      for (std::int64_t r = top; r < std::min(k, top + kPackRows); ++r, to += 16) {
        const float* const from = floats(b) + (first + r) * b.row_stride + 16 * p * b.col_stride;
        for (std::int64_t j = 0; j < cols; ++j) to[j] = from[j * b.col_stride];
        for (std::int64_t j = cols; j < 16; ++j) to[j] = 0.0f;
      }
    }
  }
}

void by_rows(const Problem& p, const FloatKernels& micro) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const std::int64_t m = p.m(), n = p.n(), k_all = p.k(), n16 = round_up(n, 16), panels = n16 / 16;
  const bool across = a.patches && a.patches_transposed;  // rows of a are taps: whole rows of
                                                          // patches are gathered for a chunk of k
  // A block for every thread at least.
  const std::int64_t blocks =
      std::max<std::int64_t>((m + kRowBlock - 1) / kRowBlock, omp_get_max_threads());
  const std::int64_t block =
      std::clamp(round_up((m + blocks - 1) / blocks, kTileUnit), kTileUnit, kRowBlock);
  // Chains grow where the results belong if whole panels fit there.
  const bool in_place = n == n16 && !p.transposed_out;
  Aligned<float> buffer(in_place ? 0 : static_cast<std::size_t>(m * n16));
  float* const sums = in_place ? p.out.data : buffer.data();
  const std::int64_t ld = in_place ? p.out.row_stride : n16;
  Aligned<float> right(static_cast<std::size_t>(n16 * std::min(kChunk, k_all)));
  Aligned<float> gathered(across ? static_cast<std::size_t>(m * std::min(kChunk, k_all)) : 0);
#pragma omp parallel if (m * n * k_all > (1 << 15))
  {
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(sums + i * ld, n16, 0.0f);
    Aligned<float> packed;
    for (std::int64_t first = 0; first < k_all; first += kChunk) {
      const std::int64_t k = std::min(kChunk, k_all - first);
      pack_panels(b, first, k, right.data());
      if (across) {
#pragma omp for schedule(static)
        for (std::int64_t r = 0; r < k; ++r)
          gather_patch_rows(*a.patches, floats(a), first + r, 1, gathered.data() + r * m, m);
      }
#pragma omp for schedule(dynamic)
      for (std::int64_t row = 0; row < m; row += block) {
        const std::int64_t rows = std::min(block, m - row);
        const float* left = floats(a) + row * a.row_stride + first * a.col_stride;
        std::int64_t a_row = a.row_stride, a_k = a.col_stride;
        if (across) {
          left = gathered.data() + row;
          a_row = 1;
          a_k = m;
        } else if (a.patches) {
          packed.resize(static_cast<std::size_t>(rows * k_all));
          gather_patch_rows(*a.patches, floats(a), row, rows, packed.data(), k_all);
          left = packed.data() + first;
          a_row = k_all;
          a_k = 1;
        }
        const bool readable = a_k == 1 || (micro.fetches && a_row == 1 && a_k % kCrowded != 0);
        if (!readable) {  // neighbours in k lie far apart: a block of them is brought together
          packed.resize(static_cast<std::size_t>(k * block));
          for (std::int64_t s = 0; s < k; ++s) {
            for (std::int64_t i = 0; i < rows; ++i)
              packed[static_cast<std::size_t>(s * block + i)] = left[i * a_row + s * a_k];
          }
          left = packed.data();
          a_row = 1;
          a_k = block;
        }
        for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
          const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
          for (std::int64_t i = 0; i < rows; i += micro.rows[count]) {
            const int height =
                static_cast<int>(std::min<std::int64_t>(micro.rows[count], rows - i));
            micro.multiply(left + i * a_row, a_row, a_k, right.data() + panel * k * 16, k * 16, k,
                           height, count, sums + (row + i) * ld + panel * 16, ld);
          }
        }
      }
    }
  }
  if (in_place) return;
#pragma omp parallel for schedule(static) if (m * n > (1 << 15))
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) p.c(i, j) = sums[i * n16 + j];
  }
}

}  // namespace

bool floats_apply(const Problem& p) { return p.float_chain(); }
std::uint64_t multiply_floats(const Problem& p, Simd simd) {
  by_rows(p, select<FloatKernels>(simd));
  return 0;
}

}  // namespace ebb::kernels
