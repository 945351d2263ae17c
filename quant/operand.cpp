#include "quant/operand.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <exception>
#include <numeric>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "quant/formats/codec.h"
#include "quant/formats/kernels/encode.h"
#include "quant/kernels/packed_cache.h"

namespace ebb {
namespace {

constexpr std::int64_t kSlack = 64;
constexpr std::string_view kNotFinite = "a NaN or infinite value cannot be encoded";

/// Calls then(row, first column, columns) for the rows of a matrix, or for those of its parts, from
/// several threads.
template <class Then>
void for_rows(const ConstMatrix& x, std::span<const Operand::Part> parts, const Then& then) {
  if (parts.empty()) {
    return parallel_rows(x.rows, x.cols, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) then(i, std::int64_t{0}, x.cols);
    });
  }
  std::int64_t most = 0;
  for (const Operand::Part& part : parts) most = std::max(most, part.rows * part.cols);
  parallel_rows(
      static_cast<std::int64_t>(parts.size()), most, [&](std::int64_t first, std::int64_t last) {
        for (const Operand::Part& part : parts.subspan(static_cast<std::size_t>(first),
                                                       static_cast<std::size_t>(last - first))) {
          for (std::int64_t i = 0; i < part.rows; ++i) {
            const std::int64_t element = part.first + i * part.stride;
            then(element / x.cols, element % x.cols, part.cols);
          }
        }
      });
}

std::vector<Range> column_ranges(const ConstMatrix& x, Simd simd) {
  std::vector<Range> ranges(static_cast<std::size_t>(x.cols));
  if (x.rows == 0 || x.cols == 0) return ranges;
  if (x.contiguous()) {
    ColumnBlocks blocks(x.rows, x.cols, simd);
    parallel_for(
        x.rows,
        [&](std::int64_t first, std::int64_t last) {
          blocks.summarise(x.data + first * x.cols, first, last);
        },
        kParallelGrain / x.cols + 1, kSumBlock);
    return blocks.ranges();
  }
  constexpr std::int64_t strip = 64;  // columns whose ranges stay in cache down the rows
  parallel_rows(
      (x.cols + strip - 1) / strip, strip * x.rows, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t col = first * strip; col < std::min(last * strip, x.cols); col += strip) {
          const std::int64_t cols = std::min(strip, x.cols - col);
          float low[strip], high[strip],
              zero_or_nan[strip] = {};  // zero_or_nan becomes NaN where a value is not finite
          for (std::int64_t j = 0; j < cols; ++j) low[j] = high[j] = x(0, col + j);
          const auto scan = [&](auto stride) {
            for (std::int64_t i = 0; i < x.rows; ++i) {
              const float* const row = x.data + i * x.row_stride + col * x.col_stride;
              for (std::int64_t j = 0; j < cols; ++j) {
                const float v = row[j * stride];
                low[j] = v < low[j] ? v : low[j];
                high[j] = v > high[j] ? v : high[j];
                zero_or_nan[j] += v - v;
              }
            }
          };
          x.col_stride == 1 ? scan(std::integral_constant<std::int64_t, 1>{}) : scan(x.col_stride);
          for (std::int64_t j = 0; j < cols; ++j)
            ranges[static_cast<std::size_t>(col + j)] = {low[j] + zero_or_nan[j],
                                                         high[j] + zero_or_nan[j]};
        }
      });
  return ranges;
}

Grid fit_grid(const Range& range, const Encoding& encoding) {
  require<NonFiniteError>(range.finite(), kNotFinite);
  if (has_codec(encoding.format))
    return {.bits = encoding.format.width,
            .scale = fit_scale(encoding.format, range) * stored_unit(encoding.format),
            .style = GridStyle::symmetric};
  return Grid::fit(range, encoding.format.width, encoding.grid);
}
/// The grid over a row of which `cols` elements are at hand, the rest being zeros.
Grid fit_row(const ConstMatrix& x, std::int64_t row, std::int64_t cols, const Encoding& encoding,
             Simd simd) {
  Range range =
      measure_range({x.data + row * x.row_stride, 1, cols, x.row_stride, x.col_stride}, simd);
  if (cols < x.cols && range.finite())
    range = {std::min(range.min, 0.0f), std::max(range.max, 0.0f)};
  return fit_grid(range, encoding);
}

