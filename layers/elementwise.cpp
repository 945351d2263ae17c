#include "layers/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/functions.h"
#include "layers/kernels/dropout.h"

namespace ebb {
namespace {

/// Keeps the elements whose word is at least `threshold`, scaled; the others become zero. x and out
/// may be the same.
void keep_scaled(const float* x, float* out, std::int64_t n, Key key, std::uint64_t threshold,
                 float scale, Simd simd) {
  if (threshold > 0xffffffff) {  // no word is as large
    std::fill_n(out, n, 0.0f);
    return;
  }
  const auto kernel = kernels::select<kernels::DropoutKernels>(simd).keep_scaled;
  parallel_for(n, [=](std::int64_t first, std::int64_t last) {  // ranges start at multiples of 128
    kernel(x + first, last - first, key.value(), static_cast<std::uint64_t>(first),
           static_cast<std::uint32_t>(threshold), scale, out + first);
  });
}

/// What a gradient is a function of beside g.
enum class Reads : std::uint8_t { input, output };

/// y = value(x) and gx = gradient(g, x) or gradient(g, y), element by element; value(x, n, y, simd)
/// writes n elements.
template <class Value, class Gradient>
Var elementwise(Pass& pass, Var x, const Value& value, Reads reads, const Gradient& gradient) {
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x});
  const Tensor& in = pass.tape[x];
  Tensor y = Tensor::uninitialized(in.shape());
  parallel_for(in.size(),
               [&, px = in.data(), py = y.data()](std::int64_t first, std::int64_t last) {
                 value(px + first, last - first, py + first, pass.simd);
               });
  const Var read = reads == Reads::input ? x : pass.tape.next();
  return pass.tape.record(std::move(y), {x}, [=, &pass](Tensor&& g, Adjoints& grads) {
    const float* const from = pass.tape[read].data();
    float* const pg = g.data();
    parallel_for(g.size(), [=](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) pg[i] = gradient(pg[i], from[i]);
    });
    grads.add(x, std::move(g));
  });
}

/// A value for elementwise(): one function for all elements, whatever the instruction set.
template <class Function>
auto per_element(const Function& function) {
  return [=](const float* x, std::int64_t n, float* y, Simd) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = function(x[i]);
  };
}

/// function(x, y), y broadcast over the leading axes that it lacks.
template <class Function>
Tensor broadcast(std::string_view op, const Tensor& x, const Tensor& y, const Function& function) {
  const auto all = x.shape().extents(), last = y.shape().extents();
  require<ShapeError>(last.size() <= all.size() && std::ranges::equal(last, all.last(last.size())),
                      "[", op, "] expected a second value of the shape ", x.shape(),
                      " or of its last axes, got ", y.shape());
  Tensor out = Tensor::uninitialized(x.shape());
  const std::int64_t n = y.size();
  parallel_for(x.size(), [=, px = x.data(), py = y.data(), po = out.data()](std::int64_t first,
                                                                            std::int64_t end) {
    for (std::int64_t i = first; i < end;) {  // n > 0, or x would have no elements
      const std::int64_t j = i % n, count = std::min(n - j, end - i);
      for (std::int64_t k = 0; k < count; ++k) po[i + k] = function(px[i + k], py[j + k]);
      i += count;
    }
  });
  return out;
}

/// x as a matrix whose rows have n elements.
ConstMatrix as_rows(const Tensor& x, std::int64_t n) {
  return {x.data(), n == 0 ? 0 : x.size() / n, n, n};
}

/// The gradient of a value of this shape that was broadcast to g's.
Tensor summed_to(const Shape& shape, Tensor g, Simd simd) {
  if (g.shape() == shape) return g;
  return rounded(column_sums(as_rows(g, shape.size()), simd)).reshaped(shape);
}

}  // namespace

Var relu(Pass& pass, Var x) {
  return elementwise(pass, x, per_element([](float v) { return v <= 0.0f ? 0.0f : v; }),
                     Reads::input, [](float g, float v) { return v <= 0.0f ? 0.0f : g; });
}

Var leaky_relu(Pass& pass, Var x, float negative_slope) {
  return elementwise(
      pass, x, per_element([=](float v) { return v <= 0.0f ? negative_slope * v : v; }),
      Reads::input, [=](float g, float v) { return v <= 0.0f ? negative_slope * g : g; });
}

Var sigmoid(Pass& pass, Var x) {
  return elementwise(pass, x, sigmoid_rows, Reads::output,
                     [](float g, float y) { return g * (y * (1.0f - y)); });
}

Var tanh(Pass& pass, Var x) {
  return elementwise(pass, x, tanh_rows, Reads::output,
                     [](float g, float y) { return g * (1.0f - y * y); });
}

