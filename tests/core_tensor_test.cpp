#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "core/tensor.h"

using namespace ebb;

TEST_CASE("a tensor's matrix has all axes but the last as its rows, empty tensors too") {
  struct Case {
    Shape shape;
    std::int64_t rows, cols;
  };
  const Case cases[] = {{{2, 3, 4}, 6, 4}, {{5}, 1, 5}, {{}, 1, 1}, {{0, 4}, 0, 4}, {{4, 0}, 4, 0}, {{2, 3, 0}, 6, 0}, {{0}, 1, 0}};
  for (const Case& c : cases) {
    CAPTURE(to_text(c.shape));
    const ConstMatrix matrix = Tensor::zeros(c.shape).matrix();
    CHECK(matrix.rows == c.rows);
    CHECK(matrix.cols == c.cols);
    CHECK(matrix.contiguous());
  }
}
