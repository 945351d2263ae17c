#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "core/shape.h"

using namespace ebb;

TEST_CASE("a shape knows its rank, size and extents from both ends") {
  const Shape shape{32, 28, 27, 3};
  CHECK(shape.rank() == 4);
  CHECK(shape.size() == 32 * 28 * 27 * 3);
  CHECK(shape[0] == 32);
  CHECK(shape[-1] == 3);
  CHECK(shape[-4] == 32);
  CHECK(to_text(shape) == "[32, 28, 27, 3]");
  CHECK(to_text(Shape{}) == "[]");
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{4, 0, 5}.size() == 0);
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{0} != Shape{0, 1});
}

TEST_CASE("impossible shapes are refused") {
  CHECK_THROWS_WITH_AS(Shape({2, -1}), "[shape] extents cannot be negative, got -1 for axis 1",
                       ShapeError);
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 31, std::int64_t{1} << 31}), ShapeError);
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 62}), ShapeError);
  CHECK(Shape({(std::int64_t{1} << 62) - 1}).size() == (std::int64_t{1} << 62) - 1);
  CHECK(Shape({0, std::int64_t{1} << 61, std::int64_t{1} << 61}).size() == 0);
}
