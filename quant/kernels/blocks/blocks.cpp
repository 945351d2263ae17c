#include <algorithm>
#include <utility>
#include <vector>

#include "core/aligned.h"
#include "core/kernels/select.h"
#include "quant/kernels/blocks/tile.h"
#include "quant/kernels/dense/packing.h"
#include "quant/kernels/registry.h"

// Products of block formats: an exact sum for each pair of blocks, times both scales, added in
// float32.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kRowBlock = 96;  ///< rows of a that a thread takes at a time

/// Where the contraction passes from one block to the next, on either side.
std::vector<std::int64_t> segment_ends(const Problem& p) {
  const BlockScales &a = p.a.block_scales(), &b = p.b.block_scales();
  const auto next = [](std::int64_t first, std::int64_t block, std::int64_t k) {
    return ((first + k) / block + 1) * block - first;
  };
  std::vector<std::int64_t> ends;
  for (std::int64_t k = 0; k < p.k();) {
    k = std::min(
        {p.k(), next(a.first_col, a.extents.cols, k), next(b.first_row, b.extents.rows, k)});
    ends.push_back(k);
  }
  return ends;
}
std::int64_t longest(const std::vector<std::int64_t>& ends) {
  std::int64_t most = 0, before = 0;
  for (const std::int64_t end : ends) most = std::max(most, end - std::exchange(before, end));
  return most;
}

/// The scales by segment of a's rows or b's columns, times `unit`, in lines of `width`; what is
/// beyond the last one has zeros.
Aligned<float> scales_of(const std::vector<std::int64_t>& ends, std::int64_t count,
                         std::int64_t width, double unit, const auto& scale) {
  Aligned<float> scales(ends.size() * static_cast<std::size_t>(width));
  std::int64_t k = 0;
  float* line = scales.data();
  for (const std::int64_t end : ends) {
    for (std::int64_t i = 0; i < count; ++i)
      line[i] = static_cast<float>(static_cast<double>(scale(i, k)) * unit);
    std::fill(line + count, line + width, 0.0f);
    line += width;
    k = end;
  }
  return scales;
}

/// Both sides' scales.
struct Scales {
  std::int64_t rows, columns;
  Aligned<float> a, b;
  Scales(const Problem& p, const std::vector<std::int64_t>& ends, double unit_a, double unit_b)
      : rows(p.m()),
        columns(round_up(p.n(), kBlockPanel)),
        a(scales_of(ends, p.m(), rows, unit_a,
                    [&](std::int64_t i, std::int64_t k) { return p.a.block_scales().at(i, k); })),
        b(scales_of(ends, p.n(), columns, unit_b,
                    [&](std::int64_t j, std::int64_t k) { return p.b.block_scales().at(k, j); })) {}
};

bool powers_of_two(const Operand& x) {
  const Scaling::Kind kind = x.format().scaling.kind;
  return kind == Scaling::Kind::e8m0 || kind == Scaling::Kind::pow2;
}
/// Bits of fraction that scales of a kind have, the hidden one included.
int bits_of_scale(const Operand& x) {
  return powers_of_two(x) ? 1 : x.format().scaling.kind == Scaling::Kind::ue4m3 ? 4 : 24;
}
float largest_scale(const Operand& x) {
  const BlockScales& of = x.block_scales();
  return of.scales->empty() ? 0.0f : *std::ranges::max_element(*of.scales);
}

bool applies(const Problem& p) {
  return p.blocks() && p.accumulator.kind != Accumulator::Kind::exact && p.m() > 0 && p.n() > 0 &&
         p.k() > 0;
}

