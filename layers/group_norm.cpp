#include "layers/group_norm.h"

#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

/// How the channels of an example fall into groups.
struct Groups {
  std::int64_t batch, positions, channels, width;  ///< width: channels of a group

  [[nodiscard]] std::int64_t size() const { return positions * channels; }  ///< of an example
  [[nodiscard]] ConstMatrix example(const Tensor& x, std::int64_t i) const {
    return {x.data() + i * size(), positions, channels, channels};
  }
  /// The mean over each group of a channel's value, for all its channels.
  template <class OfChannel>
  [[nodiscard]] std::vector<double> means(const OfChannel& of_channel, double elements) const {
    std::vector<double> means(static_cast<std::size_t>(channels)),
        terms(static_cast<std::size_t>(width));
    for (std::size_t first = 0; first < means.size(); first += terms.size()) {
      for (std::size_t j = 0; j < terms.size(); ++j) terms[j] = of_channel(first + j);
      const double sum = tree_sum(terms);
      for (std::size_t j = 0; j < terms.size(); ++j) means[first + j] = sum / elements;
    }
    return means;
  }
  /// body(example) for each of them.
  template <class Body>
  void for_each(const Body& body) const {
    parallel_rows(batch, 4 * size(), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) body(i);
    });
  }
};

/// n of one example, and what each channel was multiplied by.
void normalise(const Groups& at, const Tensor& x, std::int64_t example, double epsilon, Simd simd,
               float* normal, double* slope) {
  const ColumnMoments columns = column_moments(at.example(x, example), simd);
  const auto width = static_cast<double>(at.width);
  const std::vector<double> mean = at.means([&](std::size_t c) { return columns.mean[c]; }, width);
  const std::vector<double> variance = at.means(
      [&](std::size_t c) {
        const double apart = columns.mean[c] - mean[c];
        return columns.variance[c] + apart * apart;
      },
      width);
  for (std::size_t c = 0; c < mean.size(); ++c) slope[c] = 1.0 / std::sqrt(variance[c] + epsilon);
  const float* from = at.example(x, example).data;
  for (std::int64_t p = 0; p < at.positions; ++p, from += at.channels, normal += at.channels) {
    for (std::size_t c = 0; c < mean.size(); ++c)
      normal[c] = static_cast<float>((static_cast<double>(from[c]) - mean[c]) * slope[c]);
  }
}

/// The gradient of n becomes that of x, for one example.
void gradient(const Groups& at, const Tensor& normal, std::int64_t example, const double* slope,
              Simd simd, Tensor& g) {
  const ColumnDots columns =
      column_sums_and_dots(at.example(g, example), at.example(normal, example), simd);
  const auto elements = static_cast<double>(at.positions * at.width);
  const std::vector<double> mean =
                                at.means([&](std::size_t c) { return columns.sum[c]; }, elements),
                            along =
                                at.means([&](std::size_t c) { return columns.dot[c]; }, elements);
  const float* n = normal.data() + example * at.size();
  float* h = g.data() + example * at.size();
  for (std::int64_t p = 0; p < at.positions; ++p, n += at.channels, h += at.channels) {
    for (std::size_t c = 0; c < mean.size(); ++c)
      h[c] = ((h[c] - static_cast<float>(mean[c])) - n[c] * static_cast<float>(along[c])) *
             static_cast<float>(slope[c]);
  }
}

}  // namespace

GroupNorm GroupNorm::create(ParamStore& params, const std::string& name, std::int64_t groups,
                            std::int64_t channels) {
  require<ConfigError>(groups >= 1 && channels >= 1 && channels % groups == 0, "[", name,
                       "] expected groups that divide ", channels, " channels, got ", groups);
  GroupNorm norm;
  norm.weight = params.add(name + ".weight", Tensor::filled({channels}, 1.0f));
  norm.bias = params.add(name + ".bias", Tensor::zeros({channels}));
  norm.groups = groups;
  return norm;
}

Var GroupNorm::operator()(Pass& pass, Var x) const {
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias);
  const Tensor& in = pass.tape[x];
  const Shape& shape = in.shape();
  const std::int64_t channels = pass.tape.shape(w)[0];
  require<ConfigError>(groups >= 1 && channels % groups == 0,
                       "[group_norm] expected groups that divide ", channels, " channels, got ",
                       groups);
  require<ShapeError>(
      shape.rank() >= 2 && shape[-1] == channels && (in.size() > 0 || shape[0] == 0),
      "[group_norm] expected [batch, ..., ", channels, "] with at least one position, got ", shape);
  const Groups at{shape[0], shape[0] == 0 ? 1 : in.size() / (shape[0] * channels), channels,
                  channels / groups};
  Tensor normal = Tensor::uninitialized(shape), y = Tensor::uninitialized(shape);
  std::vector<double> slopes(static_cast<std::size_t>(at.batch * channels));
  at.for_each([&, pw = pass.tape[w].data(), pb = pass.tape[b].data()](std::int64_t i) {
    float *n = normal.data() + i * at.size(), *to = y.data() + i * at.size();
    normalise(at, in, i, epsilon, pass.simd, n, slopes.data() + i * channels);
    for (std::int64_t p = 0; p < at.positions; ++p, n += channels, to += channels) {
      for (std::int64_t c = 0; c < channels; ++c) to[c] = n[c] * pw[c] + pb[c];
    }
  });
  auto backward = [=, &pass, normal = std::move(normal), slopes = std::move(slopes)](
                      Tensor&& g, Adjoints& grads) {
    const ColumnDots sums = column_sums_and_dots(g.matrix(), normal.matrix(), pass.simd);
    grads.add(w, rounded(sums.dot));
    grads.add(b, rounded(sums.sum));
    if (!grads.wants(x)) return;
    at.for_each([&, pw = pass.tape[w].data()](std::int64_t i) {
      float* h = g.data() + i * at.size();
      for (std::int64_t p = 0; p < at.positions; ++p, h += channels) {
        for (std::int64_t c = 0; c < channels; ++c) h[c] *= pw[c];
      }
      gradient(at, normal, i, slopes.data() + i * channels, pass.simd, g);
    });
    grads.add(x, std::move(g));
  };
  return pass.tape.record(std::move(y), {x, w, b}, std::move(backward));
}

}  // namespace ebb
