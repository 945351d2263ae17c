#include "layers/quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

constexpr std::int64_t kPiece = 4096;  // columns

double log10_ratio(double a, double b) { return (math::log(a) - math::log(b)) / math::log(10.0); }

/// What a piece of a row comes to.
struct Piece {
  std::int64_t ends = 0, zeros = 0, underflow = 0;
  double signal = 0, noise = 0;

  void add(double value, double kept, bool at_end, bool zero) {
    const double error = value - kept;
    ends += at_end ? 1 : 0;
    zeros += zero ? 1 : 0;
    underflow += zero && value != 0 ? 1 : 0;
    signal += value * value;
    noise += error * error;
  }
};

/// Numbers beyond these are at an end of a grid, and those between are nearest to zero.
struct Marks {
  double low, high, below_zero, above_zero;
  explicit Marks(const Grid& grid) {
    const double scale = grid.scale;
    const double lowest = scale * grid.low() + static_cast<double>(grid.offset);
    low = lowest + 0.5 * scale;
    high = lowest + scale * (grid.high() - grid.low()) - 0.5 * scale;
    below_zero = -0.5 * scale;
    above_zero = 0.5 * scale;
  }
  [[nodiscard]] bool at_end(double kept) const { return kept <= low || kept >= high; }
  [[nodiscard]] bool zero(double kept) const { return kept >= below_zero && kept < above_zero; }
};

/// Codes of one grid, where a matrix has them.
template <class Code>
Piece measure_codes(const ConstMatrix& x, const Operand& operand, std::int64_t i,
                    std::int64_t first, std::int64_t last) {
  const Grid& grid = operand.grid(i);
  const Marks marks(grid);
  const double scale = grid.scale, zero = grid.stored_zero();
  const Code* const codes =
      static_cast<const Code*>(operand.codes().data) + i * operand.codes().row_stride;
  Piece piece;
  for (std::int64_t j = first; j < last; ++j) {
    const double kept = scale * codes[j] + zero;
    piece.add(x(i, j), kept, marks.at_end(kept), marks.zero(kept));
  }
  return piece;
}

/// The same of any operand: the definition.
Piece measure_any(const ConstMatrix& x, const Operand& operand, std::int64_t i, std::int64_t first,
                  std::int64_t last) {
  const Format format = operand.format();
  const bool codec = has_codec(format);
  Piece piece;
  for (std::int64_t j = first; j < last; ++j) {
    const Grid& grid = operand.grid(operand.granularity() == Granularity::per_column ? j : i);
    const double kept = operand.value(i, j);
    if (codec) {
      const float highest = grid.scale * static_cast<float>(traits_of(format).max(format));
      piece.add(x(i, j), kept, std::abs(static_cast<float>(kept)) >= highest, kept == 0);
    } else {
      const Marks marks(grid);
      piece.add(x(i, j), kept, marks.at_end(kept), marks.zero(kept));
    }
  }
  return piece;
}

Piece measure(const ConstMatrix& x, const Operand& operand, std::int64_t i, std::int64_t first,
              std::int64_t last) {
  if (operand.arithmetic() != Arithmetic::linear ||
      operand.granularity() == Granularity::per_column)
    return measure_any(x, operand, i, first, last);
  return operand.codes().container == CodeMatrix::Container::int8
             ? measure_codes<std::int8_t>(x, operand, i, first, last)
             : measure_codes<std::int16_t>(x, operand, i, first, last);
}

}  // namespace

OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role) {
  const std::int64_t in_row = (x.cols + kPiece - 1) / kPiece;
  std::vector<Piece> pieces(static_cast<std::size_t>(x.rows * in_row));
  parallel_rows(x.rows * in_row, std::min(x.cols, kPiece),
                [&](std::int64_t begin, std::int64_t end) {
                  for (std::int64_t p = begin; p < end; ++p) {
                    const std::int64_t first = p % in_row * kPiece;
                    pieces[static_cast<std::size_t>(p)] =
                        measure(x, operand, p / in_row, first, std::min(x.cols, first + kPiece));
                  }
                });
  Piece all;
  std::vector<double> signal, noise;
  for (const Piece& piece : pieces) {
    all.ends += piece.ends;
    all.zeros += piece.zeros;
    all.underflow += piece.underflow;
    signal.push_back(piece.signal);
    noise.push_back(piece.noise);
  }
  const std::int64_t elements = x.rows * x.cols;
  const auto share = [count = static_cast<double>(std::max<std::int64_t>(1, elements))](
                         std::int64_t of) { return static_cast<double>(of) / count; };
  OperandQuality quality{.site = site.name,
                         .role = role,
                         .format = operand.format(),
                         .elements = elements,
                         .at_ends = share(all.ends),
                         .zeros = share(all.zeros),
                         .underflow = share(all.underflow),
                         .sqnr_db = std::numeric_limits<double>::infinity(),
                         .grid = operand.granularity()};
  const double lost = tree_sum(noise);
  if (lost > 0) quality.sqnr_db = 10.0 * log10_ratio(tree_sum(signal), lost);
  return quality;
}

}  // namespace ebb