/// Calls body() and notes an exception, which must not leave a thread.
template <class Body>
void noting_failure(std::atomic<bool>& failed, const Body& body) {
  try {
    body();
  } catch (const std::exception&) {
    failed = true;
  }
}

/// The grid over the whole matrix, or those over columns.
std::vector<Grid> fit_grids(const ConstMatrix& x, const Encoding& encoding, Granularity granularity,
                            const Operand::Options& options) {
  if (granularity == Granularity::per_tensor) {
    if (options.own_range) return {fit_grid(*options.range, encoding)};
    const Range own = measure_range(
        x, options.simd);  // measured also when a range is given: no NaN may reach the rounding
    require<NonFiniteError>(own.finite(), kNotFinite);
    return {fit_grid(options.range != nullptr ? *options.range : own, encoding)};
  }
  const std::vector<Range> ranges = column_ranges(x, options.simd);
  std::vector<Grid> grids(ranges.size());
  std::atomic<bool> failed = false;
  constexpr std::int64_t cost = 8;  // of a grid, in elements
  parallel_rows(
      static_cast<std::int64_t>(ranges.size()), cost, [&](std::int64_t first, std::int64_t last) {
        noting_failure(failed, [&] {
          for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i)
            grids[i] = fit_grid(ranges[i], encoding);
        });
      });
  for (std::size_t i = 0; failed && i < ranges.size(); ++i)
    static_cast<void>(fit_grid(ranges[i], encoding));  // throws
  return grids;
}

/// Nearest codes of a matrix with contiguous rows and a grid a column.
template <class Code>
void encode_columns(const ConstMatrix& x, const std::vector<Grid>& grids, Simd simd, Code* out) {
  std::vector<float> offset, scale;
  for (const Grid& grid : grids) {
    offset.push_back(grid.offset);
    scale.push_back(grid.scale);
  }
  offset.resize(offset.size() + 32, 0.0f);  // vectors may be read to their end
  scale.resize(scale.size() + 32, 1.0f);
  const kernels::EncodeGrids each{offset.data(), scale.data(), static_cast<float>(grids[0].low()),
                                  static_cast<float>(grids[0].high()), grids[0].centre()};
  const auto encode = kernels::select<kernels::EncodeKernels>(simd).of<Code>().each;
  parallel_rows(x.rows, x.cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      encode(x.data + i * x.row_stride, x.cols, each, out + i * x.cols);
  });
}

/// Columns first .. first + count of row i, all on one grid.
template <class Code>
void encode_row(const ConstMatrix& x, std::int64_t i, std::int64_t first, std::int64_t count,
                const Grid& grid, const Encoding& encoding, Key key, Simd simd, Code* out) {
  const std::int64_t element = i * x.cols + first;
  if (x.col_stride == 1) {
    return encode_elements(x.data + i * x.row_stride + first, count, grid, encoding, key, element,
                           simd, out + element);
  }
  for (std::int64_t j = 0; j < count; ++j)
    out[element + j] = encode_element<Code>(x(i, first + j), element + j, grid, encoding, key);
}

/// Fits a grid to each row and encodes it while it is in cache.
template <class Code>
void fit_and_encode_rows(const ConstMatrix& x, const Encoding& encoding, Key key,
                         const Operand::Options& options, std::vector<Grid>& grids, Code* out) {
  std::atomic<bool> failed = false;
  for_rows(x, options.parts, [&](std::int64_t i, std::int64_t first, std::int64_t count) {
    noting_failure(failed, [&] {
      Grid& grid = grids[static_cast<std::size_t>(i)];
      grid = fit_row(x, i, count, encoding, options.simd);
      encode_row(x, i, first, count, grid, encoding, key, options.simd, out);
    });
  });
  for (std::int64_t i = 0; failed && i < x.rows; ++i)
    static_cast<void>(fit_row(x, i, x.cols, encoding, options.simd));  // throws
}

