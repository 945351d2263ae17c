#include "layers/effects.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/math.h"
#include "core/sums.h"

namespace ebb {
namespace {

constexpr float kRangeMomentum = 0.9f;

double log10_ratio(double a, double b) { return (math::log(a) - math::log(b)) / math::log(10.0); }

/// Moves a running range [minimum, width, updates].
void move(Tensor& state, const Range& now) {
  const float width = now.max - now.min;
  const bool first = state[2] == 0.0f;
  const float old_share = kRangeMomentum, new_share = 1.0f - kRangeMomentum;
  state[0] = first ? now.min : old_share * state[0] + new_share * now.min;
  state[1] = first ? width : old_share * state[1] + new_share * width;
  state[2] = std::min(state[2] + 1.0f, 16777216.0f);  // a float counts no further
}

void move(Tensor& state, const Effects::Average& average) {
  for (std::size_t i = 0; i < average.now.size(); ++i) {
    float& value = state[static_cast<std::int64_t>(i)];
    value = static_cast<float>((1.0 - average.momentum) * double{value} +
                               average.momentum * average.now[i]);
  }
}

}  // namespace

OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role) {
  OperandQuality quality{site.name,
                         role,
                         operand.format(),
                         x.rows * x.cols,
                         0,
                         0,
                         std::numeric_limits<double>::infinity(),
                         operand.granularity()};
  const FormatTraits& traits = traits_of(operand.format());
  std::int64_t ends = 0, zeros = 0;
  std::vector<double> signal(static_cast<std::size_t>(x.rows)), noise(signal.size());
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const double value = x(i, j), kept = operand.value(i, j), error = value - kept;
      const Grid& grid = operand.grid(operand.granularity() == Granularity::per_column ? j : i);
      const double scale = grid.scale;
      if (has_codec(operand.format())) {
        const float highest = grid.scale * static_cast<float>(traits.max(operand.format()));
        ends += std::abs(static_cast<float>(kept)) >= highest ? 1 : 0;
        zeros += kept == 0 ? 1 : 0;
      } else {
        const double lowest = scale * grid.low() + static_cast<double>(grid.offset),
                     highest = lowest + scale * (grid.high() - grid.low());
        ends += kept <= lowest + 0.5 * scale || kept >= highest - 0.5 * scale ? 1 : 0;
        zeros += kept >= -0.5 * scale && kept < 0.5 * scale ? 1 : 0;
      }
      signal[static_cast<std::size_t>(i)] += value * value;
      noise[static_cast<std::size_t>(i)] += error * error;
    }
  }
  const double count = static_cast<double>(std::max<std::int64_t>(1, quality.elements));
  quality.at_ends = static_cast<double>(ends) / count;
  quality.zeros = static_cast<double>(zeros) / count;
  const double lost = tree_sum(noise);
  if (lost > 0) quality.sqnr_db = 10.0 * log10_ratio(tree_sum(signal), lost);
  return quality;
}

void Effects::add_range(ParamId state, const Range& range) {
  const auto of_layer = std::ranges::find(ranges, state, &InputRange::state);
  if (of_layer == ranges.end()) {
    ranges.push_back({state, range});
    return;
  }
  Range& all = of_layer->range;
  all = {std::min(all.min, range.min), std::max(all.max, range.max)};
}

void Effects::apply_to(ParamStore& params) const {
  for (const InputRange& input : ranges) move(params[input.state], input.range);
  for (const Average& average : averages) move(params[average.state], average);
  for (const Value& value : values) params[value.state] = value.value;
}

ParamId add_running_range(ParamStore& params, const Site& site) {
  return params.add(site.name + ".input_range", Tensor::zeros({3}), ParamStore::Kind::state);
}

}  // namespace ebb
