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

/// Elements whose slots are decoded, moved and encoded while they are in cache.
constexpr std::int64_t kPiece = 1024;

bool draws(const OptimizerRule& rule) {
  return rule.draws || rule.weight_rounding == Rounding::stochastic ||
         std::ranges::any_of(
             rule.slots, [](const Slot& slot) { return slot.rounding == Rounding::stochastic; });
}

/// One parameter in one step.
struct Move {
  const Optimizer& optimizer;
  std::span<StateTensor* const> slots;
  const Tensor& gradient;
  Tensor& parameter;
  double rate;
  Key key;
  float* intended;  ///< null unless it is measured
};

/// Rounds weights that the rule leaves as they come, which follow `first`.
void round_weights(const Move& move, std::int64_t first, std::int64_t n) {
  const OptimizerRule& rule = *move.optimizer.rule;
  if (rule.weight_rounding == Rounding::nearest_even) return;
  float* const w = move.parameter.data() + first;
  StateTensor numbers(Shape{n}, move.optimizer.formats.weight);
  numbers.write_at(first, 0, n, w, rule.weight_rounding, move.key.fold("weight"),
                   move.optimizer.simd);
  numbers.read(0, n, w);
}

/// Moves elements that follow each other; `buffer` has kPiece numbers for each slot. False if
/// anything overflowed.
bool move_piece(const Move& move, std::span<const Key> slot_keys, std::int64_t first,
                std::int64_t n, std::vector<float>& buffer) {
  const Optimizer& optimizer = move.optimizer;
  const OptimizerRule& rule = *optimizer.rule;
  std::vector<float*> here(move.slots.size());
  for (std::size_t s = 0; s < move.slots.size(); ++s) {
    float* const floats = move.slots[s]->floats();
    here[s] =
        floats != nullptr ? floats + first : buffer.data() + static_cast<std::int64_t>(s) * kPiece;
    if (floats == nullptr) move.slots[s]->read(first, n, here[s]);
  }
  const Update update{.t = optimizer.steps,
                      .rate = move.rate,
                      .key = move.key,
                      .first = static_cast<std::uint64_t>(first),
                      .size = n,
                      .g = move.gradient.data() + first,
                      .w = move.parameter.data() + first,
                      .slots = here,
                      .formats = optimizer.formats,
                      .simd = optimizer.simd,
                      .intended = move.intended == nullptr ? nullptr : move.intended + first};
  if (!rule.step(optimizer.hyperparameters, update)) return false;
  round_weights(move, first, n);
  for (std::size_t s = 0; s < move.slots.size(); ++s) {
    if (!move.slots[s]->format().is_fp32())
      move.slots[s]->write(first, n, here[s], rule.slots[s].rounding, slot_keys[s], optimizer.simd);
  }
  return true;
}

/// Moves one parameter, with all threads; false if anything overflowed.
bool run(const Move& move) {
  std::vector<Key> slot_keys;
  for (const Slot& slot : move.optimizer.rule->slots) slot_keys.push_back(move.key.fold(slot.name));
  std::atomic<bool> finite = true;
  const auto pieces = [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(move.slots.size() * static_cast<std::size_t>(kPiece));
    for (std::int64_t first = begin; first < end; first += kPiece) {
      if (!move_piece(move, slot_keys, first, std::min(kPiece, end - first), buffer))
        return finite.store(false, std::memory_order_relaxed);
    }
  };
  parallel_for(move.parameter.size(), pieces, kParallelGrain, kPiece);
  return finite;
}

/// Looks at one parameter before and after its update: at its master where it has one.
class Measure {
 public:
  Measure(const Optimizer& optimizer, const Tensor& parameter, std::size_t i, bool wanted)
      : optimizer_(optimizer) {
    if (!wanted) return;
    const auto find = [&](auto is) -> const StateTensor* {
      const auto slot = std::ranges::find_if(optimizer.rule->slots, is);
      return slot == optimizer.rule->slots.end()
                 ? nullptr
                 : &optimizer
                        .slots[static_cast<std::size_t>(slot - optimizer.rule->slots.begin())][i];
    };
    master_ = find([](const Slot& slot) { return slot.role == StateRole::master; });
    residual_ = find([](const Slot& slot) { return slot.name == kWeightResidual; });
    before_ = master_ != nullptr ? master_->tensor() : parameter;
    if (residual_ != nullptr) residual_before_ = residual_->tensor();
    intended_ = Tensor::zeros(parameter.shape());
  }

  [[nodiscard]] float* intended() {
    return intended_.size() > 0 && optimizer_.rule->tells_update ? intended_.data() : nullptr;
  }
  [[nodiscard]] UpdateQuality result(const std::string& name, const Tensor& parameter) {
    const Tensor after = master_ != nullptr ? master_->tensor() : parameter,
                 residual = residual_ != nullptr ? residual_->tensor() : Tensor();
    if (!optimizer_.rule->tells_update) {
      for (std::int64_t j = 0; j < after.size(); ++j) intended_[j] = after[j] - before_[j];
    }
    return measure_update(name, {.intended = intended_.values(),
                                 .before = before_.values(),
                                 .after = after.values(),
                                 .residual_before = residual_before_.values(),
                                 .residual_after = residual.values()});
  }

 private:
  const Optimizer& optimizer_;
  const StateTensor *master_ = nullptr, *residual_ = nullptr;
  Tensor before_, residual_before_, intended_;
};

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