/// Multiplies panel by panel and writes c: run(row, rows, panel, panels, to, ld) fills whole
/// panels.
template <class Run>
void by_tiles(const Problem& p, const BlockKernels& kernels, const Run& run) {
  const std::int64_t m = p.m(), n = p.n(), panels = (n + kBlockPanel - 1) / kBlockPanel,
                     across = (panels + kernels.panels - 1) / kernels.panels,
                     down = (m + kRowBlock - 1) / kRowBlock;
  const double all = static_cast<double>(p.a.block_scales().tensor) *
                     static_cast<double>(p.b.block_scales().tensor);
#pragma omp parallel for schedule(dynamic) if (m * n * p.k() > (1 << 15))
  for (std::int64_t task = 0; task < across * down; ++task) {
    const std::int64_t row = task / across * kRowBlock, rows = std::min(kRowBlock, m - row),
                       panel = task % across * kernels.panels,
                       count = std::min<std::int64_t>(kernels.panels, panels - panel);
    float results[kRowBlock * 2 * kBlockPanel];
    const std::int64_t ld = count * kBlockPanel, first = panel * kBlockPanel,
                       cols = std::min(ld, n - first);
    run(row, static_cast<int>(rows), panel, static_cast<int>(count), results, ld);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j)
        p.c(row + i, first + j) =
            static_cast<float>(static_cast<double>(results[i * ld + j]) * all);
    }
  }
}

/// The numbers of codes in float64, element (i, j) at place(i, j).
Aligned<double> numbers_of(const Operand& x, std::int64_t rows, std::int64_t cols,
                           const auto& code_at, const auto& place) {
  const BlockElement element(x.format());
  std::vector<double> table;  // of bytes
  if (x.codes().container == Container::int8) {
    for (int code = -128; code < 128; ++code) table.push_back(element.number(code));
  }
  Aligned<double> numbers(static_cast<std::size_t>(place(round_up(rows, kBlockPanel), 0)));
  std::ranges::fill(numbers, 0.0);
#pragma omp parallel for schedule(static) if (rows * cols > (1 << 15))
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int32_t code = code_at(i, j);
      numbers[static_cast<std::size_t>(place(i, j))] =
          table.empty() ? element.number(code) : table[static_cast<std::size_t>(code + 128)];
    }
  }
  return numbers;
}

/// The largest product of two elements in units of which all products are multiples.
double product_units(const Problem& p) {
  const auto units = [](const Operand& x) {
    const BlockElement element(x.format());
    return element.max / element.step;
  };
  return units(p.a) * units(p.b);
}

}  // namespace

bool block_codes_apply(const Problem& p) {
  if (!applies(p)) return false;
  const BlockElement a(p.a.format()), b(p.b.format());
  if (!a.linear || !b.linear || p.b.format().scaling.kind == Scaling::Kind::absmax) return false;
  const std::vector<std::int64_t> ends = segment_ends(p);
  const double most = static_cast<double>(longest(ends)) * (a.max / a.unit) * (b.max / b.unit);
  // Groups of codes belong to one segment.
  const bool whole =
      std::all_of(ends.begin(), ends.end() - 1, [](std::int64_t end) { return end % 4 == 0; });
  return whole && bits_of_scale(p.a) < 24 && most * (bits_of_scale(p.a) > 1 ? 15 : 1) <= 0x1p24 &&
         largest_scale(p.a) <= 0x1p100f;
}

std::uint64_t multiply_block_codes(const Problem& p, Simd simd) {
  const BlockKernels& kernels = select<BlockKernels>(simd);
  const bool bytes = kernels.bytes != nullptr && p.int8();
#if defined(__x86_64__)
  const TileMicrokernel& micro = bytes                  ? TileMicrokernel::kInt8Avx512
                                 : simd == Simd::avx512 ? TileMicrokernel::kInt16Avx512
                                 : simd == Simd::avx2   ? TileMicrokernel::avx2
                                                        : TileMicrokernel::portable;
#else
  const TileMicrokernel& micro = TileMicrokernel::portable;
#endif
  const BlockElement a(p.a.format()), b(p.b.format());
  std::vector<std::int64_t> ends = segment_ends(p);
  const Scales scales(p, ends, a.unit, b.unit);
  const std::int64_t m = p.m(), n = p.n(), k = p.k(), codes = 4 / micro.code_bytes,
                     groups = (k + codes - 1) / codes, panel = groups * 64,
                     panels = (n + kBlockPanel - 1) / kBlockPanel,
                     down = (m + kRowBlock - 1) / kRowBlock;
  Aligned<std::uint8_t> right(static_cast<std::size_t>(panels * panel));
#pragma omp parallel if (n * k > (1 << 15))
  {
    PackBuffers buffers;
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < panels; ++i) {
      const std::int64_t col = i * kBlockPanel;
      pack_right(p.b.codes(), col, std::min(kBlockPanel, n - col), 0, k, Part::whole, micro,
                 buffers, right.data() + i * panel, panel);
    }
  }
  std::vector<PackBuffers> buffers(static_cast<std::size_t>(down));
  std::vector<TileLeft> left(static_cast<std::size_t>(down));
  Aligned<std::int32_t> sums(bytes ? scales.a.size() : 0);
