#include "layers/init.h"

#include <cmath>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

template <class Draw>
Tensor drawn(const Shape& shape, const Draw& draw) {
  Tensor tensor = Tensor::uninitialized(shape);
  float* const out = tensor.data();
  parallel_for(tensor.size(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      out[i] = static_cast<float>(draw(static_cast<std::uint64_t>(i)));
  });
  return tensor;
}

std::int64_t fan_in(const Shape& shape) {
  return shape.rank() == 0 || shape[0] == 0 ? 1 : shape.size() / shape[0];
}

}  // namespace

Tensor normal_init(const Shape& shape, double deviation, Key key) {
  return drawn(shape, [=](std::uint64_t i) { return deviation * key.normal(i); });
}

Tensor uniform_init(const Shape& shape, double bound, Key key) {
  return drawn(shape, [=](std::uint64_t i) { return bound * (2.0 * key.uniform(i) - 1.0); });
}

Tensor lecun_uniform_init(const Shape& shape, Key key) {
  return uniform_init(shape, 1.0 / std::sqrt(static_cast<double>(fan_in(shape))), key);
}

Tensor glorot_uniform_init(const Shape& shape, Key key) {
  require<ShapeError>(shape.rank() == 2, "[glorot_uniform_init] expected weights [out, in], got ",
                      shape);
  return uniform_init(shape, std::sqrt(6.0 / static_cast<double>(shape[0] + shape[1])), key);
}

Tensor he_init(const Shape& shape, Key key) {
  return normal_init(shape, std::sqrt(2.0 / static_cast<double>(fan_in(shape))), key);
}

Tensor he_fan_out_init(const Shape& shape, Key key) {
  require<ShapeError>(shape.rank() == 4,
                      "[he_fan_out_init] expected weights [out, taps, taps, in], got ", shape);
  return normal_init(shape, std::sqrt(2.0 / static_cast<double>(shape[1] * shape[2] * shape[0])),
                     key);
}

}  // namespace ebb
