#include "optim/optimizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"

namespace ebb {
namespace {

/// The slot of a parameter, made of zeros on first use.
float* slot(Slots& slots, std::size_t i, const Shape& shape) {
  if (slots[i].shape() != shape) slots[i] = Tensor::zeros(shape);
  return slots[i].data();
}

/// 1 for infinities and NaNs, else 0. A number, so that loops which gather it with | go in vectors.
std::uint32_t bad(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) == 0x7f800000u ? 1 : 0;
}

/// Calls move(first, last) on ranges that cover 0 .. n, from all threads; true if all wrote finite
/// numbers only.
template <class Move>
bool all_finite(std::int64_t n, const Move& move) {
  std::atomic<bool> finite = true;
  parallel_for(n, [&](std::int64_t first, std::int64_t last) {
    if (!move(first, last)) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

/// What an SGD step does to every element of a parameter.
struct SgdMove {
  float momentum, decay, step;

  /// By value: numbers that a written float might alias would be read anew for each element.
  static bool run(SgdMove c, std::int64_t n, const float* g, float* w, float* v) {
    std::uint32_t overflow = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      v[j] = c.momentum * v[j] + (g[j] + c.decay * w[j]);
      w[j] -= c.step * v[j];
      overflow |= bad(v[j]) | bad(w[j]);
    }
    return overflow == 0;
  }
};

bool move_sgd(Sgd& sgd, std::size_t i, Tensor& parameter, const Tensor& gradient, double rate) {
  const SgdMove move{.momentum = static_cast<float>(sgd.config.momentum),
                     .decay = static_cast<float>(sgd.config.weight_decay),
                     .step = static_cast<float>(rate)};
  const float* const g = gradient.data();
  float *const w = parameter.data(), *const v = slot(sgd.velocity, i, parameter.shape());
  return all_finite(parameter.size(), [=](std::int64_t first, std::int64_t last) {
    return SgdMove::run(move, last - first, g + first, w + first, v + first);
  });
}

/// What an Adam step does to every element of a parameter.
struct AdamUpdate {
  float beta1, beta2, one_minus_beta1, one_minus_beta2, coupled, shrink, step, root_correction,
      epsilon;

  static bool run(AdamUpdate c, std::int64_t n, const float* g, float* w, float* m, float* v) {
    std::uint32_t overflow = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      const float d = g[j] + c.coupled * w[j];
      m[j] = c.beta1 * m[j] + c.one_minus_beta1 * d;
      v[j] = c.beta2 * v[j] + c.one_minus_beta2 * d * d;
      w[j] = c.shrink * w[j] - c.step * (m[j] / (std::sqrt(v[j]) / c.root_correction + c.epsilon));
      overflow |= bad(v[j]) | bad(w[j]);  // m is a mean of what v squares
    }
    return overflow == 0;
  }
};

bool move_adam(Adam& adam, std::size_t i, Tensor& parameter, const Tensor& gradient, double rate) {
  const Adam::Config& c = adam.config;
  const auto t = static_cast<std::int64_t>(adam.steps);
  const AdamUpdate move{
      .beta1 = static_cast<float>(c.beta1),
      .beta2 = static_cast<float>(c.beta2),
      .one_minus_beta1 = static_cast<float>(1.0 - c.beta1),
      .one_minus_beta2 = static_cast<float>(1.0 - c.beta2),
      .coupled = static_cast<float>(c.decoupled ? 0.0 : c.weight_decay),
      .shrink = static_cast<float>(c.decoupled ? 1.0 - rate * c.weight_decay : 1.0),
      .step = static_cast<float>(rate / (1.0 - math::pow(c.beta1, t))),
      .root_correction = static_cast<float>(std::sqrt(1.0 - math::pow(c.beta2, t))),
      .epsilon = static_cast<float>(c.epsilon)};
  const float* const g = gradient.data();
  float *const w = parameter.data(), *const m = slot(adam.first, i, parameter.shape()),
               *const v = slot(adam.second, i, parameter.shape());
  return all_finite(parameter.size(), [=](std::int64_t first, std::int64_t last) {
    return AdamUpdate::run(move, last - first, g + first, w + first, m + first, v + first);
  });
}

void require_share(std::string_view what, double value) {
  require<ConfigError>(value >= 0 && value < 1, "[optimizer] expected 0 <= ", what, " < 1, got ",
                       value);
}
void require_amount(std::string_view what, double value) {
  require<ConfigError>(value >= 0 && std::isfinite(value), "[optimizer] expected ", what,
                       " >= 0 and finite, got ", value);
}
void require_valid(const Sgd::Config& c) {
  require_share("momentum", c.momentum);
  require_amount("weight decay", c.weight_decay);
}
void require_valid(const Adam::Config& c) {
  require_share("beta1", c.beta1);
  require_share("beta2", c.beta2);
  require<ConfigError>(c.epsilon > 0 && std::isfinite(c.epsilon),
                       "[optimizer] expected epsilon > 0 and finite, got ", c.epsilon);
  require_amount("weight decay", c.weight_decay);
}

/// The state's slots with the prefix of their names in a checkpoint.
struct NamedSlots {
  std::string_view name;
  Slots* slots;
};
std::vector<NamedSlots> named_slots(std::variant<Sgd, Adam>& kind) {
  if (Sgd* const sgd = std::get_if<Sgd>(&kind)) return {{"velocity", &sgd->velocity}};
  Adam& adam = std::get<Adam>(kind);
  return {{"first", &adam.first}, {"second", &adam.second}};
}

}  // namespace

void Optimizer::step(ParamStore& params, const Gradients& gradients, double rate) {
  step(params, gradients, std::vector<double>(params.size(), rate));
}

void Optimizer::step(ParamStore& params, const Gradients& gradients,
                     std::span<const double> rates) {
  require<ShapeError>(rates.size() == params.size(), "[step] ", rates.size(),
                      " rates for a store of ", params.size());
  require<ShapeError>(gradients.size() == params.size(), "[step] gradients of ", gradients.size(),
                      " parameters for a store of ", params.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const ParamStore::Entry& entry = params.entries()[i];
    require<ShapeError>(gradients[i].size() == 0 || gradients[i].shape() == entry.value.shape(),
                        "[step] gradient ", gradients[i].shape(), " for ", entry.name, " ",
                        entry.value.shape());
  }
  for (const double rate : rates) require_amount("a learning rate", rate);
  std::visit([](const auto& optimizer) { require_valid(optimizer.config); }, kind);
  for (const NamedSlots& named : named_slots(kind)) named.slots->resize(params.size());
  if (Adam* const adam = std::get_if<Adam>(&kind)) ++adam->steps;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].size() == 0) continue;
    Tensor& parameter = params[ParamId{static_cast<std::int32_t>(i)}];
    Sgd* const sgd = std::get_if<Sgd>(&kind);
    const bool finite = sgd != nullptr
                            ? move_sgd(*sgd, i, parameter, gradients[i], rates[i])
                            : move_adam(std::get<Adam>(kind), i, parameter, gradients[i], rates[i]);
    require<NonFiniteError>(
        finite, "[step] the update of '", params.entries()[i].name,
        "' overflowed: its values or the optimizer's means of its gradients are infinite or NaN "
        "now; a smaller "
        "learning rate or clipped gradients may help. Go on from what was saved before");
  }
}

