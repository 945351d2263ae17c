#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include "core/eigen.h"
#include "core/key.h"

using namespace ebb;

namespace {

Tensor counted(const Shape& shape) {
  Tensor x = Tensor::uninitialized(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  return x;
}

template <class T>
concept Mappable = requires(T x) {
  as_matrix(std::forward<T>(x));
  as_array(std::forward<T>(x));
};
static_assert(Mappable<Tensor&> && Mappable<const Tensor&>);
static_assert(!Mappable<Tensor> && !Mappable<const Tensor>, "a map of a temporary would dangle");
static_assert(std::is_assignable_v<decltype(as_matrix(std::declval<Tensor&>())(0, 0)), float>);
static_assert(
    !std::is_assignable_v<decltype(as_matrix(std::declval<const Tensor&>())(0, 0)), float>,
    "const stays const");

}  // namespace

TEST_CASE("a map is the tensor's own memory, row by row, all axes but the last being rows") {
  Tensor x = counted({2, 3, 4});
  auto matrix = as_matrix(x);
  REQUIRE(matrix.rows() == 6);
  REQUIRE(matrix.cols() == 4);
  CHECK(matrix.data() == x.data());
  CHECK(matrix(4, 3) == 19.0f);
  matrix(1, 2) = -1.0f;
  CHECK(x[6] == -1.0f);
  as_array(x) *= 2.0f;
  CHECK(x[23] == 46.0f);
  const Tensor& constant = x;
  CHECK(as_matrix(constant).data() == x.data());
  CHECK(as_array(constant).size() == 24);
  const Tensor scalar = Tensor::scalar(3.0f), vector = counted({5}),
               nothing = Tensor::zeros({0, 3});
  CHECK(as_matrix(scalar)(0, 0) == 3.0f);
  CHECK(as_matrix(vector).rows() == 1);
  CHECK(as_matrix(nothing).size() == 0);
}

TEST_CASE("a matrix view keeps its strides: transposed and sliced ones need no copy either") {
  const Tensor x = counted({3, 4});
  const auto transposed = as_matrix(x.matrix().transposed());
  CHECK(transposed.data() == x.data());
  CHECK(transposed.rows() == 4);
  CHECK(transposed(3, 1) == 7.0f);
  const auto every_other = as_matrix(ConstMatrix{x.data() + 1, 3, 2, 4, 2});
  CHECK(every_other(2, 1) == 11.0f);
  CHECK(to_tensor(transposed) ==
        Tensor::from({4, 3}, std::array{0.0f, 4.0f, 8.0f, 1.0f, 5.0f, 9.0f, 2.0f, 6.0f, 10.0f, 3.0f,
                                        7.0f, 11.0f}));
}

TEST_CASE("expressions come out as tensors, wider ones rounded once") {
  const Tensor x = counted({2, 3});
  CHECK(to_tensor(as_matrix(x) + as_matrix(x)) ==
        Tensor::from({2, 3}, std::array{0.0f, 2.0f, 4.0f, 6.0f, 8.0f, 10.0f}));
  CHECK(to_tensor(as_array(x) + 1.0f).shape() == Shape{6, 1});
  const Eigen::MatrixXd third = Eigen::MatrixXd::Constant(1, 1, 1.0 / 3.0);
  CHECK(to_tensor(third)[0] == static_cast<float>(1.0 / 3.0));
}

TEST_CASE("element by element Eigen has the bits of a loop") {
  Tensor x = Tensor::uninitialized({1003}), y = x;
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(1).normal(static_cast<std::uint64_t>(i)));
  as_array(y) = as_array(x) / (1.0f + as_array(x).abs());
  for (std::int64_t i = 0; i < x.size(); ++i) REQUIRE(y[i] == x[i] / (1.0f + std::abs(x[i])));
}
