#include "core/tensor.h"

#include <algorithm>

#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"

namespace ebb {

Tensor::Tensor(const Shape& shape)
    : shape_(shape),
      data_(allocate(
          static_cast<uint128>(shape.size()) * sizeof(float),
          [&] { return Aligned<float>(static_cast<std::size_t>(shape.size())); }, "a tensor of ",
          shape)) {}

Tensor Tensor::filled(const Shape& shape, float value) {
  Tensor tensor(shape);
  std::fill(tensor.data_.begin(), tensor.data_.end(), value);
  return tensor;
}

Tensor Tensor::shape_only(const Shape& shape) {
  Tensor tensor;
  tensor.shape_ = shape;
  return tensor;
}

Tensor Tensor::from(const Shape& shape, std::span<const float> values) {
  require<ShapeError>(static_cast<std::int64_t>(values.size()) == shape.size(), "[tensor] shape ",
                      shape, " holds ", shape.size(), " values, got ", values.size());
  Tensor tensor(shape);
  std::copy(values.begin(), values.end(), tensor.data_.begin());
  return tensor;
}

float Tensor::item() const {
  require<ShapeError>(size() == 1, "[item] expected one element, got shape ", shape_);
  return data_[0];
}

ConstMatrix Tensor::matrix() const {
  std::int64_t rows = 1;
  for (int axis = 0; axis + 1 < shape_.rank(); ++axis) rows *= shape_[axis];
  const std::int64_t cols = shape_.rank() == 0 ? 1 : shape_[-1];
  return {data_.data(), rows, cols, cols, 1};
}

Tensor Tensor::reshaped(const Shape& shape) && {
  require<ShapeError>(shape.size() == size(), "[reshape] ", shape_, " has ", size(), " elements, ",
                      shape, " has ", shape.size());
  shape_ = shape;
  return std::move(*this);
}

Tensor copy_of(const Tensor& x) {
  Tensor copy = Tensor::uninitialized(x.shape());
  parallel_for(x.size(),
               [from = x.data(), to = copy.data()](std::int64_t first, std::int64_t last) {
                 std::copy(from + first, from + last, to + first);
               });
  return copy;
}

void add_into(Tensor& a, const Tensor& b) {
  require<ShapeError>(a.shape() == b.shape(), "[add] shapes differ: ", a.shape(), " and ",
                      b.shape());
  float* const pa = a.data();
  const float* const pb = b.data();
  parallel_for(a.size(), [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) pa[i] += pb[i];
  });
}

}  // namespace ebb