/// Encodes rows that are written piece by piece into a buffer of the first cache levels.
template <class Code>
void encode_rows(const Operand::Rows& x, const Grid& grid, const Encoding& encoding, Key key,
                 Simd simd, Code* out) {
  constexpr std::int64_t piece_elements = 4096,
                         draws = 128;  // pieces begin where a group of rounding bits does
  const std::int64_t unit = draws / std::gcd(draws, std::max<std::int64_t>(1, x.cols));
  const std::int64_t piece =
      unit * std::max<std::int64_t>(1, piece_elements / std::max<std::int64_t>(1, unit * x.cols));
  parallel_for(
      x.rows,
      [&](std::int64_t begin, std::int64_t end) {
        Aligned<float> buffer(static_cast<std::size_t>(std::min(piece, end - begin) * x.cols));
        for (std::int64_t first = begin; first < end; first += piece) {
          const std::int64_t last = std::min(end, first + piece);
          x.write(first, last, buffer.data());
          encode_elements(buffer.data(), (last - first) * x.cols, grid, encoding, key,
                          first * x.cols, simd, out + first * x.cols);
        }
      },
      piece, piece);
}

/// Stochastic codes of the same: in units of its column's grid a number is encoded as on one whose
/// scale is 1, by the same operations.
template <class Code>
void encode_columns_stochastic(const ConstMatrix& x, const std::vector<Grid>& grids,
                               const Encoding& encoding, Key key, Simd simd, Code* out) {
  const std::function<void(std::int64_t, std::int64_t, float*)> in_units =
      [&](std::int64_t first, std::int64_t last, float* to) {
        for (std::int64_t i = first; i < last; ++i, to += x.cols) {
          const float* const row = x.data + i * x.row_stride;
          for (std::int64_t j = 0; j < x.cols; ++j) {
            const Grid& grid = grids[static_cast<std::size_t>(j)];
            to[j] = (row[j] - grid.offset) / grid.scale;
          }
        }
      };
  const Grid units{.bits = grids[0].bits, .style = grids[0].style};
  encode_rows({x.rows, x.cols, in_units}, units, encoding, key, simd, out);
}

template <class Code>
void encode_matrix(const ConstMatrix& x, const std::vector<Grid>& grids, Granularity granularity,
                   const Encoding& encoding, Key key, const Operand::Options& options, Code* out) {
  const Simd simd = options.simd;
  if (granularity == Granularity::per_tensor && options.parts.empty() && x.contiguous())
    return encode_elements(x.data, x.rows * x.cols, grids[0], encoding, key, 0, simd, out);
  if (granularity == Granularity::per_tensor) {
    return for_rows(x, options.parts, [&](std::int64_t i, std::int64_t first, std::int64_t count) {
      encode_row(x, i, first, count, grids[0], encoding, key, simd, out);
    });
  }
  if constexpr (!std::is_same_v<Code, float>) {
    const bool integers =
        x.col_stride == 1 && x.cols > 0 && !has_codec(encoding.format) && encoding.random_bits == 0;
    if (integers && encoding.rounding == Rounding::nearest_even)
      return encode_columns(x, grids, simd, out);
    if (integers && encoding.rounding == Rounding::stochastic)
      return encode_columns_stochastic(x, grids, encoding, key, simd, out);
  }
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j)
      out[i * x.cols + j] = encode_element<Code>(x(i, j), i * x.cols + j,
                                                 grids[static_cast<std::size_t>(j)], encoding, key);
  }
}

}  // namespace

Operand::Operand(const ConstMatrix& x, const Encoding& encoding, Granularity granularity, Key key,
                 const Options& options)
    : encoding_(encoding), granularity_(granularity) {
  require_operand(encoding.format);
  if (has_blocks(encoding.format)) require_blocks(encoding.format);
  if (encoding.format.is_fp32()) {
    codes_.rows = x.rows;
    codes_.cols = x.cols;
    granularity_ = Granularity::per_tensor;
    codes_.container = CodeMatrix::Container::float32;
    codes_.data = x.data;
    codes_.row_stride = x.row_stride;
    codes_.col_stride = x.col_stride;
    return;
  }
  if (has_blocks(encoding.format)) {
    encode_in_blocks(x, key, options.simd);
    if (options.simulate) *this = decoded();
    return;
  }
  require<ConfigError>(options.range == nullptr || granularity == Granularity::per_tensor,
                       "[operand] a given range needs a grid over the whole matrix");
  assert(options.parts.empty() || (x.contiguous() && granularity != Granularity::per_column));
  if (granularity == Granularity::per_row) {
    fill(x.rows, x.cols, std::vector<Grid>(static_cast<std::size_t>(x.rows)),
         [&](std::vector<Grid>& grids, auto* codes) {
           fit_and_encode_rows(x, encoding, key, options, grids, codes);
         });
  } else {
    fill(x.rows, x.cols, fit_grids(x, encoding, granularity, options),
         [&](const std::vector<Grid>& grids, auto* codes) {
           encode_matrix(x, grids, granularity, encoding, key, options, codes);
         });
  }
  if (options.simulate) *this = decoded();
}

