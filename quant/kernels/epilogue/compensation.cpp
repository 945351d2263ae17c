#include "quant/kernels/epilogue/compensation.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/parallel.h"

namespace ebb::kernels {
namespace {

/// Taps and positions of one image axis: which taps of each position fall inside the image, and the
/// classes of positions alike in that.
struct AxisTaps {
  std::vector<std::int32_t> of_position;             ///< class of each position
  std::vector<std::vector<std::int64_t>> taps;       ///< valid taps of each class
  std::vector<std::vector<std::int64_t>> positions;  ///< valid positions of each tap

  template <class Source>
  AxisTaps(std::int64_t position_count, std::int64_t tap_count, const Source& source)
      : positions(static_cast<std::size_t>(tap_count)) {
    std::map<std::vector<std::int64_t>, std::int32_t> known;
    for (std::int64_t at = 0; at < position_count; ++at) {
      std::vector<std::int64_t> valid;
      for (std::int64_t tap = 0; tap < tap_count; ++tap) {
        if (source(at, tap) < 0) continue;
        valid.push_back(tap);
        positions[static_cast<std::size_t>(tap)].push_back(at);
      }
      const auto [entry, is_new] = known.try_emplace(valid, static_cast<std::int32_t>(taps.size()));
      if (is_new) taps.push_back(valid);
      of_position.push_back(entry->second);
    }
  }
};

AxisTaps vertical(const PatchGeometry& g) {
  return {g.out_height, g.taps_y,
          [&](std::int64_t at, std::int64_t tap) { return g.source_y(at, tap); }};
}
AxisTaps horizontal(const PatchGeometry& g) {
  return {g.out_width, g.taps_x,
          [&](std::int64_t at, std::int64_t tap) { return g.source_x(at, tap); }};
}

template <class Code>
const Code* codes_of(const CodeMatrix& x) {
  return static_cast<const Code*>(x.data);
}

/// Calls then(pointer to codes) with the container's type.
template <class Then>
void with_codes(const CodeMatrix& x, const Then& then) {
  if (x.container == CodeMatrix::Container::int8) {
    then(codes_of<std::int8_t>(x));
  } else {
    then(codes_of<std::int16_t>(x));
  }
}

/// Sums of the codes of each row of a dense matrix.
std::vector<std::int64_t> dense_row_sums(const CodeMatrix& x) {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(x.rows), 0);
  with_codes(x, [&](const auto* data) {
    if (x.col_stride == 1) {
      parallel_for(
          x.rows,
          [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i) {
              const auto* const row = data + i * x.row_stride;
              std::int64_t total = 0;
              for (std::int64_t block = 0; block < x.cols; block += 65536) {
                std::int32_t sum = 0;  // 65,536 codes of 16 bits fit
                for (std::int64_t j = block; j < std::min(x.cols, block + 65536); ++j)
                  sum += row[j];
                total += sum;
              }
              sums[static_cast<std::size_t>(i)] = total;
            }
          },
          kParallelGrain / (x.cols + 1) + 1, 1);
    } else {
      for (std::int64_t j = 0; j < x.cols; ++j) {
        for (std::int64_t i = 0; i < x.rows; ++i)
          sums[static_cast<std::size_t>(i)] += data[i * x.row_stride + j * x.col_stride];
      }
    }
  });
  return sums;
}

