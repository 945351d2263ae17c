#include "layers/lstm.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "core/parallel.h"
#include "layers/functions.h"
#include "layers/init.h"
#include "layers/shape_ops.h"

namespace ebb {
namespace {

constexpr std::int64_t kCostOfCell =
    16;  // in additions, to decide whether threads are worth waking

/// What the backward sweep needs of a window.
struct Window {
  std::int64_t steps, streams, units;
  Tensor gates;   ///< [steps * streams, 4 units]: i, f, g, o
  Tensor h_prev;  ///< [steps * streams, units]: h_(t-1)
  Tensor cell;    ///< [(steps + 1) * streams, units]: c_0 to c_T
  Tensor tanh_c;  ///< [steps * streams, units]: tanh(c_t)
  Tensor g_cell;  ///< [streams, units], in the backward sweep: the gradient of c_T, if it has one

  [[nodiscard]] std::int64_t wide() const { return streams * 4 * units; }
  [[nodiscard]] std::int64_t narrow() const { return streams * units; }
};

ConstMatrix rows_at(const Tensor& x, std::int64_t first, std::int64_t rows) {
  const std::int64_t cols = x.shape()[-1];
  return {x.data() + first * cols, rows, cols, cols};
}

/// Gates and cell of step t, whose gate inputs are in w.gates without the part of `from_hidden`.
void step_forward(Window& w, std::int64_t t, const float* from_hidden, float* h, Simd simd) {
  float *const gates = w.gates.data() + t * w.wide(), *const tanh_c =
                                                          w.tanh_c.data() + t * w.narrow();
  const float* const before = w.cell.data() + t * w.narrow();
  float* const after = w.cell.data() + (t + 1) * w.narrow();
  const std::int64_t n = w.units;
  parallel_rows(w.streams, 4 * n * kCostOfCell, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      float* const z = gates + s * 4 * n;
      for (std::int64_t j = 0; j < 4 * n; ++j) z[j] += from_hidden[s * 4 * n + j];
      sigmoid_rows(z, 2 * n, z, simd);
      tanh_rows(z + 2 * n, n, z + 2 * n, simd);
      sigmoid_rows(z + 3 * n, n, z + 3 * n, simd);
      const float *const i = z, *const f = z + n, *const g = z + 2 * n, *const o = z + 3 * n;
      float* const c = after + s * n;
      for (std::int64_t j = 0; j < n; ++j) c[j] = f[j] * before[s * n + j] + i[j] * g[j];
      tanh_rows(c, n, tanh_c + s * n, simd);
      for (std::int64_t j = 0; j < n; ++j) h[s * n + j] = o[j] * tanh_c[s * n + j];
    }
  });
}

/// The gradient of step t's gate inputs, from those of h_t (`gh`, in two parts) and c_t (`gc`,
/// which becomes that of c_(t-1)).
void step_backward(const Window& w, std::int64_t t, const float* gh, const float* gh_later,
                   float* gc, float* gz) {
  const float *const gates = w.gates.data() + t * w.wide(), *const tanh_c =
                                                                w.tanh_c.data() + t * w.narrow();
  const float* const before = w.cell.data() + t * w.narrow();
  const std::int64_t n = w.units;
  parallel_rows(w.streams, 4 * n * kCostOfCell, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      const float *const i = gates + s * 4 * n, *const f = i + n, *const g = i + 2 * n,
                         *const o = i + 3 * n;
      float* const z = gz + s * 4 * n;
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t at = s * n + j;
        const float of_h = gh[at] + gh_later[at], tc = tanh_c[at];
        const float of_c = gc[at] + of_h * o[j] * (1.0f - tc * tc);
        z[j] = of_c * g[j] * (i[j] * (1.0f - i[j]));
        z[n + j] = of_c * before[at] * (f[j] * (1.0f - f[j]));
        z[2 * n + j] = of_c * i[j] * (1.0f - g[j] * g[j]);
        z[3 * n + j] = of_h * tc * (o[j] * (1.0f - o[j]));
        gc[at] = of_c * f[j];
      }
    }
  });
}

}  // namespace

Lstm Lstm::create(ParamStore& params, const std::string& name, std::int64_t in, std::int64_t units,
                  Key key) {
  require<ConfigError>(in >= 1 && units >= 1, "[", name,
                       "] expected at least one input and one unit, got ", in, " and ", units);
  const double bound = 1.0 / std::sqrt(static_cast<double>(units));
  const auto drawn = [&](const Shape& shape, const char* what) {
    return uniform_init(shape, bound, key.fold(name).fold(what));
  };
  Lstm layer;
  const std::int64_t gates = checked_mul(4, units, concat("[", name, "] gates of its units"));
  layer.input = Linear::create(params, {name + ".input", {}}, drawn({gates, in}, "input"),
                               drawn({gates}, "bias"));
  layer.hidden = {name + ".hidden", {}};
  layer.weight = params.add(layer.hidden.name + ".weight", drawn({gates, units}, "hidden"));
  layer.range = add_running_range(params, layer.hidden);
  return layer;
}

