#include "layers/gru.h"

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
    12;  // in additions, to decide whether threads are worth waking

/// What the backward sweep needs of a window.
struct Window {
  std::int64_t steps, streams, units;
  Tensor gates;     ///< [steps * streams, 3 units]: what x gives, then r, z, n
  Tensor cn;        ///< [steps * streams, units]: what h gives the candidate n
  Tensor h_before;  ///< [steps * streams, units]: h_(t-1)

  [[nodiscard]] std::int64_t wide() const { return streams * 3 * units; }
  [[nodiscard]] std::int64_t narrow() const { return streams * units; }
};

ConstMatrix rows_at(const Tensor& x, std::int64_t first, std::int64_t rows) {
  const std::int64_t cols = x.shape()[-1];
  return {x.data() + first * cols, rows, cols, cols};
}

/// h of step t, from what x gives its gates, in w.gates, and what h_(t-1) does.
void step_forward(Window& w, std::int64_t t, const float* from_hidden, float* h, Simd simd) {
  float *const gates = w.gates.data() + t * w.wide(), *const kept = w.cn.data() + t * w.narrow();
  const float* const before = w.h_before.data() + t * w.narrow();
  const std::int64_t units = w.units;
  parallel_rows(w.streams, 3 * units * kCostOfCell, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      float *const r = gates + s * 3 * units, *const z = r + units, *const n = z + units,
                   *const cn = kept + s * units;
      const float* const c = from_hidden + s * 3 * units;
      for (std::int64_t j = 0; j < 2 * units; ++j) r[j] += c[j];
      sigmoid_rows(r, 2 * units, r, simd);
      std::copy_n(c + 2 * units, units, cn);
      for (std::int64_t j = 0; j < units; ++j) n[j] += r[j] * cn[j];
      tanh_rows(n, units, n, simd);
      for (std::int64_t j = 0; j < units; ++j)
        h[s * units + j] = (1.0f - z[j]) * n[j] + z[j] * before[s * units + j];
    }
  });
}

/// The gradients of what x (`ga`) and h_(t-1) (`gc`) give step t's gates, from those of h_t: `gh`
/// and, of the later step, `gh_later`, which becomes what reaches h_(t-1) past the product.
void step_backward(const Window& w, std::int64_t t, const float* gh, float* gh_later, float* ga,
                   float* gc) {
  const float *const gates = w.gates.data() + t * w.wide(), *const kept =
                                                                w.cn.data() + t * w.narrow();
  const float* const before = w.h_before.data() + t * w.narrow();
  const std::int64_t units = w.units;
  parallel_rows(w.streams, 3 * units * kCostOfCell, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      const float *const r = gates + s * 3 * units, *const z = r + units, *const n = z + units;
      float *const a = ga + s * 3 * units, *const c = gc + s * 3 * units;
      for (std::int64_t j = 0; j < units; ++j) {
        const std::int64_t at = s * units + j;
        const float g = gh[at] + gh_later[at];
        const float gn = g * (1.0f - z[j]) * (1.0f - n[j] * n[j]);
        a[j] = c[j] = gn * kept[at] * (r[j] * (1.0f - r[j]));
        a[units + j] = c[units + j] = g * (before[at] - n[j]) * (z[j] * (1.0f - z[j]));
        a[2 * units + j] = gn;
        c[2 * units + j] = gn * r[j];
        gh_later[at] = g * z[j];
      }
    }
  });
}

}  // namespace

Gru Gru::create(ParamStore& params, const std::string& name, std::int64_t in, std::int64_t units,
                Key key) {
  require<ConfigError>(in >= 1 && units >= 1, "[", name,
                       "] expected at least one input and one unit, got ", in, " and ", units);
  const double bound = 1.0 / std::sqrt(static_cast<double>(units));
  const auto drawn = [&](const Shape& shape, const char* what) {
    return uniform_init(shape, bound, key.fold(name).fold(what));
  };
  const std::int64_t gates = checked_mul(3, units, concat("[", name, "] gates of its units"));
  Gru layer;
  layer.input = Linear::create(params, {name + ".input", {}}, drawn({gates, in}, "input"),
                               drawn({gates}, "bias"));
  layer.hidden = {name + ".hidden", {}};
  layer.weight = params.add(layer.hidden.name + ".weight", drawn({gates, units}, "hidden"));
  layer.bias = params.add(layer.hidden.name + ".bias", drawn({gates}, "hidden bias"));
  layer.range = add_running_range(params, layer.hidden);
  return layer;
}

