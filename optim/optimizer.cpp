#include "optim/optimizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "quant/formats/codec.h"

namespace ebb {
namespace {

bool draws(const OptimizerRule& rule) {
  return rule.draws || std::ranges::any_of(rule.slots, [](const Slot& slot) {
           return slot.rounding == Rounding::stochastic;
         });
}

/// Rounds elements of a slot to its format; element i of the parameter draws from `key` at i.
void round_slot(const Slot& slot, Key key, const Update& update, float* values) {
  if (slot.format.is_fp32()) return;
  for (std::int64_t j = 0; j < update.size; ++j)
    values[j] = round_to(slot.format, values[j], slot.rounding, key,
                         update.first + static_cast<std::uint64_t>(j));
}

/// Moves one parameter, with all threads; false if anything overflowed.
bool move(const Optimizer& optimizer, std::span<float* const> slots, const Tensor& gradient,
          Tensor& parameter, double rate, Key key) {
  std::vector<Key> slot_keys;
  for (const Slot& slot : optimizer.rule->slots) slot_keys.push_back(key.fold(slot.name));
  std::atomic<bool> finite = true;
  parallel_for(parameter.size(), [&](std::int64_t first, std::int64_t last) {
    std::vector<float*> here;
    for (float* const slot : slots) here.push_back(slot + first);
    const Update update{.t = optimizer.steps,
                        .rate = rate,
                        .key = key,
                        .first = static_cast<std::uint64_t>(first),
                        .size = last - first,
                        .g = gradient.data() + first,
                        .w = parameter.data() + first,
                        .slots = here};
    const OptimizerRule& rule = *optimizer.rule;
    if (!rule.step(optimizer.hyperparameters, update))
      return finite.store(false, std::memory_order_relaxed);
    for (std::size_t s = 0; s < here.size(); ++s)
      round_slot(rule.slots[s], slot_keys[s], update, here[s]);
  });
  return finite;
}

void check_step(const Optimizer& optimizer, const ParamStore& params, const Gradients& gradients,
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
  for (const double rate : rates) {
    require<ConfigError>(rate >= 0 && std::isfinite(rate),
                         "[step] expected a learning rate of 0 and more, and finite, got ", rate);
  }
  check_hyperparameters(optimizer.rule->name, optimizer.rule->hyperparameters,
                        optimizer.hyperparameters);
}

}  // namespace

Optimizer::Optimizer() : Optimizer(find_optimizer("sgd")) {}

Optimizer::Optimizer(const OptimizerRule& row, const NamedNumbers& given)
    : rule(&row),
      hyperparameters(complete_hyperparameters(row.name, row.hyperparameters, given)),
      slots(row.slots.size()) {
  for (const Slot& slot : row.slots)
    require<ConfigError>(slot.format.is_fp32() || has_codec(slot.format), "[", row.name,
                         "] expected the slot '", slot.name,
                         "' to be of fp32 or a format with a codec, got ", slot.format,
                         ", whose grid would change with every step");
}

void Optimizer::step(ParamStore& params, const Gradients& gradients, double rate,
                     std::optional<Key> key) {
  step(params, gradients, std::vector<double>(params.size(), rate), key);
}

void Optimizer::step(ParamStore& params, const Gradients& gradients, std::span<const double> rates,
                     std::optional<Key> key) {
  check_step(*this, params, gradients, rates);
  require<ConfigError>(!draws(*rule) || key, "[", rule->name,
                       "] draws at random: give step() a key of this iteration");
  for (std::vector<Tensor>& slot : slots) slot.resize(params.size());
  if (rule->counts_steps) ++steps;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].size() == 0) continue;
    Tensor& parameter = params[ParamId{static_cast<std::int32_t>(i)}];
    std::vector<float*> state;
    for (std::vector<Tensor>& slot : slots) {
      if (slot[i].shape() != parameter.shape()) slot[i] = Tensor::zeros(parameter.shape());
      state.push_back(slot[i].data());
    }
    const std::string& name = params.entries()[i].name;
    require<NonFiniteError>(
        move(*this, state, gradients[i], parameter, rates[i], key.value_or(Key(0)).fold(name)),
        "[step] the update of '", name,
        "' overflowed: its values or the optimizer's means of its gradients are infinite or NaN "
        "now; a smaller learning rate or clipped gradients may help. Go on from what was saved "
        "before");
  }
}

Optimizer::State Optimizer::save(const ParamStore& params) const {
  State state{.tensors = {}, .steps = steps};
  for (std::size_t s = 0; s < slots.size(); ++s) {
    for (std::size_t i = 0; i < slots[s].size(); ++i) {
      if (slots[s][i].size() > 0)
        state.tensors.push_back(
            {concat(rule->slots[s].name, '/', params.entries()[i].name), slots[s][i]});
    }
  }
  return state;
}

void Optimizer::restore(const ParamStore& params, State state) {
  std::vector<std::vector<Tensor>> restored(rule->slots.size(), std::vector<Tensor>(params.size()));
  for (NamedTensor& tensor : state.tensors) {
    const std::size_t slash = std::min(tensor.name.find('/'), tensor.name.size() - 1);
    const auto slot =
        std::ranges::find(rule->slots, std::string_view(tensor.name).substr(0, slash), &Slot::name);
    const std::optional<ParamId> id = params.find(tensor.name.substr(slash + 1));
    require<DataError>(
        slot != rule->slots.end() && id && params[*id].shape() == tensor.value.shape(),
        "[optimizer] the stored state '", tensor.name, "' ", tensor.value.shape(),
        " belongs to another optimizer or model");
    restored[static_cast<std::size_t>(slot - rule->slots.begin())]
            [static_cast<std::size_t>(id->index)] = std::move(tensor.value);
  }
  slots = std::move(restored);
  steps = rule->counts_steps ? state.steps : 0;
}

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const OptimizerRule* const rule : optimizer_rules()) names.emplace_back(rule->name);
  return names;
}

const OptimizerRule& find_optimizer(std::string_view name) {
  for (const OptimizerRule* const rule : optimizer_rules()) {
    if (rule->name == name) return *rule;
  }
  throw ConfigError(concat("[optimizer] ", unknown_word("optimizer", name, optimizer_names())));
}

Optimizer make_optimizer(std::string_view name, const NamedNumbers& hyperparameters) {
  return Optimizer(find_optimizer(name), hyperparameters);
}

}  // namespace ebb
