#include "quant/depthwise.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "core/aligned.h"
#include "core/error.h"
#include "core/kernels/select.h"
#include "core/parallel.h"
#include "quant/kernels/depthwise.h"
#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/problem.h"

namespace ebb {
namespace {

using kernels::DepthwiseKernels;
using kernels::DepthwisePiece;
using kernels::Epilogue;
using kernels::Problem;

constexpr std::int64_t kPiece = kRowsDone;  ///< positions that share a table of pixels

bool is_int16(const Operand& x) { return x.codes().container == CodeMatrix::Container::int16; }
std::int64_t element_bytes(const Operand& x) { return x.is_float() ? 4 : is_int16(x) ? 2 : 1; }

/// True if `bits` bits hold the magnitude of every sum of `count` products of codes.
bool sums_fit(const Operand& x, const Operand& y, std::int64_t count, int bits) {
  const std::int64_t largest = Problem::largest(x) * Problem::largest(y);
  return count <= (std::int64_t{1} << bits) / largest;
}

std::int64_t padded(std::int64_t channels) {
  return (channels + kernels::kDepthwiseStride - 1) / kernels::kDepthwiseStride *
         kernels::kDepthwiseStride;
}

/// Finds the pixels under the taps of positions.
class PixelTable {
 public:
  PixelTable(const Operand& images, const PatchGeometry& g)
      : geometry_(g),
        data_(static_cast<const std::byte*>(images.codes().data)),
        pixel_(g.pixel_stride * element_bytes(images)),
        zeros_(static_cast<std::size_t>(g.channels * element_bytes(images)), std::byte{0}) {
    for (std::int64_t x = 0; x < g.out_width; ++x) {
      for (std::int64_t kx = 0; kx < g.taps_x; ++kx) columns_.push_back(g.source_x(x, kx));
    }
  }
  [[nodiscard]] std::int64_t taps() const { return geometry_.taps_y * geometry_.taps_x; }

  /// Of positions first .. last; valid until the next call with the same scratch.
  DepthwisePiece find(std::int64_t first, std::int64_t last,
                      std::vector<const void*>& scratch) const {
    const PatchGeometry& g = geometry_;
    scratch.clear();
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t x = row % g.out_width, y = row / g.out_width % g.out_height,
                         image = row / (g.out_width * g.out_height);
      const std::int64_t* const columns = columns_.data() + x * g.taps_x;
      for (std::int64_t ky = 0; ky < g.taps_y; ++ky) {
        const std::int64_t sy = g.source_y(y, ky);
        const std::byte* const line = data_ + (image * g.height + sy) * g.width * pixel_;
        for (std::int64_t kx = 0; kx < g.taps_x; ++kx) {
          scratch.push_back(sy >= 0 && columns[kx] >= 0 ? line + columns[kx] * pixel_
                                                        : zeros_.data());
        }
      }
    }
    return {scratch.data(), zeros_.data(), last - first, taps()};
  }