Var Lstm::operator()(Pass& pass, Var x, LstmState& state) const {
  const Var w = pass.tape.parameter(weight), h_0 = state.hidden, c_0 = state.cell;
  const Shape begin = pass.tape.shape(h_0), shape = pass.tape.shape(x);
  const std::int64_t units = pass.tape.shape(w)[1], streams = begin.rank() == 2 ? begin[0] : 0,
                     rows = shape.rank() == 2 ? shape[0] : 0;
  require<ShapeError>(streams > 0 && begin[1] == units && pass.tape.shape(c_0) == begin &&
                          rows > 0 && rows % streams == 0,
                      "[", hidden.name, "] expected [time * streams, in] and a state [streams, ",
                      units, "], got ", shape, " and ", begin);
  const Var z = input(pass, x);
  const auto window =
      std::make_shared<Window>(Window{.steps = rows / streams,
                                      .streams = streams,
                                      .units = units,
                                      .gates = pass.tape[z],
                                      .h_prev = Tensor::uninitialized({rows, units}),
                                      .cell = Tensor::uninitialized({rows + streams, units}),
                                      .tanh_c = Tensor::uninitialized({rows, units}),
                                      .g_cell = {}});
  Tensor h = Tensor::uninitialized({rows, units}),
         from_hidden = Tensor::uninitialized({streams, 4 * units});
  std::ranges::copy(pass.tape[c_0].values(), window->cell.data());
  const Site here = pass.visit(hidden);
  const Quantized qw = pass.quantize(w, here, Role::weight);
  const Operand to_gates = qw.along(1, Product::forward).transposed().kept();
  for (std::int64_t t = 0; t < window->steps; ++t) {
    const float* const before =
        t == 0 ? pass.tape[h_0].data() : h.data() + (t - 1) * window->narrow();
    std::copy_n(before, window->narrow(), window->h_prev.data() + t * window->narrow());
    const Quantized qh =
        pass.quantize(rows_at(window->h_prev, t * streams, streams), here, Role::activation,
                      {.running_range = range, .step = static_cast<std::uint64_t>(t) + 1});
    pass.multiply_into(qh.along(1, Product::forward), to_gates, here, Product::forward,
                       {from_hidden.data(), streams, 4 * units, 4 * units});
    step_forward(*window, t, from_hidden.data(), h.data() + t * window->narrow(), pass.simd);
  }
  const auto backward = [=, &pass](const Tensor& g, Adjoints& grads) {
    Tensor gz = Tensor::uninitialized({rows, 4 * units}), gh = Tensor::zeros(begin),
           gc = std::exchange(window->g_cell, {});
    if (gc.shape() != begin) gc = Tensor::zeros(begin);
    const Operand to_hidden = qw.along(0, Product::grad_left).kept();
    for (std::int64_t t = window->steps; t-- > 0;) {
      step_backward(*window, t, g.data() + t * window->narrow(), gh.data(), gc.data(),
                    gz.data() + t * window->wide());
      const Quantized qz = pass.quantize(rows_at(gz, t * streams, streams), here, Role::gradient,
                                         {.step = static_cast<std::uint64_t>(t) + 1});
      pass.multiply_into(qz.along(1, Product::grad_left), to_hidden, here, Product::grad_left,
                         {gh.data(), streams, units, units});
    }
    const Quantized all_z = pass.quantize(gz, here, Role::gradient);
    const Quantized all_h = pass.quantize(window->h_prev, here, Role::activation);
    grads.add(w, pass.multiply(all_z.along(0, Product::grad_right).transposed(),
                               all_h.along(0, Product::grad_right), here, Product::grad_right));
    grads.add(z, std::move(gz));
    grads.add(h_0, std::move(gh));
    grads.add(c_0, std::move(gc));
  };
  const Var y = pass.tape.record(std::move(h), {z, w, h_0, c_0}, backward);
  Tensor cell = Tensor::uninitialized(begin);
  std::copy_n(window->cell.data() + window->steps * window->narrow(), window->narrow(),
              cell.data());
  state.hidden = slice(pass, y, 0, rows - streams, rows);
  state.cell = pass.tape.record(std::move(cell), {y}, [=](Tensor&& g, Adjoints& grads) {
    window->g_cell = std::move(g);  // for y's backward function, which comes later in the sweep
    grads.add(y, Tensor::zeros({rows, units}));  // so that it comes
  });
  return y;
}

}  // namespace ebb
