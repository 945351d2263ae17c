#include "layers/normalisation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/fetch.h"
#include "core/kernels/select.h"
#include "core/parallel.h"
#include "core/range_of_parts.h"
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
  NormInput in;
  const float* x;  ///< [rows, cols]
  std::int64_t rows, cols;
  bool relu, batch, learns;  ///< batch: moments are the batch's; learns: weight and bias do
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
  /// The same again, wherever rows begin, with the addition in out.
  void normalise_anew(std::int64_t first, std::int64_t last, bool add, float* out) const {
    kernels.normalise(x + first * cols, affine.columns(), add ? out : nullptr, relu && !add,
                      last - first, cols, out, nullptr);
    for (std::int64_t i = 0; relu && add && i < (last - first) * cols; ++i)
      out[i] = out[i] <= 0.0f ? 0.0f : out[i];
  }
  /// Holds rows of the output's gradient back where the ReLU did, and sums them.
  void receive(std::int64_t first, std::int64_t last, float* g) {
    for (std::int64_t row = first; row < last; row += kSumBlock, g += kSumBlock * cols) {
      const std::int64_t end = std::min(last, row + kSumBlock);
      fetch_ahead(x + row * cols, (end - row) * cols * 4);
      if (relu && !passed.empty()) kernels.mask_by_bits(passed_from(row), end - row, cols, g);
      if (relu && passed.empty())
        kernels.mask_by_input(x + row * cols, affine.columns(), end - row, cols, g);
      if (learns) dots.add_dots(g, x + row * cols, row, end);
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

/// The gradients by scale and shift, and the coefficients of that by x: see batch_gradient.
struct NormGradients {
  Tensor weight, bias;
  std::vector<float> along, offset;
};

NormGradients gradients_of(const Saved& saved) {
  const ColumnDots sums = saved.dots.dots();
  const auto n = static_cast<double>(saved.rows);
  const Shape channels{saved.cols};
  NormGradients result{Tensor::uninitialized(channels),
                       Tensor::uninitialized(channels),
                       std::vector<float>(static_cast<std::size_t>(saved.cols)),
                       {}};
  result.offset.resize(result.along.size());
  for (std::size_t c = 0; c < result.along.size(); ++c) {
    const double dot =
        saved.moments.inverse[c] * (sums.dot[c] - saved.moments.mean[c] * sums.sum[c]);
    const double share = -double{saved.affine.slope[c]} / n;
    result.weight[static_cast<std::int64_t>(c)] = static_cast<float>(dot);
    result.bias[static_cast<std::int64_t>(c)] = static_cast<float>(sums.sum[c]);
    result.along[c] = static_cast<float>(share * dot * saved.moments.inverse[c]);
    result.offset[c] = static_cast<float>(share * sums.sum[c]);
  }
  return result;
}

/// The gradient by x from that by the output, which has been received; gx may be g. Its range, if
/// that was found.
std::optional<Range> input_gradient(const Saved& saved, const NormGradients& by, const float* g,
                                    float* gx) {
  if (saved.batch) return batch_gradient(saved, by.along, by.offset, g, gx);
  running_gradient(saved.affine, saved.rows, g, gx);
  return std::nullopt;
}

/// The output, all at once, and its range. An addition that is lazy is computed, or taken, where
/// the output goes.
std::pair<Tensor, Range> normalise_all(Pass& pass, Saved& saved, std::optional<Var> add) {
  std::optional<Tensor> place = add ? pass.tape.take(*add) : std::nullopt;
  const bool compute = add && !place && pass.tape.lazy(*add) != nullptr,
             in_place = compute || place;
  const float* const addend = add && !in_place ? pass.tape[*add].data() : nullptr;
  Tensor out = place ? *std::move(place) : Tensor::uninitialized(saved.in.shape);
  RangeOfParts range;
  for_each_block(saved.rows, saved.cols, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t at = first * saved.cols;
    float* const to = out.data() + at;
    if (compute) pass.tape.read_rows(*add, first, last, to);
    add_range(range, saved.normalise(first, last,
                                     !add       ? nullptr
                                     : in_place ? to
                                                : addend + at,
                                     to));
  });
  return {std::move(out), range.range()};
}

std::shared_ptr<Saved> save(Pass& pass, const BatchNorm& norm, const BatchNorm::Then& then,
                            NormInput&& x) {
  const Tensor &scale = pass.params[norm.weight], &shift = pass.params[norm.bias];
  const std::string& name = pass.params.entry(norm.weight).name;
  const std::int64_t channels = scale.size();
  require<ShapeError>(x.shape.rank() >= 2 && x.shape[-1] == channels, "[batch_norm ", name,
                      "] expected input [..., ", channels, "], got ", x.shape);
  require<ShapeError>(!then.add || pass.tape.shape(*then.add) == x.shape, "[batch_norm ", name,
                      "] cannot add ", then.add ? pass.tape.shape(*then.add) : x.shape, " to ",
                      x.shape);
  const std::int64_t rows = x.shape.size() / channels;
  const bool of_batch = pass.training() && !norm.frozen;
  require<ShapeError>(!of_batch || rows >= 2 || pass.counting, "[batch_norm ", name,
                      "] statistics need at least two values a channel, got ", x.shape,
                      ": train with larger batches or images");
  const ConstMatrix in{x.data, rows, channels, channels};
  Moments moments =
      of_batch ? batch_moments(x.columns ? x.columns->moments() : column_moments(in, pass.simd),
                               rows, norm, pass.effects)
               : running_moments(norm, pass.params);
  Affine affine = forward_affine(moments, scale, shift);
  auto saved = std::make_shared<Saved>(Saved{kernels::select<kernels::NormKernels>(pass.simd),
                                             std::move(x),
                                             in.data,
                                             rows,
                                             channels,
                                             then.relu,
                                             of_batch,
                                             !norm.frozen,
                                             std::move(moments),
                                             std::move(affine),
                                             {rows, channels, pass.simd},
                                             {}});
  if (then.add && then.relu)
    saved->passed.resize(static_cast<std::size_t>((rows + 31) / 32 * channels));
  return saved;
}

}  // namespace

