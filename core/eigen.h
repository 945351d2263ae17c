#pragma once

#include <Eigen/Core>
#include <utility>

#include "core/tensor.h"

/// Tensors as Eigen's matrices and arrays, without a copy. A header of its own: nobody who does not
/// include it needs Eigen 3.4.
///
/// A map refers to the tensor's memory and holds as long as that does; a const tensor has a const
/// map, and a temporary has none. Element by element, Eigen gives the same bits as a loop. Its
/// products, sums and other reductions add in an order that changes with the vector width, so they
/// are for what is no part of a training's result.
namespace ebb {

using EigenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using EigenStride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

/// The rows of x.matrix(): all axes but the last, and the last one.
inline Eigen::Map<const EigenMatrix> as_matrix(const Tensor& x) {
  const ConstMatrix m = x.matrix();
  return {m.data, m.rows, m.cols};
}
inline Eigen::Map<EigenMatrix> as_matrix(Tensor& x) {
  const ConstMatrix m = std::as_const(x).matrix();
  return {x.data(), m.rows, m.cols};
}
void as_matrix(const Tensor&& x) = delete;
/// A matrix view, with its strides: also a transposed or a sliced one.
inline Eigen::Map<const EigenMatrix, Eigen::Unaligned, EigenStride> as_matrix(
    const ConstMatrix& x) {
  return {x.data, x.rows, x.cols, EigenStride(x.row_stride, x.col_stride)};
}

/// All elements in one column, for functions of single elements.
inline Eigen::Map<const Eigen::ArrayXf> as_array(const Tensor& x) { return {x.data(), x.size()}; }
inline Eigen::Map<Eigen::ArrayXf> as_array(Tensor& x) { return {x.data(), x.size()}; }
void as_array(const Tensor&& x) = delete;

/// The value of a matrix or array expression as a tensor [rows, cols], rounded to float32 if it is
/// wider.
template <class Derived>
Tensor to_tensor(const Eigen::DenseBase<Derived>& expression) {
  Tensor result = Tensor::uninitialized({expression.rows(), expression.cols()});
  as_matrix(result) = expression.derived().matrix().template cast<float>();
  return result;
}

}  // namespace ebb
