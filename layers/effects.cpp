#include "layers/effects.h"

#include <algorithm>

namespace ebb {
namespace {

constexpr float kRangeMomentum = 0.9f;

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
