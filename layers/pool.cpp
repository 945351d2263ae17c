#include "layers/pool.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/aligned.h"
#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

constexpr std::int64_t kMaxWindow = 15;  // positions in a window are stored as bytes

/// The part of an axis that one window covers.
struct Reach {
  std::int64_t first, last;
};

struct Windows {
  std::int64_t batch, height, width, channels, out_height, out_width, window_y, window_x, stride,
      pad;

  [[nodiscard]] Shape input() const { return {batch, height, width, channels}; }
  [[nodiscard]] std::int64_t positions() const { return out_height * out_width; }
  [[nodiscard]] Reach rows(std::int64_t y) const { return reach(y, window_y, height); }
  [[nodiscard]] Reach cols(std::int64_t x) const { return reach(x, window_x, width); }
  [[nodiscard]] Reach reach(std::int64_t position, std::int64_t window, std::int64_t extent) const {
    const std::int64_t start = position * stride - pad;
    return {std::max<std::int64_t>(0, start), std::min(extent, start + window)};
  }
  /// Position of an input pixel inside the window at (y, x).
  [[nodiscard]] std::uint8_t tap(std::int64_t y, std::int64_t x, std::int64_t iy,
                                 std::int64_t ix) const {
    return static_cast<std::uint8_t>((iy - y * stride + pad) * window_x + (ix - x * stride + pad));
  }
};

Windows windows_of(std::string_view op, const Shape& x, const PoolConfig& c) {
  require<ConfigError>(
      c.window >= 1 && c.window <= kMaxWindow && c.stride >= 1 && c.pad >= 0 && c.pad < c.window,
      "[", op, "] expected 1 <= window <= ", kMaxWindow,
      ", stride >= 1 and 0 <= pad < window, got window ", c.window, ", stride ", c.stride, ", pad ",
      c.pad);
  require<ShapeError>(x.rank() == 4, "[", op,
                      "] expected images [batch, height, width, channels], got ", x);
  const std::int64_t room_y = x[1] + 2 * c.pad - c.window, room_x = x[2] + 2 * c.pad - c.window;
  require<ShapeError>(x[1] > 0 && x[2] > 0 && room_y >= 0 && room_x >= 0, "[", op, "] a window of ",
                      c.window, " x ", c.window, " does not fit into ", x, " padded by ", c.pad);
  return {x[0],     x[1],     x[2],     x[3], room_y / c.stride + 1, room_x / c.stride + 1,
          c.window, c.window, c.stride, c.pad};
}

/// Calls body(image, y, x, output row) for every output position; images are spread over threads,
/// so a body may write its own image.
template <class Body>
void for_each_window(const Windows& w, const Body& body) {
  parallel_rows(w.batch, w.positions() * w.window_y * w.window_x * w.channels,
                [&](std::int64_t first, std::int64_t last) {
                  for (std::int64_t image = first; image < last; ++image) {
                    for (std::int64_t y = 0; y < w.out_height; ++y) {
                      for (std::int64_t x = 0; x < w.out_width; ++x)
                        body(image, y, x, (image * w.out_height + y) * w.out_width + x);
                    }
                  }
                });
}

/// Calls body(offset of the pixel, iy, ix) for the pixels of one window that lie inside the image,
/// in row order.
template <class Body>
void for_each_pixel(const Windows& w, std::int64_t image, std::int64_t y, std::int64_t x,
                    const Body& body) {
  const Reach rows = w.rows(y), cols = w.cols(x);
  for (std::int64_t iy = rows.first; iy < rows.last; ++iy) {
    for (std::int64_t ix = cols.first; ix < cols.last; ++ix)
      body(((image * w.height + iy) * w.width + ix) * w.channels, iy, ix);
  }
}

