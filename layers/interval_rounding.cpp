#include "layers/interval_rounding.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"

// The bounds behind every constant here are in docs/NUMERICS.md, "Bounds".

namespace ebb {
namespace {

constexpr double kU = 0x1p-24;
constexpr double kLift = 0x1p-20;  // of the largest number, before it is encoded upwards
constexpr std::int64_t kMostTerms = std::int64_t{1} << 18;

/// What the roundings of a sum of so many products can come to, relative to the sum of their
/// magnitudes: of the network's own sum, of that of the centre and of that of the radius.
double rounding_of(std::int64_t terms) { return 2.25 * static_cast<double>(terms + 16) * kU; }

/// The site of a product and how it is encoded there and at the site of its radius.
struct Encodings {
  Encoding weight, activation;
  bool fp32 = true;  ///< all of them
};

Encodings encodings_at(const Pass& pass, const Site& site, const Site& of_radius,
                       ParamId input_range, std::int64_t terms) {
  require<ConfigError>(terms < kMostTerms, "[", site.name, "] bounds hold for sums of less than ",
                       kMostTerms, " products, got ", terms);
  require<ConfigError>(pass.plan.multiplier == nullptr, "[", site.name,
                       "] bounds do not hold for products by a table; evaluate with --multiplier "
                       "none");
  Encodings result{pass.plan.encoding(site, Role::weight),
                   pass.plan.encoding(site, Role::activation)};
  for (const Site& at : {site, of_radius}) {
    const Numerics& numerics = pass.plan.at(at);
    for (const Role role : {Role::weight, Role::activation}) {
      const Encoding& encoding = numerics.encoding(role);
      const bool fp32 = encoding.format.is_fp32();
      result.fp32 = result.fp32 && fp32;
      require<ConfigError>(fp32 || (encoding.format.kind == Format::Kind::integer &&
                                    encoding.rounding != Rounding::stochastic),
                           "[", at.name,
                           "] bounds hold for fp32, and for integers that are not "
                           "rounded stochastically; got ",
                           encoding.format, ", ", to_text(encoding.rounding), ", as the ", role);
    }
    require<ConfigError>(numerics.forward.is_exact(), "[", at.name,
                         "] bounds hold for exact sums, got the accumulator ",
                         to_text(numerics.forward));
  }
  require<ConfigError>(
      result.activation.format.is_fp32() || pass.params[input_range][2] != 0.0f, "[", site.name,
      "] bounds need the grid of the layer's inputs, which training fixes; there was none yet");
  return result;
}

/// Has the radius encoded upwards from here on.
void encode_upwards(Pass& pass, const Site& of_radius) {
  Numerics numerics = pass.plan.at(of_radius);
  numerics.weight.rounding = numerics.activation.rounding = Rounding::up;
  pass.plan.rules.push_back({.pattern = of_radius.name, .numerics = numerics, .exact = true});
}

Shape with_rows(const Shape& shape, std::int64_t rows) {
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  extents[0] = rows;
  return Shape(extents);
}

/// Inputs of a product: every number that the network's codes can stand for in the box is within
/// `radius` of what the code of `centre` stands for.
struct Inputs {
  Tensor centre, radius;
  double grid = 0;     ///< the largest |min| + |max| of the grid
  double largest = 0;  ///< of the radii
};

Inputs inputs_of(const Pass& pass, const Encodings& encodings, ParamId input_range,
                 const Tensor& ends, std::int64_t terms) {
  const Encoding& encoding = encodings.activation;
  const bool fp32 = encoding.format.is_fp32();
  const Tensor& state = pass.params[input_range];
  const Range range{state[0], state[0] + state[1]};
  const auto encoded = [&](const Tensor& x) {
    return Operand(
        x.matrix(), encoding, Granularity::per_tensor, pass.key,
        {.simd = pass.simd, .simulate = pass.plan.simulate, .range = fp32 ? nullptr : &range});
  };
  const Shape shape = with_rows(ends.shape(), ends.shape()[0] / 2);
  Inputs in{Tensor::uninitialized(shape), Tensor::uninitialized(shape)};
  if (!fp32) in.grid = std::abs(double{range.min}) + std::abs(double{range.max});
  const std::int64_t size = shape.size(), cols = shape[-1];
  const Operand both = encoded(ends);
  const auto value = [&](const Operand& x, std::int64_t k) { return x.value(k / cols, k % cols); };
  parallel_for(size, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k)
      in.centre[k] = static_cast<float>(0.5 * (value(both, k) + value(both, size + k)));
  });
  const Operand centre = encoded(in.centre);
  const double share = rounding_of(terms), decoding = 4 * kU * in.grid;
  parallel_for(size, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      const double c = value(centre, k);
      const double r = std::max({value(both, size + k) - c, c - value(both, k), 0.0});
      in.radius[k] = round_up(r + share * (std::abs(c) + r) + decoding);
    }
  });
  for (const float r : in.radius.values()) in.largest = std::max(in.largest, double{r});
  if (!encodings.fp32) {
    for (float& r : in.radius.values()) r = round_up(double{r} + kLift * in.largest);
    in.largest *= 1 + 2 * kLift;
  }
  return in;
}