Var exp(Pass& pass, Var x) {
  const auto value = [](const float* px, std::int64_t n, float* py, Simd simd) {
    exp_rows(px, n, 0.0f, py, simd);
  };
  return elementwise(pass, x, value, Reads::output, [](float g, float y) { return g * y; });
}

Var log(Pass& pass, Var x) {
  return elementwise(pass, x, per_element([](float v) {
                       return static_cast<float>(math::log(static_cast<double>(v)));
                     }),
                     Reads::input, [](float g, float v) { return g / v; });
}

Var sqrt(Pass& pass, Var x) {
  return elementwise(pass, x, per_element([](float v) { return std::sqrt(v); }), Reads::output,
                     [](float g, float y) { return g / (2.0f * y); });
}

Var abs(Pass& pass, Var x) {
  return elementwise(pass, x, per_element([](float v) { return std::abs(v); }), Reads::input,
                     [](float g, float v) { return v == 0.0f  ? 0.0f
                                                   : v < 0.0f ? -g
                                                              : g; });
}

Var clamp(Pass& pass, Var x, float min, float max) {
  require<ConfigError>(min <= max, "[clamp] expected min <= max, got ", min, " and ", max);
  return elementwise(pass, x, per_element([=](float v) {
                       return v < min ? min : v > max ? max : v;
                     }),
                     Reads::input, [=](float g, float v) { return v < min || v > max ? 0.0f : g; });
}

Var scale(Pass& pass, Var x, float factor) {
  return elementwise(pass, x, per_element([=](float v) { return factor * v; }), Reads::input,
                     [=](float g, float) { return factor * g; });
}

Var add(Pass& pass, Var x, Var y) {
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x, y});
  Tensor sum = broadcast("add", pass.tape[x], pass.tape[y], [](float a, float b) { return a + b; });
  const Shape shape = pass.tape.shape(y);
  return pass.tape.record(std::move(sum), {x, y},
                          [=, simd = pass.simd](Tensor&& g, Adjoints& grads) {
                            if (!grads.wants(y)) return grads.add(x, std::move(g));
                            if (grads.wants(x)) grads.add(x, copy_of(g));
                            grads.add(y, summed_to(shape, std::move(g), simd));
                          });
}

Var sub(Pass& pass, Var x, Var y) {
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x, y});
  Tensor difference =
      broadcast("sub", pass.tape[x], pass.tape[y], [](float a, float b) { return a - b; });
  const Shape shape = pass.tape.shape(y);
  return pass.tape.record(std::move(difference), {x, y},
                          [=, simd = pass.simd](Tensor&& g, Adjoints& grads) {
                            if (grads.wants(y)) {
                              Tensor gy = grads.wants(x) ? copy_of(g) : std::exchange(g, Tensor{});
                              gy = summed_to(shape, std::move(gy), simd);
                              for (float& v : gy.values()) v = -v;
                              grads.add(y, std::move(gy));
                            }
                            if (grads.wants(x)) grads.add(x, std::move(g));
                          });
}

Var mul(Pass& pass, Var x, Var y) {
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x, y});
  const auto times = [](float a, float b) { return a * b; };
  Tensor product = broadcast("mul", pass.tape[x], pass.tape[y], times);
  return pass.tape.record(std::move(product), {x, y}, [=, &pass](const Tensor& g, Adjoints& grads) {
    const Tensor &a = pass.tape[x], &b = pass.tape[y];
    if (grads.wants(x)) grads.add(x, broadcast("mul", g, b, times));
    if (!grads.wants(y)) return;
    if (a.shape() == b.shape()) return grads.add(y, broadcast("mul", g, a, times));
    grads.add(
        y, rounded(column_sums_and_dots(as_rows(g, b.size()), as_rows(a, b.size()), pass.simd).dot)
               .reshaped(b.shape()));
  });
}

Var dropout(Pass& pass, Var x, double probability, std::string_view name) {
  require<ConfigError>(probability >= 0.0 && probability < 1.0, "[dropout ", name,
                       "] expected a probability in [0, 1), got ", probability);
  if (!pass.training() || probability == 0.0) return x;
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x});
  const Key key = pass.key_of(name, pass.uses[concat("dropout ", name)]++).fold("dropout");
  const auto threshold = static_cast<std::uint64_t>(math::round_half_even(probability * 0x1p32));
  const auto scale = static_cast<float>(1.0 / (1.0 - probability));
  Tensor y = Tensor::uninitialized(pass.tape.shape(x));
  keep_scaled(pass.tape[x].data(), y.data(), y.size(), key, threshold, scale, pass.simd);
  return pass.tape.record(std::move(y), {x}, [=, simd = pass.simd](Tensor&& g, Adjoints& grads) {
    keep_scaled(g.data(), g.data(), g.size(), key, threshold, scale,
                simd);  // the same draws: cheaper than keeping a mask
    grads.add(x, std::move(g));
  });
}

}  // namespace ebb