Var mean_pool(Pass& pass, Var x, const Windows& w, const Shape& shape) {
  Tensor y = Tensor::uninitialized(shape);
  const float* const in = pass.tape[x].data();
  float* const out = y.data();
  for_each_window(w, [&](std::int64_t image, std::int64_t oy, std::int64_t ox, std::int64_t row) {
    constexpr std::int64_t strip =
        64;  // channels at a time, so that the sums stay in a small buffer
    const Reach rows = w.rows(oy), cols = w.cols(ox);
    const double share =
        1.0 / static_cast<double>((rows.last - rows.first) * (cols.last - cols.first));
    for (std::int64_t c0 = 0; c0 < w.channels; c0 += strip) {
      const std::int64_t n = std::min(strip, w.channels - c0);
      std::array<double, strip> sums{};
      for_each_pixel(w, image, oy, ox, [&](std::int64_t offset, std::int64_t, std::int64_t) {
        for (std::int64_t c = 0; c < n; ++c)
          sums[static_cast<std::size_t>(c)] += static_cast<double>(in[offset + c0 + c]);
      });
      for (std::int64_t c = 0; c < n; ++c)
        out[row * w.channels + c0 + c] =
            static_cast<float>(sums[static_cast<std::size_t>(c)] * share);
    }
  });
  return pass.tape.record(std::move(y), {x}, [=](const Tensor& g, Adjoints& grads) {
    Tensor gx = Tensor::zeros(w.input());
    float* const spread = gx.data();
    for_each_window(w, [&](std::int64_t image, std::int64_t oy, std::int64_t ox, std::int64_t row) {
      const Reach rows = w.rows(oy), cols = w.cols(ox);
      const auto share = static_cast<float>(
          1.0 / static_cast<double>((rows.last - rows.first) * (cols.last - cols.first)));
      const float* const from = g.data() + row * w.channels;
      for_each_pixel(w, image, oy, ox, [&](std::int64_t offset, std::int64_t, std::int64_t) {
        for (std::int64_t c = 0; c < w.channels; ++c) spread[offset + c] += share * from[c];
      });
    });
    grads.add(x, std::move(gx));
  });
}

}  // namespace

Var max_pool(Pass& pass, Var x, const PoolConfig& config) {
  const Windows w = windows_of("max_pool", pass.tape.shape(x), config);
  const Shape shape{w.batch, w.out_height, w.out_width, w.channels};
  if (pass.counting) return pass.tape.record_shape(shape, {x});
  Tensor y = Tensor::uninitialized(shape);
  Aligned<std::uint8_t> taken(static_cast<std::size_t>(
      y.size()));  // the position inside its window that each output came from
  const float* const in = pass.tape[x].data();
  float* const out = y.data();
  std::uint8_t* const taps = taken.data();
  for_each_window(w, [&](std::int64_t image, std::int64_t oy, std::int64_t ox, std::int64_t row) {
    float* const best = out + row * w.channels;
    std::uint8_t* const at = taps + row * w.channels;
    bool begun = false;
    for_each_pixel(w, image, oy, ox, [&](std::int64_t offset, std::int64_t iy, std::int64_t ix) {
      const std::uint8_t tap = w.tap(oy, ox, iy, ix);
      for (std::int64_t c = 0; c < w.channels; ++c) {
        const float v = in[offset + c];
        const bool better = !begun || v > best[c] || v != v;
        best[c] = better ? v : best[c];
        at[c] = better ? tap : at[c];
      }
      begun = true;
    });
  });
  return pass.tape.record(
      std::move(y), {x}, [=, taken = std::move(taken)](const Tensor& g, Adjoints& grads) {
        Tensor gx = Tensor::zeros(w.input());
        float* const spread = gx.data();
        for_each_window(
            w, [&](std::int64_t image, std::int64_t oy, std::int64_t ox, std::int64_t row) {
              const float* const from = g.data() + row * w.channels;
              const std::uint8_t* const at = taken.data() + row * w.channels;
              for (std::int64_t c = 0; c < w.channels; ++c) {
                const std::int64_t iy = oy * w.stride - w.pad + at[c] / w.window_x,
                                   ix = ox * w.stride - w.pad + at[c] % w.window_x;
                spread[((image * w.height + iy) * w.width + ix) * w.channels + c] += from[c];
              }
            });
        grads.add(x, std::move(gx));
      });
}

Var avg_pool(Pass& pass, Var x, const PoolConfig& config) {
  const Windows w = windows_of("avg_pool", pass.tape.shape(x), config);
  return mean_pool(pass, x, w, {w.batch, w.out_height, w.out_width, w.channels});
}

Var global_avg_pool(Pass& pass, Var x) {
  const Shape& s = pass.tape.shape(x);
  require<ShapeError>(s.rank() == 4 && s[1] > 0 && s[2] > 0,
                      "[global_avg_pool] expected images [batch, height, width, channels], got ",
                      s);
  return mean_pool(pass, x, {s[0], s[1], s[2], s[3], 1, 1, s[1], s[2], 1, 0}, {s[0], s[3]});
}

}  // namespace ebb
