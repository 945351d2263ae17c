#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/csr.h"
#include "core/error.h"
#include "core/key.h"

using namespace ebb;

namespace {

std::set<std::pair<std::int64_t, std::int64_t>> places(const Csr& m) {
  std::set<std::pair<std::int64_t, std::int64_t>> all;
  for (std::int64_t i = 0; i < m.rows(); ++i) {
    for (const std::int32_t j : m.row(i)) all.emplace(i, j);
  }
  return all;
}

}  // namespace

TEST_CASE(
    "undirected edges are listed in both directions, once, in ascending order, and never from a "
    "node to itself") {
  const std::vector<Edge> edges{{2, 0}, {0, 2}, {1, 1}, {2, 1}, {2, 0}};
  const Csr m = undirected(4, edges);
  CHECK(m == Csr{.cols = 4, .starts = {0, 1, 2, 4, 4}, .columns = {2, 2, 0, 1}});
  CHECK(m.transposed() == m);
  CHECK(undirected(0, {}) == Csr{});
  CHECK(undirected(2, {}).count(1) == 0);
  CHECK_THROWS_AS(undirected(2, std::vector<Edge>{{0, 2}}), ShapeError);
  CHECK_THROWS_AS(undirected(2, std::vector<Edge>{{-1, 0}}), ShapeError);
  CHECK_THROWS_AS(undirected(std::int64_t{1} << 31, {}), ShapeError);
}

TEST_CASE("a transpose has the ones at the mirrored places, in ascending order") {
  const Key key(3);
  Csr m{.cols = 17};
  for (std::uint64_t i = 0; i < 40; ++i) {
    std::vector<std::int32_t> row;
    for (std::uint64_t j = 0; j < 17; ++j) {
      if (key.below(100 * i + j, 4) == 0)
        row.push_back(static_cast<std::int32_t>((5 * j + i) % 17));  // in any order
    }
    m.add_row(row);
  }
  const Csr t = m.transposed();
  CHECK(t.rows() == 17);
  CHECK(t.cols == 40);
  std::set<std::pair<std::int64_t, std::int64_t>> mirrored;
  for (const auto& [i, j] : places(m)) mirrored.emplace(j, i);
  CHECK(places(t) == mirrored);
  CHECK(t.entries() == m.entries());
  for (std::int64_t i = 0; i < t.rows(); ++i) CHECK(std::ranges::is_sorted(t.row(i)));
}

TEST_CASE("the diagonal comes first in each row") {
  const Csr m{.cols = 3, .starts = {0, 1, 1}, .columns = {2}};
  CHECK(m.with_diagonal() == Csr{.cols = 3, .starts = {0, 2, 3}, .columns = {0, 2, 1}});
  CHECK_THROWS_AS(static_cast<void>(m.with_diagonal().with_diagonal()), ConfigError);
  CHECK_THROWS_AS(
      static_cast<void>(Csr{.cols = 1, .starts = {0, 0, 0}, .columns = {}}.with_diagonal()),
      ShapeError);
}
