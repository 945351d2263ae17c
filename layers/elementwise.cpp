#include "layers/elementwise.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/kernels/dropout.h"

namespace ebb {
namespace {

/// Keeps the elements whose word is at least `threshold`, scaled; the others become zero. x and out may be the same.
void keep_scaled(const float* x, float* out, std::int64_t n, Key key, std::uint64_t threshold, float scale,
                 [[maybe_unused]] Simd simd) {
#if defined(__x86_64__)
  if (simd >= Simd::avx2 && threshold <= 0xffffffff) {
    const auto kernel = simd == Simd::avx512 ? kernels::keep_scaled_avx512 : kernels::keep_scaled_avx2;
    parallel_for(n, [=](std::int64_t first, std::int64_t last) {
      kernel(x + first, last - first, key.value(), static_cast<std::uint64_t>(first), static_cast<std::uint32_t>(threshold), scale,
             out + first);
    });
    return;
  }
#endif
  const std::array<std::uint32_t, 2> words{static_cast<std::uint32_t>(key.value()), static_cast<std::uint32_t>(key.value() >> 32)};
  parallel_for(n, [=](std::int64_t first, std::int64_t last) {  // ranges start at multiples of 128
    for (std::int64_t i = first; i < last; i += 4) {
      const auto block = static_cast<std::uint64_t>(i) / 4;
      const auto random = philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0}, words);
      for (std::int64_t j = i; j < std::min(i + 4, last); ++j)
        out[j] = random[static_cast<std::size_t>(j - i)] < threshold ? 0.0f : x[j] * scale;
    }
  });
}

}  // namespace

Var relu(Pass& pass, Var x) {
  const Tensor& in = pass.tape[x];
  Tensor y = Tensor::uninitialized(in.shape());
  const float* const px = in.data();
  float* const py = y.data();
  parallel_for(y.size(), [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) py[i] = px[i] <= 0.0f ? 0.0f : px[i];
  });
  return pass.tape.record(std::move(y), {x}, [=, &pass](Tensor&& g, Adjoints& grads) {
    const float* const input = pass.tape[x].data();
    float* const pg = g.data();
    parallel_for(g.size(), [=](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) pg[i] = input[i] <= 0.0f ? 0.0f : pg[i];
    });
    grads.add(x, std::move(g));
  });
}

Var add(Pass& pass, Var x, Var y) {
  const Tensor &a = pass.tape[x], &b = pass.tape[y];
  require<ShapeError>(a.shape() == b.shape(), "[add] expected two values of one shape, got ", a.shape(), " and ", b.shape());
  Tensor sum = Tensor::uninitialized(a.shape());
  float* const out = sum.data();
  const float *const pa = a.data(), *const pb = b.data();
  parallel_for(sum.size(), [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) out[i] = pa[i] + pb[i];
  });
  return pass.tape.record(std::move(sum), {x, y}, [=](Tensor&& g, Adjoints& grads) {
    if (grads.wants(x)) grads.add(x, copy_of(g));
    grads.add(y, std::move(g));
  });
}

Var dropout(Pass& pass, Var x, double probability, std::string_view name) {
  require<ConfigError>(probability >= 0.0 && probability < 1.0, "[dropout ", name, "] expected a probability in [0, 1), got ",
                       probability);
  if (!pass.training() || probability == 0.0) return x;
  const Key key = pass.key_of(name, pass.visits.uses[concat("dropout ", name)]++).fold("dropout");
  const auto threshold = static_cast<std::uint64_t>(math::round_half_even(probability * 0x1p32));
  const auto scale = static_cast<float>(1.0 / (1.0 - probability));
  Tensor y = Tensor::uninitialized(pass.tape.shape(x));
  keep_scaled(pass.tape[x].data(), y.data(), y.size(), key, threshold, scale, pass.simd);
  return pass.tape.record(std::move(y), {x}, [=, simd = pass.simd](Tensor&& g, Adjoints& grads) {
    keep_scaled(g.data(), g.data(), g.size(), key, threshold, scale, simd);  // the same draws: cheaper than keeping a mask
    grads.add(x, std::move(g));
  });
}

Var flatten(Pass& pass, Var x) {
  const Shape shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() >= 1, "[flatten] expected [batch, ...], got a scalar");
  std::int64_t features = 1;
  for (const std::int64_t extent : shape.extents().subspan(1)) features *= extent;
  return pass.tape.record(pass.tape[x].reshaped({shape[0], features}), {x},
                          [=](Tensor&& g, Adjoints& grads) { grads.add(x, std::move(g).reshaped(shape)); });
}

}  // namespace ebb