Var Gru::operator()(Pass& pass, Var x, Var& state) const {
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias), h_0 = state;
  const std::int64_t units = pass.tape.shape(w)[1], gates = 3 * units;
  const Shape shape = pass.tape.shape(x), begin = pass.tape.shape(h_0);
  const std::int64_t streams = begin.rank() == 2 ? begin[0] : 0,
                     rows = shape.rank() == 2 ? shape[0] : 0;
  require<ShapeError>(streams > 0 && begin[1] == units && rows > 0 && rows % streams == 0, "[",
                      hidden.name, "] expected [time * streams, in] and a state [streams, ", units,
                      "], got ", shape, " and ", begin);
  const Var a = input(pass, x);
  const auto window =
      std::make_shared<Window>(Window{.steps = rows / streams,
                                      .streams = streams,
                                      .units = units,
                                      .gates = pass.tape[a],
                                      .cn = Tensor::uninitialized({rows, units}),
                                      .h_before = Tensor::uninitialized({rows, units})});
  Tensor h = Tensor::uninitialized({rows, units}),
         from_hidden = Tensor::uninitialized({streams, gates});
  const Site here = pass.visit(hidden);
  const Quantized qw = pass.quantize(w, here, Role::weight);
  const Operand to_gates = qw.along(1, Product::forward).transposed().kept();
  for (std::int64_t t = 0; t < window->steps; ++t) {
    const float* const before =
        t == 0 ? pass.tape[h_0].data() : h.data() + (t - 1) * window->narrow();
    std::copy_n(before, window->narrow(), window->h_before.data() + t * window->narrow());
    const Quantized qh =
        pass.quantize(rows_at(window->h_before, t * streams, streams), here, Role::activation,
                      {.running_range = range, .step = static_cast<std::uint64_t>(t) + 1});
    pass.multiply_into(qh.along(1, Product::forward), to_gates, here, Product::forward,
                       {from_hidden.data(), streams, gates, gates}, {}, pass.tape[b].data());
    step_forward(*window, t, from_hidden.data(), h.data() + t * window->narrow(), pass.simd);
  }
  const auto backward = [=, &pass](const Tensor& g, Adjoints& grads) {
    Tensor ga = Tensor::uninitialized({rows, gates}), gc = Tensor::uninitialized({rows, gates});
    Tensor gh = Tensor::zeros(begin), through = Tensor::uninitialized(begin);
    const Operand to_hidden = qw.along(0, Product::grad_left).kept();
    for (std::int64_t t = window->steps; t-- > 0;) {
      step_backward(*window, t, g.data() + t * window->narrow(), gh.data(),
                    ga.data() + t * window->wide(), gc.data() + t * window->wide());
      const Quantized qc = pass.quantize(rows_at(gc, t * streams, streams), here, Role::gradient,
                                         {.step = static_cast<std::uint64_t>(t) + 1});
      pass.multiply_into(qc.along(1, Product::grad_left), to_hidden, here, Product::grad_left,
                         {through.data(), streams, units, units});
      add_into(gh, through);
    }
    const Quantized all_c = pass.quantize(gc, here, Role::gradient);
    const Quantized all_h = pass.quantize(window->h_before, here, Role::activation);
    grads.add(w, pass.multiply(all_c.along(0, Product::grad_right).transposed(),
                               all_h.along(0, Product::grad_right), here, Product::grad_right));
    grads.add(b, bias_gradient(gc, pass.simd));
    grads.add(a, std::move(ga));
    grads.add(h_0, std::move(gh));
  };
  const Var y = pass.tape.record(std::move(h), {a, w, b, h_0}, backward);
  state = slice(pass, y, 0, rows - streams, rows);
  return y;
}

}  // namespace ebb