 private:
  const PatchGeometry& geometry_;
  const std::byte* data_;
  std::int64_t pixel_;  ///< bytes
  std::vector<std::byte> zeros_;
  std::vector<std::int64_t> columns_;  ///< [out_width, taps_x], -1 for padding
};

/// The geometry over images that may have been decoded, which packs their pixels.
PatchGeometry over(const Operand& decoded, const Operand& images, PatchGeometry g) {
  if (g.pixel_stride == images.codes().row_stride) g.pixel_stride = decoded.codes().row_stride;
  return g;
}

/// The geometry of one channel by itself.
PatchGeometry one_channel(PatchGeometry g) {
  g.channels = 1;
  return g;
}

/// A [taps, channels] matrix in lanes.
template <class Lane>
Aligned<Lane> lanes_of(const CodeMatrix& w, std::int64_t stride) {
  Aligned<Lane> lanes(static_cast<std::size_t>(w.rows * stride));
  std::fill(lanes.begin(), lanes.end(), Lane{0});
  const bool real = w.container == CodeMatrix::Container::float32;
  for (std::int64_t t = 0; t < w.rows; ++t) {
    for (std::int64_t j = 0; j < w.cols; ++j) {
      const std::int64_t at = w.offset(t, j);
      lanes[static_cast<std::size_t>(t * stride + j)] =
          real ? static_cast<Lane>(w.value_at(at)) : static_cast<Lane>(w.code_at(at));
    }
  }
  return lanes;
}

void convolve(const Operand& images, const PatchGeometry& g, const Operand& weights,
              const Multiply& how, const MutableMatrix& out) {
  const bool real = images.is_float(),
             wide = !real && !sums_fit(images, weights, weights.rows(), 24);
  const DepthwiseKernels& kernel = kernels::select<kernels::DepthwiseKernels>(how.simd);
  const DepthwiseKernels::Convolve run =
      real ? kernel.convolve_floats : kernel.convolve[is_int16(images)][wide];
  const std::int64_t stride = padded(out.cols);
  const auto narrow_lanes = wide ? Aligned<float>() : lanes_of<float>(weights.codes(), stride);
  const auto wide_lanes = wide ? lanes_of<double>(weights.codes(), stride) : Aligned<double>();
  const PixelTable table(images, g);
  // One channel's patches beside all channels' taps: rows that miss the same taps share a constant.
  const Operand patches = images.columns(0, 1).patches(one_channel(g));
  const Problem problem{patches, weights, how.accumulator, out};
  std::optional<Epilogue> epilogue;
  if (!real) epilogue.emplace(problem, kernels::RowClasses::of(patches.codes(), weights.codes()));
  parallel_for(
      out.rows,
      [&](std::int64_t begin, std::int64_t end) {
        std::vector<const void*> pixels;
        std::vector<const double*> constants(real ? 0 : kPiece);
        std::vector<double> unused;  // images have one grid
        for (std::int64_t first = begin; first < end; first += kPiece) {
          const std::int64_t last = std::min(end, first + kPiece);
          constants.resize(real ? 0 : static_cast<std::size_t>(last - first));
          const Epilogue::Rows rows =
              real ? Epilogue::Rows{}
                   : epilogue->rows(first, 0, out.cols, constants, unused, kernels::coefficients);
          run({.piece = table.find(first, last, pixels),
               .weights = wide ? static_cast<const void*>(wide_lanes.data()) : narrow_lanes.data(),
               .channels = out.cols,
               .stride = stride,
               .scale_ab = rows.scale_ab,
               .zero_b = rows.zero_b,
               .constant = constants.data(),
               .out = out.data + first * out.row_stride,
               .out_stride = out.row_stride});
          if (how.rows_done) how.rows_done(first, last);
        }
      },
      std::max(kPiece, kParallelGrain / (g.cols() + 1)), kPiece);
}

/// Sums of codes: threads take positions, since exact sums may be added up in any order.
Aligned<double> sum_codes(const PixelTable& table, DepthwiseKernels::Sum run,
                          const Operand& gradient) {
  const std::int64_t channels = gradient.cols(), stride = padded(channels),
                     pieces = (gradient.rows() + kPiece - 1) / kPiece;
  const auto* const data = static_cast<const std::byte*>(gradient.codes().data);
  const std::int64_t row = gradient.codes().row_stride;
  const auto size = static_cast<std::size_t>(table.taps() * stride);
  Aligned<double> sums(size);
  std::fill(sums.begin(), sums.end(), 0.0);
#pragma omp parallel if (gradient.rows() * channels > kParallelGrain)
  {
    Aligned<double> mine(size);
    std::fill(mine.begin(), mine.end(), 0.0);
    std::vector<const void*> pixels;
#pragma omp for schedule(dynamic, 8) nowait
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const std::int64_t first = piece * kPiece, last = std::min(gradient.rows(), first + kPiece);
      run({.piece = table.find(first, last, pixels),
           .gradient = data + first * row * element_bytes(gradient),
           .gradient_stride = row,
           .first = 0,
           .last = channels,
           .sums = mine.data(),
           .stride = stride});
    }
#pragma omp critical
    for (std::size_t i = 0; i < size; ++i) sums[i] += mine[i];
  }
  return sums;
}

/// Chains of float32: threads take channels, since each chain runs over all positions.
Aligned<float> sum_floats(const PixelTable& table, DepthwiseKernels::Sum run,
                          const Operand& gradient) {
  constexpr std::int64_t together = 64;
  const std::int64_t channels = gradient.cols(), stride = padded(channels);
  const auto* const data = static_cast<const float*>(gradient.codes().data);
  const std::int64_t row = gradient.codes().row_stride;
  Aligned<float> sums(static_cast<std::size_t>(table.taps() * stride));
  std::fill(sums.begin(), sums.end(), 0.0f);
  parallel_for(
      channels,
      [&](std::int64_t begin, std::int64_t end) {
        std::vector<const void*> pixels;
        for (std::int64_t first = 0; first < gradient.rows(); first += kPiece) {
          run({.piece = table.find(first, std::min(gradient.rows(), first + kPiece), pixels),
               .gradient = data + first * row,
               .gradient_stride = row,
               .first = begin,
               .last = end,
               .sums = sums.data(),
               .stride = stride});
        }
      },
      together, together);
  return sums;
}