/// What the codes of a layer's weights stand for, [out, terms], and the largest magnitude by
/// output.
struct Weights {
  std::vector<double> values, largest;
  std::int64_t terms = 0;
};

Weights weights_of(const Pass& pass, const Encodings& encodings, const Tensor& w) {
  const std::int64_t out = w.shape()[0], terms = w.size() / out;
  const Operand rows({w.data(), out, terms, terms, 1}, encodings.weight, Granularity::per_row,
                     pass.key, {.simd = pass.simd, .simulate = pass.plan.simulate});
  Weights result{.values = {}, .largest = {}, .terms = terms};
  for (std::int64_t o = 0; o < out; ++o) {
    double largest = 0;
    for (std::int64_t k = 0; k < terms; ++k) {
      result.values.push_back(rows.value(o, k));
      largest = std::max(largest, std::abs(result.values.back()));
    }
    result.largest.push_back(largest);
  }
  return result;
}

/// What does not grow with the sum: of sums of codes, whose scaling rounds in double, and of
/// numbers below the smallest normal ones.
double absolute_rounding(const Encodings& encodings, const Inputs& in, std::int64_t terms,
                         double largest_weight) {
  const double of_codes = encodings.fp32 ? 0 : 0x1p-45 * (in.grid + in.largest) * largest_weight;
  return static_cast<double>(terms + 2) * (of_codes + 0x1p-148);
}

template <class Affine>
Var bound_affine(Pass& pass, const Affine& layer, Var bounds) {
  const Affine carrier = radius_layer(layer);
  const Tensor& w = pass.params[layer.weight];
  const std::int64_t out = w.shape()[0], terms = w.size() / out;
  const Encodings encodings =
      encodings_at(pass, layer.site, carrier.site, layer.input_range, terms);
  Inputs in = inputs_of(pass, encodings, layer.input_range, pass.tape[bounds], terms);
  const Weights weights = weights_of(pass, encodings, w);
  std::vector<double> absolute;
  Tensor magnitudes = Tensor::uninitialized(w.shape());
  for (std::int64_t o = 0; o < out; ++o) {
    const double largest = weights.largest[static_cast<std::size_t>(o)];
    absolute.push_back(absolute_rounding(encodings, in, terms, largest * (1 + 2 * kLift)));
    const double lift = encodings.fp32 ? 0 : kLift * largest;
    for (std::int64_t k = o * terms; k < (o + 1) * terms; ++k)
      magnitudes[k] = round_up(std::abs(weights.values[static_cast<std::size_t>(k)]) + lift);
  }

  encode_upwards(pass, carrier.site);
  const Var centre = layer(pass, pass.tape.constant(std::move(in.centre)));
  const Var radius = carrier.with(pass, pass.tape.constant(std::move(in.radius)),
                                  pass.tape.constant(std::move(magnitudes)));
  const Tensor &c = pass.tape[centre], &r = pass.tape[radius];
  Tensor ends = Tensor::uninitialized(with_rows(c.shape(), 2 * c.shape()[0]));
  parallel_for(c.size(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      const double middle = double{c[k]}, half = double{r[k]};
      const double reach =
          half + 4 * kU * (std::abs(middle) + half) + absolute[static_cast<std::size_t>(k % out)];
      ends[k] = round_down(middle - reach);
      ends[c.size() + k] = round_up(middle + reach);
    }
  });
  return pass.tape.constant(std::move(ends));
}

}  // namespace

Var bound_outward(Pass& pass, const Conv2d& layer, Var bounds) {
  return bound_affine(pass, layer, bounds);
}
Var bound_outward(Pass& pass, const Linear& layer, Var bounds) {
  return bound_affine(pass, layer, bounds);
}