#pragma omp parallel for schedule(static) if (m * k > (1 << 15))
  for (std::int64_t block = 0; block < down; ++block) {
    const std::int64_t row = block * kRowBlock, rows = std::min(kRowBlock, m - row);
    TileLeft& of = left[static_cast<std::size_t>(block)];
    of = pack_left(p.a.codes(), row, rows, 0, k, micro, false,
                   buffers[static_cast<std::size_t>(block)]);
    std::int64_t first = 0;
    for (std::size_t s = 0; bytes && s < ends.size(); first = ends[s++])
      micro.sum_rows({of.data + first / codes * of.group, of.row, of.group}, rows, ends[s] - first,
                     sums.data() + static_cast<std::int64_t>(s) * scales.rows + row);
  }
  for (std::int64_t& end : ends) end = (end + codes - 1) / codes;
  by_tiles(
      p, kernels,
      [&](std::int64_t row, int rows, std::int64_t first, int count, float* to, std::int64_t ld) {
        const BlockTile tile{left[static_cast<std::size_t>(row / kRowBlock)],
                             {right.data() + first * panel, panel, groups},
                             ends.data(),
                             std::ssize(ends),
                             scales.a.data() + row,
                             bytes ? sums.data() + row : nullptr,
                             scales.rows,
                             scales.b.data() + first * kBlockPanel,
                             scales.columns,
                             to,
                             ld};
        (bytes ? kernels.bytes : kernels.words)(tile, rows, count);
      });
  return 0;
}

bool block_numbers_apply(const Problem& p) {
  if (!applies(p)) return false;
  const double count = static_cast<double>(longest(segment_ends(p))), units = product_units(p);
  return count * units <= 0x1p53 ||
         (powers_of_two(p.a) && powers_of_two(p.b) && count * count * units <= 0x1p105);
}

std::uint64_t multiply_block_numbers(const Problem& p, Simd simd) {
  const BlockKernels& kernels = select<BlockKernels>(simd);
  const std::vector<std::int64_t> ends = segment_ends(p);
  const Scales scales(p, ends, 1.0, 1.0);
  const std::int64_t k = p.k();
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const Aligned<double> left = numbers_of(
      p.a, p.m(), k, [&](std::int64_t i, std::int64_t s) { return a.code_at(a.offset(i, s)); },
      [k](std::int64_t i, std::int64_t s) { return i * k + s; });
  const Aligned<double> right = numbers_of(
      p.b, p.n(), k, [&](std::int64_t j, std::int64_t s) { return b.code_at(b.offset(s, j)); },
      [k](std::int64_t j, std::int64_t s) {
        return (j / kBlockPanel * k + s) * kBlockPanel + j % kBlockPanel;
      });
  const bool one = static_cast<double>(longest(ends)) * product_units(p) <= 0x1p53;
  by_tiles(
      p, kernels,
      [&](std::int64_t row, int rows, std::int64_t first, int count, float* to, std::int64_t ld) {
        const WideBlockTile tile{left.data() + row * k,
                                 right.data() + first * k * kBlockPanel,
                                 k,
                                 ends.data(),
                                 std::ssize(ends),
                                 scales.a.data() + row,
                                 scales.rows,
                                 scales.b.data() + first * kBlockPanel,
                                 scales.columns,
                                 to,
                                 ld};
        (one ? kernels.exact : kernels.pairs)(tile, rows, count);
      });
  return 0;
}

}  // namespace ebb::kernels
