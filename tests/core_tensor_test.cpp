#include <doctest/doctest.h>

#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"

using namespace ebb;

TEST_CASE("a shape knows its size, counts axes from both ends and refuses what cannot be") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape.size() == 24);
  CHECK(shape[0] == 2);
  CHECK(shape[-1] == 4);
  CHECK(to_text(shape) == "[2, 3, 4]");
  CHECK(Shape{}.size() == 1);
  CHECK(to_text(Shape{}) == "[]");
  CHECK(Shape{5, 0, 7}.size() == 0);
  CHECK_THROWS_AS(Shape({2, -1}), ShapeError);
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS(Shape({std::numeric_limits<std::int64_t>::max(), 2}), ShapeError);
}

TEST_CASE("a tensor's matrix has all axes but the last as its rows, empty tensors too") {
  struct Case {
    Shape shape;
    std::int64_t rows, cols;
  };
  const Case cases[] = {{{2, 3, 4}, 6, 4}, {{5}, 1, 5},       {{}, 1, 1}, {{0, 4}, 0, 4},
                        {{4, 0}, 4, 0},    {{2, 3, 0}, 6, 0}, {{0}, 1, 0}};
  for (const Case& c : cases) {
    CAPTURE(to_text(c.shape));
    const Tensor x = Tensor::zeros(c.shape);
    CHECK(x.matrix().rows == c.rows);
    CHECK(x.matrix().cols == c.cols);
    CHECK(x.matrix().contiguous());
  }
}

TEST_CASE("what was moved from is empty, so that using it is noticed and reads nothing") {
  Tensor x = Tensor::filled({2, 3}, 1.0f);
  const Tensor y = std::move(x);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(x.shape() == Shape{0});  // NOLINT(bugprone-use-after-move)
  CHECK(copy_of(x) == Tensor());
  Tensor z = Tensor::zeros({2, 3});
  CHECK_THROWS_AS(add_into(z, x), ShapeError);
  x = Tensor::filled({4}, 2.0f);
  z = std::move(x);
  CHECK(z.shape() == Shape{4});
  CHECK(x.shape() == Shape{0});  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("views of a tensor are transposed without a copy") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const Tensor x = Tensor::from({2, 3}, values);
  const ConstMatrix t = x.matrix().transposed();
  CHECK(t.rows == 3);
  CHECK(t(2, 1) == 6);
  CHECK(t(0, 1) == 4);
  CHECK_FALSE(t.contiguous());
}

TEST_CASE("tensors check shapes where they meet values and each other") {
  CHECK_THROWS_AS(static_cast<void>(Tensor::from({2, 2}, std::vector<float>{1, 2, 3})), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(Tensor::zeros({2}).item()), ShapeError);
  CHECK(Tensor::scalar(3).item() == 3);
  CHECK_THROWS_AS(static_cast<void>(Tensor::zeros({2, 3}).reshaped({4})), ShapeError);
  CHECK(Tensor::filled({2, 3}, 2).reshaped({6}).shape() == Shape{6});
  Tensor a = Tensor::filled({20000}, 1);
  add_into(a, Tensor::filled({20000}, 2));
  CHECK(a == Tensor::filled({20000}, 3));
  CHECK_THROWS_AS(add_into(a, Tensor::zeros({2, 10000})), ShapeError);
}
