#include "layers/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/fetch.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/kernels/norm_rows.h"

namespace ebb {
namespace {

/// Mean and 1 / sqrt(var + epsilon) of every channel.
struct Moments {
  std::vector<double> mean, inverse;
};

/// out = (x - mean) slope + shift, by channel; all vectors in float32, as the loops use them.
struct Affine {
  std::vector<float> mean, slope, shift;

  [[nodiscard]] kernels::NormColumns columns() const {
    return {mean.data(), slope.data(), shift.data()};
  }
};

const kernels::NormKernels& norm_kernels([[maybe_unused]] Simd simd) {
#if defined(__x86_64__)
  if (simd == Simd::avx512) return kernels::norm_avx512();
  if (simd == Simd::avx2) return kernels::norm_avx2();
#endif
  return kernels::norm_portable();
}

/// Those of the batch, towards which the running ones are to move.
Moments batch_moments(ColumnMoments of_batch, std::int64_t rows, const BatchNorm& norm,
                      Effects& effects) {
  const auto n = static_cast<double>(rows);
  Moments moments{std::move(of_batch.mean), std::move(of_batch.variance)};
  std::vector<double> unbiased;
  for (double& value : moments.inverse) {
    unbiased.push_back(value * n / (n - 1.0));
    value = 1.0 / std::sqrt(value + norm.epsilon);
  }
  effects.averages.push_back({norm.running_mean, norm.momentum, moments.mean});
  effects.averages.push_back({norm.running_var, norm.momentum, std::move(unbiased)});
  return moments;
}

Moments running_moments(const BatchNorm& norm, const ParamStore& params) {
  Moments moments;
  for (const float mean : params[norm.running_mean].values()) moments.mean.push_back(double{mean});
  for (const float var : params[norm.running_var].values())
    moments.inverse.push_back(1.0 / std::sqrt(double{var} + norm.epsilon));
  return moments;
}

Affine forward_affine(const Moments& moments, const Tensor& scale, const Tensor& shift) {
  Affine affine;
  for (std::size_t c = 0; c < moments.mean.size(); ++c) {
    const auto i = static_cast<std::int64_t>(c);
    affine.mean.push_back(static_cast<float>(moments.mean[c]));
    affine.slope.push_back(static_cast<float>(double{scale[i]} * moments.inverse[c]));
    affine.shift.push_back(shift[i]);
  }
  return affine;
}

/// Range of relu?(norm(x)): the function of each column is monotonic, also when it is rounded, so
/// its ends are those of x.
Range normalised_range(const std::vector<Range>& of_x, const Affine& affine, bool relu) {
  RangeOfParts parts;
  for (std::size_t c = 0; c < of_x.size(); ++c) {
    for (const float end : {of_x[c].min, of_x[c].max}) {
      const float y = (end - affine.mean[c]) * affine.slope[c] + affine.shift[c];
      const float out = relu && y <= 0.0f ? 0.0f : y;
      parts.add(out - out == 0.0f, out, out);
    }
  }
  return parts.range();
}

void add_range(RangeOfParts& parts, const kernels::RowsRange& range) {
  parts.add(range.largest < 0x7f800000u, range.min, range.max);
}

/// Calls body(first, last) on all rows, from several threads, on blocks of kSumBlock, so that
/// strips of columns find them in cache.
template <class Body>
void for_each_block(std::int64_t rows, std::int64_t cols, const Body& body) {
  const auto blocks = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kSumBlock)
      body(first, std::min(end, first + kSumBlock));
  };
  parallel_for(rows, blocks, kParallelGrain / std::max<std::int64_t>(1, cols), kSumBlock);
}

/// What the passes over one normalisation's rows share.
struct Saved {
  const kernels::NormKernels& kernels;
  std::int64_t rows, cols;
  const float* x;  ///< [rows, cols]
  bool relu;
  Moments moments;
  Affine affine;
  ColumnBlocks dots;  ///< of the output's gradient and x
  /// Where a ReLU after an addition let values pass; without an addition that is computed from x
  /// anew.
  std::vector<std::uint32_t> passed;

