#include <algorithm>
#include <cstring>
#include <vector>

#include "quant/kernels/int8.h"

namespace ebb::kernels {

bool conv_applies(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  return a.patches && !a.patches_transposed && a.patches->step == 1 && a.patches->divide == 1 && p.k() <= 2 * kMaxGroups &&
         p.accumulator.is_exact();
}

/// Convolutions of stride 1. A block of lines is copied once into a zero-padded image; there the patches of neighbouring positions
/// lie one pixel apart, so the positions of all lines form one run of rows with a constant stride and nothing is gathered. The
/// taps_x - 1 positions between two lines are computed and left out.
std::uint64_t conv_int8(const Problem& p, const Int8Micro& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  const std::int64_t n = p.n(), panels = (n + 15) / 16;
  const std::int64_t pixel = g.channels, wide = g.out_width + g.taps_x - 1, line = wide * pixel;
  const Corrections corrections(p, micro.biased_b);
  const Panels right = pack_panels(p.b.codes(), g.taps_x * pixel, micro.biased_b ? 0x80 : 0);
  const std::int64_t lines = std::clamp<std::int64_t>(kRowBlockBytes / line - (g.taps_y - 1), 1, g.out_height);
  const std::int64_t blocks = (g.out_height + lines - 1) / lines;
#pragma omp parallel for schedule(dynamic) if (p.m() * n * p.k() > (1 << 15))
  for (std::int64_t block = 0; block < g.images * blocks; ++block) {
    const std::int64_t image = block / blocks, top = block % blocks * lines, height = std::min(lines, g.out_height - top);
    Aligned<std::int8_t> padded(static_cast<std::size_t>((height + g.taps_y - 1) * line + 4 * kSlack));
    std::memset(padded.data(), 0, padded.size());
    const std::int64_t left = std::max<std::int64_t>(0, g.pad_left), skip = std::max<std::int64_t>(0, -g.pad_left);
    const std::int64_t run = std::min(g.width - skip, wide - left);
    for (std::int64_t y = 0; y < height + g.taps_y - 1; ++y) {
      const std::int64_t sy = top + y - g.pad_top;
      if (sy < 0 || sy >= g.height || run <= 0) continue;
      const std::int8_t* const from = int8_codes(p.a.codes()) + ((image * g.height + sy) * g.width + skip) * g.pixel_stride;
      std::int8_t* const to = padded.data() + y * line + left * pixel;
      if (g.pixel_stride == pixel) {
        std::memcpy(to, from, static_cast<std::size_t>(run * pixel));
      } else {
        for (std::int64_t x = 0; x < run; ++x)
          std::memcpy(to + x * pixel, from + x * g.pixel_stride, static_cast<std::size_t>(pixel));
      }
    }
    std::vector<double> scratch;
    std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
    const std::int64_t rows = (height - 1) * wide + g.out_width;
    for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
      const std::int64_t ld = count * kPanel, col = panel * kPanel, cols = std::min(ld, n - col);
      for (std::int64_t i = 0; i < rows; i += micro.rows[count]) {
        const int tall = static_cast<int>(std::min<std::int64_t>(micro.rows[count], rows - i));
        micro.multiply({padded.data() + i * pixel, pixel, 4, line}, right.from(panel), tall, count, tile, ld);
        std::int64_t x = i % wide, row = (image * g.out_height + top + i / wide) * g.out_width + std::min(x, g.out_width);
        for (std::int64_t r = 0; r < tall; ++r) {
          if (x < g.out_width) finish_row(p, micro, corrections, row++, col, cols, tile + r * ld, scratch);
          x = x + 1 == wide ? 0 : x + 1;
        }
      }
    }
  }
  return 0;
}

}  // namespace ebb::kernels