Var normalise(Pass& pass, const BatchNorm& norm, const BatchNorm::Then& then, NormInput x) {
  const std::shared_ptr<Saved> saved = save(pass, norm, then, std::move(x));
  const std::optional<Var> add = then.add;
  std::vector<Var> inputs = saved->in.inputs;
  Var w, b;
  if (!norm.frozen) {
    w = pass.tape.parameter(norm.weight);
    b = pass.tape.parameter(norm.bias);
    inputs.insert(inputs.end(), {w, b});
  }
  if (add) inputs.push_back(*add);
  if (!pass.tape.gradients()) {  // the input need not outlive this
    auto [y, range] = normalise_all(pass, *saved, add);
    return pass.tape.record(std::move(y), inputs, {}, range);
  }

  auto backward = [=](Tensor&& g, Adjoints& grads) {
    NormGradients by;
    if (saved->learns) {
      by = gradients_of(*saved);
      grads.add(w, std::move(by.weight));
      grads.add(b, std::move(by.bias));
    }
    const bool wants_x =
        std::ranges::any_of(saved->in.inputs, [&](Var input) { return grads.wants(input); });
    std::optional<Range> range;
    if (add && grads.wants(*add)) {  // whose gradient is g itself
      Tensor gx = wants_x ? Tensor::uninitialized(saved->in.shape) : Tensor{};
      if (wants_x) range = input_gradient(*saved, by, g.data(), gx.data());
      grads.add(*add, std::move(g));
      g = std::move(gx);
    } else if (wants_x) {
      range = input_gradient(*saved, by, g.data(), g.data());
    }
    if (wants_x) saved->in.backward(std::move(g), range, grads);
  };

  LazyValue value{.write = [=, &pass](std::int64_t first, std::int64_t last, float* out) {
    if (add) pass.tape.read_rows(*add, first, last, out);
    saved->normalise_anew(first, last, add.has_value(), out);
  }};
  Range range;
  if (saved->in.columns && saved->batch && !add) {  // known before it is computed
    range = normalised_range(saved->in.columns->ranges(), saved->affine, then.relu);
  } else {
    std::tie(value.ready, range) = normalise_all(pass, *saved, add);
  }
  saved->in.columns = nullptr;
  const Var y =
      pass.tape.record_lazy(saved->in.shape, std::move(value), inputs, std::move(backward), range);
  pass.tape.sink_gradient(y, [saved](std::int64_t first, std::int64_t last, float* g) {
    saved->receive(first, last, g);
  });
  return y;
}

}  // namespace ebb