  [[nodiscard]] std::uint32_t* passed_from(std::int64_t row) {
    return passed.data() + row / 32 * cols;
  }

  /// out = relu?(norm(x) + add?), rows first .. last; add and out begin at row first, with an
  /// addition a multiple of 32.
  kernels::RowsRange normalise(std::int64_t first, std::int64_t last, const float* add,
                               float* out) {
    return kernels.normalise(x + first * cols, affine.columns(), add, relu, last - first, cols, out,
                             passed.empty() ? nullptr : passed_from(first));
  }
  /// Holds rows of the output's gradient back where the ReLU did, and sums them.
  void receive(std::int64_t first, std::int64_t last, float* g) {
    for (std::int64_t row = first; row < last; row += kSumBlock, g += kSumBlock * cols) {
      const std::int64_t end = std::min(last, row + kSumBlock);
      fetch_ahead(x + row * cols, (end - row) * cols * 4);
      if (relu && !passed.empty()) kernels.mask_by_bits(passed_from(row), end - row, cols, g);
      if (relu && passed.empty())
        kernels.mask_by_input(x + row * cols, affine.columns(), end - row, cols, g);
      dots.add_dots(g, x + row * cols, row, end);
    }
  }
};

/// gx = g slope + ((x - mean) along + offset): the gradient through the batch's own statistics. gx
/// may be g. Returns its range.
Range batch_gradient(const Saved& saved, const std::vector<float>& along,
                     const std::vector<float>& offset, const float* g, float* gx) {
  RangeOfParts parts;
  for_each_block(saved.rows, saved.cols, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t at = first * saved.cols;
    add_range(parts,
              saved.kernels.gradient(saved.x + at, saved.affine.columns(), along.data(),
                                     offset.data(), g + at, last - first, saved.cols, gx + at));
  });
  return parts.range();
}

void running_gradient(const Affine& forward, std::int64_t rows, const float* g, float* gx) {
  const float* const slope = forward.slope.data();
  const auto cols = static_cast<std::int64_t>(forward.slope.size());
  parallel_rows(rows, cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < cols; ++c) gx[i * cols + c] = g[i * cols + c] * slope[c];
    }
  });
}

}  // namespace

BatchNorm BatchNorm::create(ParamStore& params, const std::string& name, std::int64_t channels) {
  BatchNorm norm;
  norm.weight = params.add(name + ".scale", Tensor::filled({channels}, 1.0f));
  norm.bias = params.add(name + ".shift", Tensor::zeros({channels}));
  norm.running_mean =
      params.add(name + ".running_mean", Tensor::zeros({channels}), ParamStore::Kind::state);
  norm.running_var =
      params.add(name + ".running_var", Tensor::filled({channels}, 1.0f), ParamStore::Kind::state);
  return norm;
}

