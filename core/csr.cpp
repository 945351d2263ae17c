#include "core/csr.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace ebb {

void Csr::add_row(std::span<const std::int32_t> listed) {
  columns.insert(columns.end(), listed.begin(), listed.end());
  starts.push_back(entries());
}

Csr Csr::transposed() const {
  Csr t{.cols = rows(), .starts = std::vector<std::int64_t>(static_cast<std::size_t>(cols) + 1)};
  for (const std::int32_t j : columns) ++t.starts[static_cast<std::size_t>(j) + 1];
  std::partial_sum(t.starts.begin(), t.starts.end(), t.starts.begin());
  t.columns.resize(columns.size());
  std::vector<std::int64_t> next(t.starts.begin(), t.starts.end() - 1);
  for (std::int64_t i = 0; i < rows(); ++i) {
    for (const std::int32_t j : row(i)) {
      t.columns[static_cast<std::size_t>(next[static_cast<std::size_t>(j)]++)] =
          static_cast<std::int32_t>(i);
    }
  }
  return t;
}

Csr Csr::with_diagonal() const {
  require<ShapeError>(rows() <= cols, "[csr] a ", rows(), " x ", cols,
                      " matrix has rows without a diagonal");
  Csr result{.cols = cols};
  result.starts.reserve(starts.size());
  result.columns.reserve(columns.size() + starts.size());
  for (std::int64_t i = 0; i < rows(); ++i) {
    const auto listed = row(i);
    require<ConfigError>(std::find(listed.begin(), listed.end(), i) == listed.end(), "[csr] row ",
                         i, " has its diagonal already");
    result.columns.push_back(static_cast<std::int32_t>(i));
    result.add_row(listed);
  }
  return result;
}

Csr undirected(std::int64_t nodes, std::span<const Edge> edges) {
  require<ShapeError>(nodes >= 0 && nodes <= std::numeric_limits<std::int32_t>::max(),
                      "[csr] expected at most 2^31 - 1 nodes, got ", nodes);
  // Listing one direction, transposing and transposing back sorts all rows in linear time.
  Csr both{.cols = nodes, .starts = std::vector<std::int64_t>(static_cast<std::size_t>(nodes) + 1)};
  for (const Edge& edge : edges) {
    require<ShapeError>(edge.a >= 0 && edge.a < nodes && edge.b >= 0 && edge.b < nodes,
                        "[csr] the edge ", edge.a, " - ", edge.b, " leaves the nodes 0 .. ",
                        nodes - 1);
    if (edge.a == edge.b) continue;
    ++both.starts[static_cast<std::size_t>(edge.a) + 1];
    ++both.starts[static_cast<std::size_t>(edge.b) + 1];
  }
  std::partial_sum(both.starts.begin(), both.starts.end(), both.starts.begin());
  both.columns.resize(static_cast<std::size_t>(both.starts.back()));
  std::vector<std::int64_t> next(both.starts.begin(), both.starts.end() - 1);
  const auto list = [&](std::int64_t i, std::int64_t j) {
    both.columns[static_cast<std::size_t>(next[static_cast<std::size_t>(i)]++)] =
        static_cast<std::int32_t>(j);
  };
  for (const Edge& edge : edges) {
    if (edge.a == edge.b) continue;
    list(edge.a, edge.b);
    list(edge.b, edge.a);
  }
  const Csr sorted = both.transposed();  // symmetric: the same matrix
  Csr result{.cols = nodes};
  result.starts.reserve(sorted.starts.size());
  for (std::int64_t i = 0; i < nodes; ++i) {
    const auto listed = sorted.row(i);
    std::unique_copy(listed.begin(), listed.end(), std::back_inserter(result.columns));
    result.starts.push_back(result.entries());
  }
  return result;
}

}  // namespace ebb