void grad_weight(const Operand& images, const PatchGeometry& g, const Operand& gradient,
                 const Multiply& how, float* out) {
  const DepthwiseKernels& kernel = kernels::select<kernels::DepthwiseKernels>(how.simd);
  const PixelTable table(images, g);
  const std::int64_t channels = gradient.cols(), taps = table.taps();
  const auto at = [stride = padded(channels)](std::int64_t tap, std::int64_t c) {
    return static_cast<std::size_t>(tap * stride + c);
  };
  if (images.is_float()) {
    const Aligned<float> sums = sum_floats(table, kernel.sum_floats, gradient);
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t t = 0; t < taps; ++t) out[c * taps + t] = sums[at(t, c)];
    }
    return;
  }
  const bool wide = !sums_fit(images, gradient, kPiece, 24);
  const Aligned<double> sums =
      sum_codes(table, kernel.sum[is_int16(images)][is_int16(gradient)][wide], gradient);
  const Operand patches = images.patches(g).transposed();  // rows are (tap, channel)
  const Problem problem{patches, gradient, how.accumulator, {}};
  const Epilogue epilogue(problem);
  std::vector<double> unused;
  for (std::int64_t t = 0; t < taps; ++t) {
    const Epilogue::Row k = epilogue.row(t * channels, unused);
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto codes = static_cast<double>(epilogue.row_sum(t * channels + c));
      kernels::scale_sums(sums.data() + at(t, c), 1, codes, k.scale_ab + c, k.zero_b + c,
                          k.constant + c, out + c * taps + t);
    }
  }
}

/// Channel after channel by the kernels of dense products: the definition, and the way of narrow
/// accumulators.
template <class ProblemOf>
std::uint64_t by_channel(const Operand& images, const PatchGeometry& g, const Operand& other,
                         const Multiply& how, const ProblemOf& problem_of) {
  std::uint64_t events = 0;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const Operand patches = images.columns(c, 1).patches(one_channel(g)),
                  column = other.columns(c, 1);
    const auto run = [&](const Problem& p) {
      if (how.kernel.empty()) return kernels::first_kernel(p, how.simd).run(p);
      return p.multiplier != nullptr ? kernels::reference_table(p)
             : p.linear()            ? kernels::reference_integer(p)
                                     : kernels::reference_float(p);
    };
    events += problem_of(patches, column, c, run);
  }
  return events;
}

void require_fit(const Operand& images, const PatchGeometry& g, const Operand& other,
                 std::int64_t other_rows, const Multiply& how) {
  require_valid(how.accumulator);
  require<ShapeError>(g.channels > 0 && g.channels == images.cols() && g.channels == other.cols() &&
                          other.rows() == other_rows,
                      "[", how.site.name, " ", how.product, "] expected ", g.channels,
                      " channels and ", other_rows, " rows, got ", images.cols(),
                      " channels of images and a ", other.rows(), " x ", other.cols(), " matrix");
  require<ShapeError>(
      other.granularity() != Granularity::per_row && !other.codes().patches, "[", how.site.name,
      " ", how.product,
      "] a grid cannot vary along the contracted axis: encode the operand along its free axis");
  require<ConfigError>(how.kernel.empty() || how.kernel == "reference", "[depthwise] no kernel '",
                       how.kernel, "'; there is 'reference'");
}

bool is_linear(Format format) { return traits_of(format).arithmetic(format) == Arithmetic::linear; }

/// Integer codes as they are, where their sums are exact or narrow. All else is decoded, scales
/// included, and summed in float32.
struct Sides {
  Operand images, other;
  Multiply how;
};
Sides sides(const Operand& images, const Operand& other, const Multiply& asked) {
  Multiply how = asked;
  how.multiplier = kernels::multiplier_for(images, other, asked);
  const bool linear =
      images.arithmetic() == Arithmetic::linear && other.arithmetic() == Arithmetic::linear;
  if (linear && (asked.accumulator.is_exact() || asked.accumulator.is_narrow()))
    return {images, other, how};
  if (images.is_encoded() && other.is_encoded() && !asked.count_only)
    require_float32_sums(asked.accumulator, concat(asked.site.name, ' ', asked.product),
                         linear || !is_linear(images.format()) ? images.format() : other.format());
  Sides floats{images.decoded(), other.decoded(), how};
  floats.how.accumulator = Accumulator::fp32();
  return floats;
}