Operand::Operand(const Rows& x, const Encoding& encoding, const Range& range, Key key,
                 const Options& options)
    : encoding_(encoding), granularity_(Granularity::per_tensor) {
  assert(!encoding.format.is_fp32());
  fill(x.rows, x.cols, {fit_grid(range, encoding)},
       [&](const std::vector<Grid>& grids, auto* codes) {
         encode_rows(x, grids[0], encoding, key, options.simd, codes);
       });
  if (options.simulate) *this = decoded();
}

std::shared_ptr<Operand::Codes> Operand::make_room(std::int64_t rows, std::int64_t cols) {
  auto all = std::make_shared<Codes>();
  codes_.rows = rows;
  codes_.cols = codes_.row_stride = cols;
  codes_.container = traits_of(format()).container(format());
  all->visit(codes_.container, [&](auto& codes) {
    // The slack lets kernels read whole vectors at the end of the last row.
    const auto size = static_cast<std::size_t>(rows * cols) + kSlack;
    allocate(
        uint128{size} * sizeof(codes[0]), [&] { codes.resize(size); },
        "the codes of an operand of ", rows, " x ", cols);
    std::fill(codes.end() - kSlack, codes.end(), 0);
    codes_.data = codes.data();
  });
  return all;
}

template <class Encode>
void Operand::fill(std::int64_t rows, std::int64_t cols, std::vector<Grid> grids,
                   const Encode& encode) {
  const auto all = make_room(rows, cols);
  all->visit(codes_.container, [&](auto& codes) { encode(grids, codes.data()); });
  storage_ = std::make_shared<Storage>(Storage{all, cols, granularity_, std::move(grids)});
}

Operand Operand::as_codes() const {
  require<ConfigError>(arithmetic() == Arithmetic::linear, "[operand] ", format(), " as ",
                       arithmetic(), " has no codes that stand for themselves");
  const GridStyle style = has_codec(format()) ? GridStyle::symmetric : encoding_.grid;
  Grid itself{.bits = format().width, .style = style};
  itself.offset = static_cast<float>(-itself.centre());
  Operand result = view();
  result.granularity_ = Granularity::per_tensor;
  result.storage_ = std::make_shared<Storage>(
      Storage{storage_->codes, storage_->cols, Granularity::per_tensor, {itself}});
  return result;
}

Operand Operand::with_alternatives(std::vector<Operand> alternatives) const {
  Operand result = *this;
  result.alternatives_ = std::make_shared<const std::vector<Operand>>(std::move(alternatives));
  return result;
}

template <class View>
Operand Operand::with_views(Operand result, const View& view) const {
  if (alternatives_ == nullptr) return result;
  std::vector<Operand> views;
  for (const Operand& each : *alternatives_) views.push_back(view(each));
  return result.with_alternatives(std::move(views));
}

double Operand::value(std::int64_t i, std::int64_t j) const {
  const std::int64_t at = codes_.offset(i, j);
  if (at < 0) return 0.0;
  if (is_float() && !numbers_) return static_cast<double>(codes_.value_at(at));
  if (has_blocks(format())) return BlockElement(format()).number(codes_.code_at(at)) * scale(i, j);
  const Grid& g = grid(granularity_ == Granularity::per_column ? j : i);
  if (numbers_) return static_cast<double>(g.scale) * static_cast<double>(codes_.value_at(at));
  if (arithmetic() != Arithmetic::linear) {
    const auto code = static_cast<std::uint32_t>(codes_.code_at(at));
    return static_cast<double>(g.scale) *
           static_cast<double>(traits_of(format()).decode(format(), code));
  }
  return static_cast<double>(g.scale) * codes_.code_at(at) + g.stored_zero();
}