Optimizer::Optimizer(const OptimizerRule& row, const NamedNumbers& given,
                     const std::optional<StateFormats>& chosen)
    : rule(&row),
      hyperparameters(complete_hyperparameters(row.name, row.hyperparameters, given)),
      slots(row.slots.size()),
      formats(chosen.value_or(row.formats)) {
  require<ConfigError>(formats == row.formats || row.formats != StateFormats{}, "[", row.name,
                       "] keeps everything in float32; formats can be chosen for optimizers in "
                       "low precision, such as collage-plus");
  for (const Slot& slot : row.slots)
    require<ConfigError>(format_of(slot).is_fp32() || has_codec(format_of(slot)), "[", row.name,
                         "] expected the slot '", slot.name,
                         "' to be of fp32 or a format with a codec, got ", format_of(slot),
                         ", whose grid would change with every step");
  static_cast<void>(warnings());
}

Format Optimizer::format_of(const Slot& slot) const {
  return slot.role ? formats.of(*slot.role) : slot.format;
}

std::vector<std::string> Optimizer::warnings() const {
  return rule->check == nullptr ? std::vector<std::string>()
                                : rule->check(hyperparameters, formats);
}

std::vector<std::pair<StateRole, double>> Optimizer::bytes_per_parameter() const {
  const auto bytes = [](Format format) { return format.width / 8.0; };
  std::vector<std::pair<StateRole, double>> roles{{StateRole::weight, bytes(formats.weight)},
                                                  {StateRole::gradient, bytes(formats.gradient)},
                                                  {StateRole::moment, 0},
                                                  {StateRole::residual, 0},
                                                  {StateRole::master, 0}};
  for (const Slot& slot : rule->slots) {
    const StateRole role = slot.role.value_or(StateRole::moment);
    roles[static_cast<std::size_t>(role)].second += bytes(format_of(slot));
  }
  return roles;
}

void Optimizer::begin(ParamStore& params) {
  if (rule->formats == StateFormats{}) return;
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (params.entries()[i].kind == ParamStore::Kind::parameter) prepare(params, i);
  }
}

void Optimizer::prepare(ParamStore& params, std::size_t i) {
  Tensor& parameter = params[ParamId{static_cast<std::int32_t>(i)}];
  bool fresh = false;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    slots[s].resize(params.size());
    StateTensor& slot = slots[s][i];
    if (slot.size() > 0 && slot.shape() == parameter.shape()) continue;
    fresh = true;
    slot = StateTensor(parameter.shape(), format_of(rule->slots[s]));
    if (rule->slots[s].role == StateRole::master) slot.assign(parameter);
  }
  if (!fresh || formats.weight.is_fp32()) return;
  StateTensor rounded(parameter.shape(), formats.weight);
  rounded.assign(parameter);
  parameter = rounded.tensor();
}

void Optimizer::step(ParamStore& params, const Gradients& gradients, double rate,
                     std::optional<Key> key) {
  step(params, gradients, std::vector<double>(params.size(), rate), key);
}

void Optimizer::step(ParamStore& params, const Gradients& gradients, std::span<const double> rates,
                     std::optional<Key> key, std::vector<UpdateQuality>* quality) {
  check_step(*this, params, gradients, rates);
  require<ConfigError>(!draws(*rule) || key, "[", rule->name,
                       "] draws at random: give step() a key of this iteration");
  for (std::vector<StateTensor>& slot : slots) slot.resize(params.size());
  if (rule->counts_steps) ++steps;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].size() == 0) continue;
    prepare(params, i);
    Tensor& parameter = params[ParamId{static_cast<std::int32_t>(i)}];
    std::vector<StateTensor*> state;
    for (std::vector<StateTensor>& slot : slots) state.push_back(&slot[i]);
    const std::string& name = params.entries()[i].name;
    Measure measure(*this, parameter, i, quality != nullptr);
    require<NonFiniteError>(
        run({.optimizer = *this,
             .slots = state,
             .gradient = gradients[i],
             .parameter = parameter,
             .rate = rates[i],
             .key = key.value_or(Key(0)).fold(name),
             .intended = measure.intended()}),
        "[step] the update of '", name,
        "' overflowed: its values or the optimizer's means of its gradients are infinite or NaN "
        "now; a smaller learning rate or clipped gradients may help. Go on from what was saved "
        "before");
    if (quality != nullptr) quality->push_back(measure.result(name, parameter));
  }
}

Optimizer::State Optimizer::save(const ParamStore& params) const {
  State state{.tensors = {}, .steps = steps};
  for (std::size_t s = 0; s < slots.size(); ++s) {
    for (std::size_t i = 0; i < slots[s].size(); ++i) {
      if (slots[s][i].size() > 0)
        state.tensors.push_back(
            {concat(rule->slots[s].name, '/', params.entries()[i].name), slots[s][i].tensor()});
    }
  }
  return state;
}

void Optimizer::restore(const ParamStore& params, State state) {
  std::vector<std::vector<StateTensor>> restored(rule->slots.size(),
                                                 std::vector<StateTensor>(params.size()));
  for (NamedTensor& tensor : state.tensors) {
    const std::size_t slash = std::min(tensor.name.find('/'), tensor.name.size() - 1);
    const auto slot =
        std::ranges::find(rule->slots, std::string_view(tensor.name).substr(0, slash), &Slot::name);
    const std::optional<ParamId> id = params.find(tensor.name.substr(slash + 1));
    require<DataError>(
        slot != rule->slots.end() && id && params[*id].shape() == tensor.value.shape(),
        "[optimizer] the stored state '", tensor.name, "' ", tensor.value.shape(),
        " belongs to another optimizer or model");
    StateTensor& place = restored[static_cast<std::size_t>(slot - rule->slots.begin())]
                                 [static_cast<std::size_t>(id->index)];
    place = StateTensor(tensor.value.shape(), format_of(*slot));
    place.assign(tensor.value);
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