/// Vectors do what adds up exactly in any order.
bool in_vectors(const Operand& images, const Operand& other, std::int64_t count,
                const Multiply& how) {
  if (!how.kernel.empty() || how.multiplier != nullptr) return false;
  return images.is_float() || (how.accumulator.is_exact() && sums_fit(images, other, count, 53));
}

/// As the formats have it, also where operands are simulated.
void settle(const Operand& images, const PatchGeometry& g, const Operand& other,
            std::uint64_t events, const Multiply& how, CostLedger& ledger) {
  ledger.charge(how.site, how.product,
                static_cast<uint128>(g.nominal_positions) * static_cast<uint128>(g.cols()),
                images.format(), other.format(),
                is_linear(images.format()) && is_linear(other.format()) ? how.accumulator
                                                                        : Accumulator::fp32());
  ledger.count_overflow(how.site, how.product, events);
}

}  // namespace

void depthwise_into(const Operand& images, const PatchGeometry& geometry, const Operand& weights,
                    const Multiply& asked, CostLedger& ledger, const MutableMatrix& out) {
  require_fit(images, geometry, weights, geometry.taps_y * geometry.taps_x, asked);
  const Sides chosen = sides(images, weights, asked);
  const Operand &x = chosen.images, &w = chosen.other;
  const Multiply& how = chosen.how;
  const PatchGeometry g = over(x, images, geometry);
  require<ShapeError>(out.rows == g.rows() && out.cols == g.channels, "[", how.site.name, " ",
                      how.product, "] the result is ", g.rows(), " x ", g.channels,
                      ", got room for ", out.rows, " x ", out.cols);
  if (how.count_only) {
    out.fill(0.0f);
    if (how.rows_done && out.data != nullptr)
      parallel_for(out.rows, how.rows_done, kRowsDone, kRowsDone);
    return settle(images, g, weights, 0, asked, ledger);
  }
  std::uint64_t events = 0;
  if (g.rows() > 0 && in_vectors(x, w, w.rows(), how)) {
    convolve(x, g, w, how, out);
  } else {
    events = by_channel(
        x, g, w, how,
        [&](const Operand& patches, const Operand& taps, std::int64_t c, const auto& run) {
          return run(Problem{.a = patches,
                             .b = taps,
                             .accumulator = how.accumulator,
                             .out = {out.data + c, out.rows, 1, out.row_stride},
                             .multiplier = how.multiplier});
        });
    if (how.rows_done) parallel_for(out.rows, how.rows_done, kRowsDone, kRowsDone);
  }
  settle(images, g, weights, events, asked, ledger);
}

void depthwise_grad_weight_into(const Operand& images, const PatchGeometry& geometry,
                                const Operand& gradient, const Multiply& asked, CostLedger& ledger,
                                float* out) {
  require_fit(images, geometry, gradient, geometry.rows(), asked);
  const Sides chosen = sides(images, gradient, asked);
  const Operand &x = chosen.images, &dy = chosen.other;
  const Multiply& how = chosen.how;
  const PatchGeometry g = over(x, images, geometry);
  const std::int64_t taps = g.taps_y * g.taps_x;
  if (how.count_only) {
    MutableMatrix{out, g.channels, taps, taps}.fill(0.0f);
    return settle(images, g, gradient, 0, asked, ledger);
  }
  std::uint64_t events = 0;
  if (dy.codes().col_stride == 1 && in_vectors(x, dy, dy.rows(), how)) {
    grad_weight(x, g, dy, how, out);
  } else {
    events = by_channel(
        x, g, dy, how,
        [&](const Operand& patches, const Operand& column, std::int64_t c, const auto& run) {
          const Operand by_tap = patches.transposed();
          // As in other convolutions the gradient is the first operand.
          return run(Problem{.a = by_tap,
                             .b = column,
                             .accumulator = how.accumulator,
                             .out = {out + c * taps, 1, taps, taps},
                             .transposed_out = true,
                             .multiplier = how.multiplier,
                             .turned = true});
        });
  }
  settle(images, g, gradient, events, asked, ledger);
}

}  // namespace ebb