// The function of a channel is monotonic in its rounded form too: the ends of its values are the
// values of the ends, the other way round where the weight is negative.
Var bound_outward(Pass& pass, const BatchNorm& layer, Var bounds) {
  Tensor ends = pass.tape[layer(pass, bounds)];
  const Tensor& weight = pass.params[layer.weight];
  const std::int64_t half = ends.size() / 2, channels = weight.size();
  for (std::int64_t k = 0; k < half; ++k) {
    if (weight[k % channels] < 0) std::swap(ends[k], ends[half + k]);
  }
  return pass.tape.constant(std::move(ends));
}

Var worst_logits_outward(Pass& pass, const Linear& last, Var bounds,
                         std::span<const std::int32_t> labels) {
  const Linear carrier = radius_layer(last);
  const Tensor& w = pass.params[last.weight];
  const std::int64_t classes = w.shape()[0], terms = w.shape()[1];
  const Encodings encodings = encodings_at(pass, last.site, carrier.site, last.input_range, terms);
  Inputs in = inputs_of(pass, encodings, last.input_range, pass.tape[bounds], terms);
  const Weights weights = weights_of(pass, encodings, w);
  const auto row = [&](std::int64_t j) { return weights.values.data() + j * terms; };
  const auto largest = [&](std::int64_t j) { return weights.largest[static_cast<std::size_t>(j)]; };
  std::vector<double> sums;  // of the magnitudes behind a logit, per unit of input, and its bias
  for (std::int64_t j = 0; j < classes; ++j) {
    double sum = 0;
    for (std::int64_t k = 0; k < terms; ++k) sum += std::abs(row(j)[k]);
    sums.push_back(sum);
  }
  const auto bias = [&](std::int64_t j) {
    return last.bias.index < 0 ? 0.0 : std::abs(double{pass.params[last.bias][j]});
  };
  std::vector<double> inputs;  // the largest magnitude of an example's inputs
  for (std::int64_t i = 0; i < in.centre.shape()[0]; ++i) {
    double most = in.grid * 4 * kU;
    for (std::int64_t k = i * terms; k < (i + 1) * terms; ++k)
      most = std::max(most, std::abs(double{in.centre[k]}) + 2 * double{in.radius[k]});
    inputs.push_back(most);
  }

  encode_upwards(pass, carrier.site);
  const Tensor radii = in.radius;
  const Var centre = last(pass, pass.tape.constant(in.centre));
  const Tensor& z = pass.tape[centre];
  Tensor worst = Tensor::uninitialized(z.shape());
  for_each_label(labels, [&](std::int32_t y, std::int64_t first, std::int64_t end) {
    Tensor apart = Tensor::uninitialized(w.shape());
    for (std::int64_t j = 0; j < classes; ++j) {
      const double lift = encodings.fp32 ? 0 : kLift * (largest(j) + largest(y));
      for (std::int64_t k = 0; k < terms; ++k)
        apart[j * terms + k] = round_up(std::abs(row(j)[k] - row(y)[k]) + lift);
    }
    const auto part = radii.values().subspan(static_cast<std::size_t>(first * terms),
                                             static_cast<std::size_t>((end - first) * terms));
    const Var radius =
        carrier.with(pass, pass.tape.constant(Tensor::from({end - first, terms}, part)),
                     pass.tape.constant(std::move(apart)));
    const Tensor& r = pass.tape[radius];
    for (std::int64_t i = first; i < end; ++i) {
      for (std::int64_t j = 0; j < classes; ++j) {
        const double own = z[i * classes + j], of_label = z[i * classes + y],
                     half = r[(i - first) * classes + j],
                     magnitude =
                         inputs[static_cast<std::size_t>(i)] * (sums[static_cast<std::size_t>(j)] +
                                                                sums[static_cast<std::size_t>(y)]) +
                         bias(j) + bias(y) + std::abs(own) + std::abs(of_label) + half;
        const double rounding =
            (rounding_of(terms) + 8 * kU) * magnitude +
            2 * absolute_rounding(encodings, in, terms, largest(j) + largest(y));
        worst[i * classes + j] = j == y ? 0.0f : round_up(own - of_label + half + rounding);
      }
    }
  });
  return pass.tape.constant(std::move(worst));
}

}  // namespace ebb
