#include "quant/kernels/conv/gather.h"

#include <algorithm>
#include <cstring>

namespace ebb::kernels {
namespace {

/// Copies a short run: pieces of a fixed size become plain moves, where a memcpy of a run-time size
/// would be a call.
template <class Number>
void copy_run(const Number* from, std::int64_t count, Number* to) {
  constexpr std::int64_t piece = 16 / static_cast<std::int64_t>(sizeof(Number)), half = piece / 2;
  std::int64_t i = 0;
  for (; i + piece <= count; i += piece) std::memcpy(to + i, from + i, 16);
  if (i + half <= count) {
    std::memcpy(to + i, from + i, 8);
    i += half;
  }
  for (; i < count; ++i) to[i] = from[i];
}

}  // namespace

template <class Number>
void gather_patch_rows(const PatchGeometry& g, const Number* image, std::int64_t first,
                       std::int64_t rows, Number* out, std::int64_t ld) {
  const std::int64_t run = g.channels;
  // Neighbouring taps of a row of the image lie next to each other when nothing is skipped between
  // them.
  const bool joined = g.divide == 1 && g.pixel_stride == g.channels;
  std::int64_t x = first % g.out_width, y = first / g.out_width % g.out_height,
               n = first / (g.out_width * g.out_height);
  for (std::int64_t i = 0; i < rows; ++i, out += ld) {
    Number* to = out;
    for (std::int64_t ky = 0; ky < g.taps_y; ++ky, to += g.taps_x * run) {
      const std::int64_t sy = g.source_y(y, ky);
      if (sy < 0) {
        std::fill_n(to, g.taps_x * run, Number{});
        continue;
      }
      const Number* const line = image + (n * g.height + sy) * g.width * g.pixel_stride;
      if (joined) {
        const std::int64_t sx =
            x * g.step - g.pad_left;  // of tap 0; taps left and right of the image are zeros
        if (sx >= 0 && sx + g.taps_x <= g.width) {
          copy_run(line + sx * run, g.taps_x * run, to);
          continue;
        }
        const std::int64_t skipped = std::clamp<std::int64_t>(-sx, 0, g.taps_x);
        const std::int64_t end = std::clamp<std::int64_t>(g.width - sx, skipped, g.taps_x);
        std::fill_n(to, skipped * run, Number{});
        copy_run(line + (sx + skipped) * run, (end - skipped) * run, to + skipped * run);
        std::fill_n(to + end * run, (g.taps_x - end) * run, Number{});
        continue;
      }
      for (std::int64_t kx = 0; kx < g.taps_x; ++kx) {
        const std::int64_t sx = g.source_x(x, kx);
        if (sx < 0) {
          std::fill_n(to + kx * run, run, Number{});
        } else {
          copy_run(line + sx * g.pixel_stride, run, to + kx * run);
        }
      }
    }
    if (++x == g.out_width) {
      x = 0;
      if (++y == g.out_height) {
        y = 0;
        ++n;
      }
    }
  }
}
template void gather_patch_rows(const PatchGeometry&, const std::int8_t*, std::int64_t,
                                std::int64_t, std::int8_t*, std::int64_t);
template void gather_patch_rows(const PatchGeometry&, const std::int16_t*, std::int64_t,
                                std::int64_t, std::int16_t*, std::int64_t);
template void gather_patch_rows(const PatchGeometry&, const float*, std::int64_t, std::int64_t,
                                float*, std::int64_t);

}  // namespace ebb::kernels
