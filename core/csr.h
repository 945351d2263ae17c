#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ebb {

/// A [rows, cols] matrix of zeros and ones as the places of its ones, row by row (compressed sparse
/// rows): the adjacency of a graph, for each node the row of its in-neighbours. Sums over a row run
/// in the order in which its columns are listed.
struct Csr {
  std::int64_t cols = 0;
  std::vector<std::int64_t> starts{
      0};  ///< row i lists columns[starts[i]] .. columns[starts[i + 1] - 1]
  std::vector<std::int32_t> columns{};

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  [[nodiscard]] std::int64_t entries() const { return static_cast<std::int64_t>(columns.size()); }
  [[nodiscard]] std::int64_t count(std::int64_t i) const {
    return starts[static_cast<std::size_t>(i) + 1] - starts[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] std::span<const std::int32_t> row(std::int64_t i) const {
    return {columns.data() + starts[static_cast<std::size_t>(i)],
            static_cast<std::size_t>(count(i))};
  }
  /// Appends a row.
  void add_row(std::span<const std::int32_t> listed);

  /// [cols, rows], each of its rows in ascending order.
  [[nodiscard]] Csr transposed() const;
  /// The same with 1 at (i, i) before everything else in row i. @throws ShapeError for more rows
  /// than columns; ConfigError if a row lists its own number already
  [[nodiscard]] Csr with_diagonal() const;

  friend bool operator==(const Csr&, const Csr&) = default;
};

/// An undirected edge between two nodes.
struct Edge {
  std::int64_t a = 0, b = 0;
};
/// The symmetric [nodes, nodes] matrix of the edges in ascending order: each edge in both
/// directions, repeated edges once, edges from a node to itself not at all.
/// @throws ShapeError for more nodes than 32 bits can number, or an edge that leaves 0 .. nodes-1
Csr undirected(std::int64_t nodes, std::span<const Edge> edges);

}  // namespace ebb