/// Row sums of a patch matrix: channels are summed once a pixel, then taps are added.
std::vector<std::int64_t> patch_row_sums(const CodeMatrix& x) {
  const PatchGeometry& g = *x.patches;
  const std::int64_t pixels = g.images * g.height * g.width;
  std::vector<std::int32_t> pixel_sums(static_cast<std::size_t>(pixels));
  with_codes(x, [&](const auto* data) {
    parallel_for(pixels, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        std::int32_t sum = 0;
        for (std::int64_t c = 0; c < g.channels; ++c) sum += data[i * g.pixel_stride + c];
        pixel_sums[static_cast<std::size_t>(i)] = sum;
      }
    });
  });
  std::vector<std::int64_t> sums(static_cast<std::size_t>(g.rows()));
  const AxisTaps xs = horizontal(g);
  parallel_for(
      g.images * g.out_height,
      [&](std::int64_t first, std::int64_t last) {
        std::vector<std::int32_t> columns(static_cast<std::size_t>(g.width));
        for (std::int64_t line = first; line < last; ++line) {
          // Down the taps' rows first, over whole lines; then along the taps of each position.
          std::fill(columns.begin(), columns.end(), 0);
          for (std::int64_t ky = 0; ky < g.taps_y; ++ky) {
            const std::int64_t sy = g.source_y(line % g.out_height, ky);
            if (sy < 0) continue;
            const std::int32_t* const source =
                pixel_sums.data() + (line / g.out_height * g.height + sy) * g.width;
            for (std::int64_t sx = 0; sx < g.width; ++sx)
              columns[static_cast<std::size_t>(sx)] += source[sx];
          }
          std::int64_t* const out = sums.data() + line * g.out_width;
          for (std::int64_t kx = 0; kx < g.taps_x; ++kx) {
            const auto& valid = xs.positions[static_cast<std::size_t>(kx)];
            if (valid.empty()) continue;
            const std::int64_t from = valid.front(),
                               count = static_cast<std::int64_t>(valid.size());
            const std::int64_t stride = count > 1 ? valid[1] - from : 1,
                               source_stride =
                                   count > 1 ? g.source_x(valid[1], kx) - g.source_x(from, kx) : 1;
            const std::int32_t* const source = columns.data() + g.source_x(from, kx);
            for (std::int64_t v = 0; v < count; ++v)
              out[from + v * stride] += source[v * source_stride];
          }
        }
      },
      16, 1);
  return sums;
}

/// Element by element sums of the codes of `count` matrices of [rows, cols] codes that lie `rows *
/// row_stride` apart.
std::vector<std::int64_t> sum_stack(const CodeMatrix& x, std::int64_t count, std::int64_t rows,
                                    std::int64_t cols, std::int64_t row_stride,
                                    std::int64_t col_stride) {
  constexpr std::int64_t most = 65535;  // codes of 16 bits that an int32 can add up
  std::vector<std::int64_t> sums(static_cast<std::size_t>(rows * cols), 0);
  with_codes(x, [&](const auto* data) {
    parallel_for(
        rows,
        [&](std::int64_t first, std::int64_t last) {
          const bool dense = row_stride == cols && col_stride == 1;
          const std::int64_t lines = dense ? 1 : last - first,
                             width = dense ? (last - first) * cols : cols;
          std::vector<std::int32_t> partial(static_cast<std::size_t>(width));
          for (std::int64_t line = 0; line < lines; ++line) {
            std::int64_t* const out = sums.data() + (first + line) * cols;
            for (std::int64_t begin = 0; begin < count; begin += most) {
              std::fill(partial.begin(), partial.end(), 0);
              for (std::int64_t at = begin; at < std::min(count, begin + most); ++at) {
                const auto* const from = data + (at * rows + first + line) * row_stride;
                if (col_stride == 1) {
                  for (std::int64_t j = 0; j < width; ++j)
                    partial[static_cast<std::size_t>(j)] += from[j];
                } else {
                  for (std::int64_t j = 0; j < width; ++j)
                    partial[static_cast<std::size_t>(j)] += from[j * col_stride];
                }
              }
              for (std::int64_t j = 0; j < width; ++j)
                out[j] += partial[static_cast<std::size_t>(j)];
            }
          }
        },
        kParallelGrain / (count * cols + 1) + 1, 1);
  });
  return sums;
}

/// Row sums of a transposed patch matrix, rows being (tap, channel): images are summed first, then
/// the positions that a tap reaches.
std::vector<std::int64_t> transposed_patch_row_sums(const CodeMatrix& x) {
  const PatchGeometry& g = *x.patches;
  const std::vector<std::int64_t> all_images =
      sum_stack(x, g.images, g.height * g.width, g.channels, g.pixel_stride, 1);
  const AxisTaps ys = vertical(g), xs = horizontal(g);
  std::vector<std::int64_t> sums(static_cast<std::size_t>(g.cols()), 0);
  for (std::int64_t tap = 0; tap < g.taps_y * g.taps_x; ++tap) {
    const std::int64_t ky = tap / g.taps_x, kx = tap % g.taps_x;
    for (const std::int64_t y : ys.positions[static_cast<std::size_t>(ky)]) {
      for (const std::int64_t px : xs.positions[static_cast<std::size_t>(kx)]) {
        const std::int64_t* const from =
            all_images.data() + (g.source_y(y, ky) * g.width + g.source_x(px, kx)) * g.channels;
        for (std::int64_t c = 0; c < g.channels; ++c)
          sums[static_cast<std::size_t>(tap * g.channels + c)] += from[c];
      }
    }
  }
  return sums;
}

