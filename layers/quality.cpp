#include "layers/quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "quant/formats/codec.h"

namespace ebb {
namespace {

constexpr std::int64_t kPiece = 4096;  // elements

double log10_ratio(double a, double b) { return (math::log(a) - math::log(b)) / math::log(10.0); }

/// What some elements come to.
struct Piece {
  std::int64_t ends = 0, zeros = 0, underflow = 0;
  double signal = 0, noise = 0;

  /// Without branches, which nobody could predict.
  void add(double value, double kept, bool at_end, bool zero) {
    const double error = value - kept;
    ends += static_cast<std::int64_t>(at_end);
    zeros += static_cast<std::int64_t>(zero);
    underflow += static_cast<std::int64_t>(zero & (value != 0));
    signal += value * value;
    noise += error * error;
  }
  void add(const Piece& other) {
    ends += other.ends;
    zeros += other.zeros;
    underflow += other.underflow;
    signal += other.signal;
    noise += other.noise;
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
  [[nodiscard]] bool at_end(double kept) const { return (kept <= low) | (kept >= high); }
  [[nodiscard]] bool zero(double kept) const { return (kept >= below_zero) & (kept < above_zero); }
};

/// Adds columns first .. last of row i to a piece.
using AddSegment = void (*)(Piece& piece, const ConstMatrix& x, const Operand& operand,
                            std::int64_t i, std::int64_t first, std::int64_t last);

/// The stored codes whose numbers are nearest to zero: first .. last, none if last < first.
struct ZeroCodes {
  std::int64_t first = 0, last = -1;
  ZeroCodes(const Grid& grid, const Marks& marks) {
    constexpr double most = 1 << Format::kMaxIntegerBits;  // beyond any code
    const double scale = grid.scale, zero = grid.stored_zero();
    const auto near = static_cast<std::int64_t>(std::clamp(-zero / scale, -most, most));
    for (std::int64_t code = near + 2; code >= near - 2; --code) {
      if (!marks.zero(scale * static_cast<double>(code) + zero)) continue;
      if (last < first) last = code;
      first = code;
    }
  }
};

/// Where a row has codes of one grid.
template <class Code>
void add_codes(Piece& piece, const ConstMatrix& x, const Operand& operand, std::int64_t i,
               std::int64_t first, std::int64_t last) {
  const Grid& grid = operand.grid(i);
  const ZeroCodes near_zero(grid, Marks(grid));
  const int low = grid.low() - grid.centre(), high = grid.high() - grid.centre(),
            zero_first = static_cast<int>(near_zero.first),
            zero_last = static_cast<int>(near_zero.last);
  const double scale = grid.scale, zero = grid.stored_zero();
  const Code* const codes = static_cast<const Code*>(operand.codes().data) + i * x.cols;
  const float* const row = x.data + i * x.row_stride;
  int ends = 0, zeros = 0, underflow = 0;  // of a piece at the most
  for (std::int64_t j = first; j < last; ++j) {
    const int code = codes[j];
    const int is_zero = static_cast<int>((code >= zero_first) & (code <= zero_last));
    ends += static_cast<int>((code == low) | (code == high));
    zeros += is_zero;
    underflow += is_zero & static_cast<int>(row[j * x.col_stride] != 0.0f);
  }
  constexpr std::int64_t chains = 4;  // of sums, which would else wait for each other
  double signal[chains] = {}, noise[chains] = {};
  const auto add = [&](std::int64_t j, std::int64_t chain) {
    const double value = row[j * x.col_stride], error = value - (scale * codes[j] + zero);
    signal[chain] += value * value;
    noise[chain] += error * error;
  };
  std::int64_t j = first;
  for (; j + chains <= last; j += chains) {
    for (std::int64_t chain = 0; chain < chains; ++chain) add(j + chain, chain);
  }
  for (std::int64_t chain = 0; j + chain < last; ++chain) add(j + chain, chain);
  piece.add({.ends = ends,
             .zeros = zeros,
             .underflow = underflow,
             .signal = (signal[0] + signal[1]) + (signal[2] + signal[3]),
             .noise = (noise[0] + noise[1]) + (noise[2] + noise[3])});
}

/// Any other row: the definition.
void add_any(Piece& piece, const ConstMatrix& x, const Operand& operand, std::int64_t i,
             std::int64_t first, std::int64_t last) {
  const Format format = operand.format();
  const bool codec = has_codec(format);
  Piece sums;
  for (std::int64_t j = first; j < last; ++j) {
    const double kept = operand.value(i, j);
    if (has_blocks(format)) {
      const double highest = operand.scale(i, j) * BlockElement(format).max;
      sums.add(x(i, j), kept, std::abs(kept) >= highest, kept == 0);
      continue;
    }
    const Grid& grid = operand.grid(operand.granularity() == Granularity::per_column ? j : i);
    if (codec) {
      const float highest =
          grid.scale * (static_cast<float>(traits_of(format).max(format)) / stored_unit(format));
      sums.add(x(i, j), kept, std::abs(static_cast<float>(kept)) >= highest, kept == 0);
    } else {
      const Marks marks(grid);
      sums.add(x(i, j), kept, marks.at_end(kept), marks.zero(kept));
    }
  }
  piece.add(sums);
}

AddSegment choose(const Operand& operand) {
  if (operand.arithmetic() != Arithmetic::linear || has_codec(operand.format()) ||
      operand.granularity() == Granularity::per_column)
    return add_any;
  return operand.codes().container == CodeMatrix::Container::int8 ? add_codes<std::int8_t>
                                                                  : add_codes<std::int16_t>;
}

/// Elements first .. last, row by row.
Piece measure(const ConstMatrix& x, const Operand& operand, AddSegment add, std::int64_t first,
              std::int64_t last) {
  Piece piece;
  while (first < last) {
    const std::int64_t i = first / x.cols, j = first % x.cols,
                       count = std::min(last - first, x.cols - j);
    add(piece, x, operand, i, j, j + count);
    first += count;
  }
  return piece;
}

}  // namespace

OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role) {
  const std::int64_t elements = x.rows * x.cols;
  const AddSegment add = choose(operand);
  // A matrix on one grid without gaps is as good as a row.
  const bool one_row =
      add != add_any && x.contiguous() && operand.granularity() == Granularity::per_tensor;
  const ConstMatrix rows = one_row ? ConstMatrix{x.data, 1, elements, elements, 1} : x;
  std::vector<Piece> pieces(static_cast<std::size_t>((elements + kPiece - 1) / kPiece));
  parallel_rows(std::ssize(pieces), kPiece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p)
      pieces[static_cast<std::size_t>(p)] =
          measure(rows, operand, add, p * kPiece, std::min(elements, (p + 1) * kPiece));
  });
  Piece all;
  std::vector<double> signal, noise;
  for (const Piece& piece : pieces) {
    all.add(piece);
    signal.push_back(piece.signal);
    noise.push_back(piece.noise);
  }
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