Operand Operand::charged_for(std::int64_t rows) const {
  Operand result = *this;
  result.codes_.charged_rows = rows;
  return result;
}

Operand Operand::kept() const {
  Operand result = *this;
  result.packed_cache_ = std::make_shared<kernels::PackedCache>();
  return with_views(std::move(result), [](const Operand& x) { return x.kept(); });
}

Operand Operand::view() const {
  Operand result = *this;
  result.packed_cache_ = nullptr;
  result.alternatives_ = nullptr;
  return result;
}

Operand Operand::beginning_at(std::int64_t element) const {
  const std::int64_t bytes = codes_.container == CodeMatrix::Container::int8    ? 1
                             : codes_.container == CodeMatrix::Container::int16 ? 2
                                                                                : 4;
  Operand part = view();
  if (codes_.data != nullptr)  // an empty matrix may have none
    part.codes_.data = static_cast<const char*>(codes_.data) + element * bytes;
  return part;
}

Operand Operand::transposed() const {
  Operand t = view();
  t.codes_ = codes_.transposed();
  if (granularity_ != Granularity::per_tensor)
    t.granularity_ =
        granularity_ == Granularity::per_row ? Granularity::per_column : Granularity::per_row;
  t.blocks_ = blocks_.transposed();
  return with_views(std::move(t), [](const Operand& x) { return x.transposed(); });
}

Operand Operand::columns(std::int64_t first, std::int64_t count) const {
  require<ShapeError>(!codes_.patches && first >= 0 && count >= 0 && first + count <= cols(),
                      "[operand] columns ", first, " .. ", first + count, " of a matrix with ",
                      cols(), " columns");
  Operand part = beginning_at(first * codes_.col_stride);
  part.codes_.cols = count;
  if (granularity_ == Granularity::per_column) part.first_grid_ += first;
  part.blocks_.first_col += first;
  part.codes_.charged_cols = -1;
  return with_views(std::move(part), [=](const Operand& x) { return x.columns(first, count); });
}

Operand Operand::rows(std::int64_t first, std::int64_t count) const {
  require<ShapeError>(!codes_.patches && first >= 0 && count >= 0 && first + count <= codes_.rows,
                      "[operand] rows ", first, " .. ", first + count, " of a matrix with ",
                      codes_.rows, " rows");
  Operand part = beginning_at(first * codes_.row_stride);
  part.codes_.rows = count;
  if (granularity_ == Granularity::per_row) part.first_grid_ += first;
  part.blocks_.first_row += first;
  part.codes_.charged_rows = -1;
  return with_views(std::move(part), [=](const Operand& x) { return x.rows(first, count); });
}

Operand Operand::reshaped(std::int64_t first, std::int64_t rows, std::int64_t cols) const {
  require<ShapeError>(codes_.rows == 1 && codes_.col_stride == 1 &&
                          granularity_ == Granularity::per_tensor && rows >= 0 && cols >= 0 &&
                          first >= 0 && first + rows * cols <= codes_.cols,
                      "[operand] expected a part of one row with one grid to reshape");
  Operand part = beginning_at(first);
  part.codes_.rows = rows;
  part.codes_.cols = part.codes_.row_stride = cols;
  return with_views(std::move(part),
                    [=](const Operand& x) { return x.reshaped(first, rows, cols); });
}

Operand Operand::patches(const PatchGeometry& geometry) const {
  const PatchGeometry& g = geometry;
  require<ShapeError>(
      !codes_.patches && granularity_ == Granularity::per_tensor && codes_.col_stride == 1,
      "[patches] needs a dense operand with one grid");
  require<ShapeError>(g.images * g.height * g.width == rows() && g.channels == cols() &&
                          g.pixel_stride == codes_.row_stride,
                      "[patches] images ", g.images, " x ", g.height, " x ", g.width, " x ",
                      g.channels, " do not fit a ", rows(), " x ", cols(), " matrix");
  Operand matrix = view();
  matrix.codes_.patches = geometry;
  matrix.codes_.patches_transposed = false;
  matrix.codes_.rows = g.rows();
  matrix.codes_.cols = g.cols();
  return with_views(std::move(matrix), [&](const Operand& x) { return x.patches(geometry); });
}

}  // namespace ebb