/// out[n] += codes of row k of b.
void add_row(const CodeMatrix& b, std::int64_t k, std::int64_t* out) {
  with_codes(b, [&](const auto* data) {
    for (std::int64_t j = 0; j < b.cols; ++j) out[j] += data[k * b.row_stride + j * b.col_stride];
  });
}

/// Rows are (tap, channel) and k runs over positions: b's rows are summed over images, then over
/// the positions that a tap reaches.
RowClasses classes_of_taps(const PatchGeometry& g, const CodeMatrix& b) {
  const AxisTaps ys = vertical(g), xs = horizontal(g);
  const std::int64_t n = b.cols, taps = g.taps_y * g.taps_x;
  const std::vector<std::int64_t> all_images =
      sum_stack(b, g.images, g.out_height * g.out_width, n, b.row_stride, b.col_stride);
  RowClasses classes;
  classes.column_sums.assign(static_cast<std::size_t>(taps * n), 0);
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    const auto& y_valid = ys.positions[static_cast<std::size_t>(tap / g.taps_x)];
    const auto& x_valid = xs.positions[static_cast<std::size_t>(tap % g.taps_x)];
    classes.valid.push_back(g.images * static_cast<std::int64_t>(y_valid.size() * x_valid.size()));
    std::int64_t* const out = classes.column_sums.data() + tap * n;
    for (const std::int64_t y : y_valid) {
      for (const std::int64_t x : x_valid) {
        const std::int64_t* const from = all_images.data() + (y * g.out_width + x) * n;
        for (std::int64_t j = 0; j < n; ++j) out[j] += from[j];
      }
    }
    classes.of_row.insert(classes.of_row.end(), static_cast<std::size_t>(g.channels),
                          static_cast<std::int32_t>(tap));
  }
  return classes;
}

/// Rows are positions, alike where the same taps fall inside the image.
RowClasses classes_of_positions(const PatchGeometry& g, const CodeMatrix& b) {
  const AxisTaps ys = vertical(g), xs = horizontal(g);
  const std::int64_t n = b.cols, taps = g.taps_y * g.taps_x;
  std::vector<std::int64_t> tap_sums(static_cast<std::size_t>(taps * n), 0);
  for (std::int64_t row = 0; row < taps * g.channels; ++row)
    add_row(b, row, tap_sums.data() + row / g.channels * n);
  RowClasses classes;
  classes.column_sums.assign(ys.taps.size() * xs.taps.size() * static_cast<std::size_t>(n), 0);
  std::int64_t* out = classes.column_sums.data();
  for (const auto& y_taps : ys.taps) {
    for (const auto& x_taps : xs.taps) {
      classes.valid.push_back(static_cast<std::int64_t>(y_taps.size() * x_taps.size()) *
                              g.channels);
      for (const std::int64_t ky : y_taps) {
        for (const std::int64_t kx : x_taps) {
          const std::int64_t* const from = tap_sums.data() + (ky * g.taps_x + kx) * n;
          for (std::int64_t j = 0; j < n; ++j) out[j] += from[j];
        }
      }
      out += n;
    }
  }
  classes.of_row.reserve(static_cast<std::size_t>(g.rows()));
  for (std::int64_t image = 0; image < g.images; ++image) {
    for (const std::int32_t y : ys.of_position) {
      for (const std::int32_t x : xs.of_position)
        classes.of_row.push_back(y * static_cast<std::int32_t>(xs.taps.size()) + x);
    }
  }
  return classes;
}

}  // namespace

RowClasses RowClasses::one(std::int64_t k, std::vector<std::int64_t> column_sums) {
  return {.of_row = {}, .valid = {k}, .column_sums = std::move(column_sums)};
}

RowClasses RowClasses::of(const CodeMatrix& a, const CodeMatrix& b) {
  if (!a.patches) return one(a.cols, sum_rows(b.transposed()));
  return a.patches_transposed ? classes_of_taps(*a.patches, b)
                              : classes_of_positions(*a.patches, b);
}

std::vector<std::int64_t> sum_rows(const CodeMatrix& a) {
  return !a.patches             ? dense_row_sums(a)
         : a.patches_transposed ? transposed_patch_row_sums(a)
                                : patch_row_sums(a);
}

}  // namespace ebb::kernels