Var BatchNorm::operator()(Pass& pass, Var x, const Then& then) const {
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias),
            added = then.add.value_or(w);
  const Shape shape = pass.tape.shape(x);
  const std::int64_t channels = pass.tape.shape(w)[0];
  const std::string& name = pass.params.entry(weight).name;
  require<ShapeError>(shape.rank() >= 2 && shape[-1] == channels, "[batch_norm ", name,
                      "] expected input [..., ", channels, "], got ", shape);
  require<ShapeError>(!then.add || pass.tape.shape(added) == shape, "[batch_norm ", name,
                      "] cannot add ", pass.tape.shape(added), " to ", shape);
  const ConstMatrix in = pass.tape[x].matrix();
  const bool batch = pass.training();
  require<ShapeError>(!batch || in.rows >= 2, "[batch_norm ", name,
                      "] statistics need at least two values a channel, got ", shape,
                      ": train with larger batches or images");

  const std::shared_ptr<const ColumnBlocks> known = pass.tape.facts(x).columns;
  Moments moments = batch ? batch_moments(known ? known->moments() : column_moments(in, pass.simd),
                                          in.rows, *this, pass.effects)
                          : running_moments(*this, pass.params);
  Affine affine = forward_affine(moments, pass.tape[w], pass.tape[b]);
  const auto saved = std::make_shared<Saved>(Saved{norm_kernels(pass.simd),
                                                   in.rows,
                                                   in.cols,
                                                   in.data,
                                                   then.relu,
                                                   std::move(moments),
                                                   std::move(affine),
                                                   {in.rows, in.cols, pass.simd},
                                                   {}});
  if (then.add && then.relu)
    saved->passed.resize(static_cast<std::size_t>((in.rows + 31) / 32 * in.cols));
  const auto receive = [saved](std::int64_t first, std::int64_t last, float* g) {
    saved->receive(first, last, g);
  };

  auto backward = [=](Tensor&& g, Adjoints& grads) {
    if (!grads.watched()) {
      parallel_for(
          saved->rows,
          [&](std::int64_t first, std::int64_t last) {
            receive(first, last, g.data() + first * channels);
          },
          kSumBlock, kSumBlock);
    }
    const ColumnDots sums = saved->dots.dots();
    const auto n = static_cast<double>(saved->rows);
    Tensor gw = Tensor::uninitialized({channels}), gb = Tensor::uninitialized({channels});
    std::vector<float> along(static_cast<std::size_t>(channels)), offset(along.size());
    for (std::size_t c = 0; c < along.size(); ++c) {
      const double dot =
          saved->moments.inverse[c] * (sums.dot[c] - saved->moments.mean[c] * sums.sum[c]);
      const double share = -double{saved->affine.slope[c]} / n;
      gw[static_cast<std::int64_t>(c)] = static_cast<float>(dot);
      gb[static_cast<std::int64_t>(c)] = static_cast<float>(sums.sum[c]);
      along[c] = static_cast<float>(share * dot * saved->moments.inverse[c]);
      offset[c] = static_cast<float>(share * sums.sum[c]);
    }
    grads.add(w, std::move(gw));
    grads.add(b, std::move(gb));
    const auto input_gradient = [&](const float* from, float* to) -> Statistics {
      if (batch) return {.range = batch_gradient(*saved, along, offset, from, to)};
      running_gradient(saved->affine, saved->rows, from, to);
      return {};
    };
    const bool add_wants = then.add && grads.wants(added);
    if (grads.wants(x) && !add_wants) {
      Statistics facts = input_gradient(g.data(), g.data());
      grads.add(x, std::move(g), std::move(facts));
      return;
    }
    if (grads.wants(x)) {  // g itself is still needed, as the gradient of what was added
      Tensor gx = Tensor::uninitialized(shape);
      Statistics facts = input_gradient(g.data(), gx.data());
      grads.add(x, std::move(gx), std::move(facts));
    }
    if (add_wants) grads.add(added, std::move(g));
  };

  Var y;
  if (batch && known && !then.add) {  // its range is known before it is computed: the next layer
                                      // takes codes straight from x
    y = pass.tape.record_deferred(
        shape,
        [saved](std::int64_t first, std::int64_t last, float* out) {
          saved->normalise(first, last, nullptr, out);
        },
        {x, w, b, added}, std::move(backward),
        {.range = normalised_range(known->ranges(), saved->affine, then.relu)});
  } else {
    std::optional<Tensor> place =
        then.add && then.last_reader ? pass.tape.take(added) : std::nullopt;
    const float* const to_add = !then.add ? nullptr
                                : place   ? place->data()
                                          : pass.tape[added].data();
    Tensor out = place ? *std::move(place) : Tensor::uninitialized(shape);
    RangeOfParts parts;
    for_each_block(in.rows, in.cols, [&](std::int64_t first, std::int64_t last) {
      const std::int64_t at = first * in.cols;
      add_range(parts, saved->normalise(first, last, to_add != nullptr ? to_add + at : nullptr,
                                        out.data() + at));
    });
    y = pass.tape.record(std::move(out), {x, w, b, added}, std::move(backward),
                         {.range = parts.range()});
  }
  pass.tape.watch_gradient(y, receive);
  return y;
}

}  // namespace ebb