Optimizer::State Optimizer::save(const ParamStore& params) const {
  State state;
  std::variant<Sgd, Adam> copy = kind;
  for (const NamedSlots& named : named_slots(copy)) {
    for (std::size_t i = 0; i < named.slots->size(); ++i) {
      if ((*named.slots)[i].size() > 0)
        state.tensors.push_back(
            {concat(named.name, '/', params.entries()[i].name), (*named.slots)[i]});
    }
  }
  if (const Adam* const adam = std::get_if<Adam>(&kind)) state.steps = adam->steps;
  return state;
}

void Optimizer::restore(const ParamStore& params, State state) {
  std::variant<Sgd, Adam> restored = kind;
  const std::vector<NamedSlots> all = named_slots(restored);
  for (const NamedSlots& named : all) named.slots->assign(params.size(), Tensor{});
  for (NamedTensor& tensor : state.tensors) {
    const std::size_t slash = std::min(tensor.name.find('/'), tensor.name.size() - 1);
    const auto named = std::find_if(all.begin(), all.end(), [&](const NamedSlots& n) {
      return n.name == tensor.name.substr(0, slash);
    });
    const std::optional<ParamId> id = params.find(tensor.name.substr(slash + 1));
    require<DataError>(named != all.end() && id && params[*id].shape() == tensor.value.shape(),
                       "[optimizer] the stored state '", tensor.name, "' ", tensor.value.shape(),
                       " belongs to another optimizer or model");
    (*named->slots)[static_cast<std::size_t>(id->index)] = std::move(tensor.value);
  }
  if (Adam* const adam = std::get_if<Adam>(&restored)) adam->steps = state.steps;
  kind = std::move(restored);
}

const std::vector<std::string>& optimizer_names() {
  static const std::vector<std::string> names{"sgd", "adam", "adamw"};
  return names;
}

Optimizer make_optimizer(std::string_view name, const OptimizerConfig& c) {
  const OptimizerConfig usual;
  const auto require_unused = [&](std::string_view what, double value, double default_value) {
    require<ConfigError>(value == default_value, "[optimizer] ", name, " has no ", what, ", got ",
                         value, ": leave it out");
  };
  if (name == "sgd") {
    require_unused("beta1", c.beta1, usual.beta1);
    require_unused("beta2", c.beta2, usual.beta2);
    require_unused("epsilon", c.epsilon, usual.epsilon);
    Sgd sgd{.config = {.momentum = c.momentum, .weight_decay = c.weight_decay}, .velocity = {}};
    require_valid(sgd.config);
    return {std::move(sgd)};
  }
  if (name == "adam" || name == "adamw") {
    require_unused("momentum", c.momentum, usual.momentum);
    Adam adam;
    adam.config = {c.beta1, c.beta2, c.epsilon, c.weight_decay, name == "adamw"};
    require_valid(adam.config);
    return {std::move(adam)};
  }
  throw ConfigError(concat("[optimizer] ", unknown_word("optimizer", name, optimizer_names())));
}

}  // namespace ebb
