#include <Eigen/Core>
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/registry.h"

// Products of any codes on any machine. Eigen's order of summation changes with the vector width,
// so it serves only where every partial sum is an integer that the type holds exactly; then all
// orders agree.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kRowBlock = 64;
constexpr std::int64_t kDepthBlock = 4096;

std::int64_t largest_product(const Problem& p) {
  return Problem::largest(p.a) * Problem::largest(p.b);
}

/// Codes of rows [row, row + out.rows()) and columns [col, col + out.cols()) of x.
template <class Block>
void copy_codes(const CodeMatrix& x, std::int64_t row, std::int64_t col, Block& out) {
  for (Eigen::Index i = 0; i < out.rows(); ++i) {
    for (Eigen::Index j = 0; j < out.cols(); ++j) {
      out(i, j) = static_cast<typename Block::Scalar>(x.code_at(x.offset(row + i, col + j)));
    }
  }
}

template <class Real>
std::uint64_t product(const Problem& p) {
  using Block = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Epilogue epilogue(p);
  const std::int64_t m = p.m(), n = p.n(), k = p.k();
  // Few rows and a long contraction: share k instead, and add the integer sums.
  const std::int64_t row_blocks = (m + kRowBlock - 1) / kRowBlock;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(m * n), 0);
  for (std::int64_t depth = 0; depth < k; depth += kDepthBlock) {
    const std::int64_t length = std::min(kDepthBlock, k - depth);
    Block right(length, n);
    copy_codes(p.b.codes(), depth, 0, right);
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t block = 0; block < row_blocks; ++block) {
      const std::int64_t first = block * kRowBlock, rows = std::min(kRowBlock, m - first);
      Block left(rows, length);
      copy_codes(p.a.codes(), first, depth, left);
      const Block part = left * right;
      for (std::int64_t s = 0; s < rows * n; ++s)
        sums[static_cast<std::size_t>(first * n + s)] += static_cast<std::int64_t>(part.data()[s]);
    }
  }
  std::uint64_t events = 0;
  std::vector<double> scratch;
  for (std::int64_t i = 0; i < m; ++i) {
    const std::span row(sums.data() + i * n, static_cast<std::size_t>(n));
    events += epilogue.finish(i, 0, row, scratch);
  }
  return events;
}

bool applies(const Problem& p, std::int64_t limit) {
  const std::int64_t depth = std::min(std::max<std::int64_t>(p.k(), 1), kDepthBlock);
  return p.linear() && p.accumulator.kind != Accumulator::Kind::saturate && p.m() > 0 &&
         p.n() > 0 && depth <= limit / largest_product(p);
}

}  // namespace

bool eigen_float_applies(const Problem& p) { return applies(p, std::int64_t{1} << 24); }
bool eigen_double_applies(const Problem& p) { return applies(p, std::int64_t{1} << 53); }
std::uint64_t eigen_float(const Problem& p) { return product<float>(p); }
std::uint64_t eigen_double(const Problem& p) { return product<double>(p); }

}  // namespace ebb::kernels
