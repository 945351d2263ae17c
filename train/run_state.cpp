#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "train/loop.h"

namespace ebb::train {
namespace {

// What a checkpoint notes of an evaluation that was not done yet.
constexpr const char* kDue = "due";

// The knobs with what their controllers remember. One that the run lacked begins anew if knobs may
// differ.
std::vector<Knob> restored_knobs(const RunState& state, const Checkpoint& checkpoint) {
  std::vector<Knob> knobs = state.knobs;
  const std::vector<StoredTensor> stored = checkpoint.group("knob");
  for (Knob& knob : knobs) {
    if (knob.controllers.empty()) continue;
    const auto found = std::ranges::find(stored, knob.name, &StoredTensor::name);
    if (found != stored.end()) {
      knob.controllers =
          load_state(found->text(), knob.schedule, knob.bound.controllers(), knob.policy)
              .controllers;
    } else {
      require<DataError>(knob.policy == LoadPolicy::rebind, "[checkpoint] holds no state of --set ",
                         knob.name);
    }
  }
  return knobs;
}

// Only runs that searched have it.
CostLedger search_ledger_of(const SafeTensors& ledgers) {
  const auto found = std::ranges::find(ledgers.tensors, "search", &StoredTensor::name);
  return found == ledgers.tensors.end() ? CostLedger() : CostLedger::load(found->text());
}

}  // namespace

Checkpoint to_checkpoint(const RunState& state, std::string config) {
  for (const ParamStore::Entry& entry : state.params.entries()) {
    require<NonFiniteError>(std::isfinite(sum_of_squares(entry.value.values())), "[checkpoint] '",
                            entry.name,
                            "' holds an infinity or a NaN: nothing could go on from it");
  }
  Checkpoint checkpoint{.iteration = state.iteration, .config = std::move(config)};
  add_params(checkpoint, state.params);
  Optimizer::State optimizer = state.optimizer.save(state.params);
  for (const Optimizer::NamedTensor& slot : optimizer.tensors)
    checkpoint.add_group("optimizer", {StoredTensor::of(slot.name, slot.value)});
  checkpoint.add_group(
      "optimizer",
      {StoredTensor::of("steps", std::span<const std::uint64_t>(&optimizer.steps, 1))});
  checkpoint.add_group(
      "ledger", {StoredTensor::of("training", std::string_view(state.ledger.save())),
                 StoredTensor::of("evaluation", std::string_view(state.evaluation_ledger.save()))});
  for (const Controller& controller : state.controllers) {
    const std::vector<std::uint64_t> words = controller.save();
    checkpoint.add_group("controller", {StoredTensor::of(std::string(controller.rule->name),
                                                         std::span<const std::uint64_t>(words))});
  }
  if (state.loss_scale) {
    const std::vector<std::uint64_t> words = state.loss_scale->save();
    checkpoint.add_group("loss_scale",
                         {StoredTensor::of("state", std::span<const std::uint64_t>(words))});
  }
  if (state.search_ledger.total_bit_ops() != 0)
    checkpoint.add_group(
        "ledger", {StoredTensor::of("search", std::string_view(state.search_ledger.save()))});
  for (const Knob& knob : state.knobs) {
    if (knob.controllers.empty()) continue;
    const std::string text =
        save_state(knob.schedule, {.clock = state.iteration, .controllers = knob.controllers});
    checkpoint.add_group("knob", {StoredTensor::of(knob.name, std::string_view(text))});
  }
  if (state.evaluation_due) checkpoint.notes["evaluation"] = kDue;
  return checkpoint;
}

void restore(RunState& state, const Checkpoint& checkpoint) {
  Optimizer::State slots;
  for (const StoredTensor& stored : checkpoint.group("optimizer")) {
    if (stored.name != "steps") {
      slots.tensors.push_back({stored.name, stored.tensor()});
    } else {
      const std::vector<std::uint64_t> steps = stored.words();
      require<DataError>(steps.size() == 1,
                         "[checkpoint] expected one count of optimizer steps, got ", steps.size());
      slots.steps = steps[0];
    }
  }
  const SafeTensors ledgers{.metadata = {}, .tensors = checkpoint.group("ledger")};
  const CostLedger training = CostLedger::load(ledgers.at("training").text());
  const CostLedger evaluation = CostLedger::load(ledgers.at("evaluation").text());
  const SafeTensors stored{.metadata = {}, .tensors = checkpoint.group("controller")};
  std::vector<Controller> controllers = state.controllers;
  for (Controller& controller : controllers)
    controller.restore(stored.at(std::string(controller.rule->name)).words());
  std::optional<LossScale> loss_scale = state.loss_scale;
  if (loss_scale) {
    const SafeTensors scales{.metadata = {}, .tensors = checkpoint.group("loss_scale")};
    loss_scale->restore(scales.at("state").words());
  }
  std::vector<Knob> knobs = restored_knobs(state, checkpoint);
  const CostLedger search = search_ledger_of(ledgers);
  restore_params(checkpoint, state.params);
  state.loss_scale = loss_scale;
  state.optimizer.restore(state.params, std::move(slots));
  state.ledger = training;
  state.evaluation_ledger = evaluation;
  state.controllers = std::move(controllers);
  state.knobs = std::move(knobs);
  state.search_ledger = search;
  state.iteration = checkpoint.iteration;
  state.evaluation_due = checkpoint.note("evaluation") == kDue;
}

}  // namespace ebb::train
