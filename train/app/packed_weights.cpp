#include "train/app/packed_weights.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/math.h"
#include "layers/observer.h"
#include "layers/pass.h"
#include "quant/formats/packed.h"
#include "train/app/tables.h"
#include "train/packed_file.h"

namespace ebb::cli {

using namespace ebb::train;

namespace {

/// The places in the store of what products take as weights and the plan encodes.
std::vector<std::size_t> weights_of(const Task& task, const RunState& state,
                                    const PrecisionPlan& plan) {
  std::vector<std::size_t> places;
  Observer observer;
  observer.encoded = [&](const EncodedMatrix& seen) {
    for (std::size_t i = 0; i < state.params.size(); ++i) {
      const Tensor& value = state.params.entries()[i].value;
      const bool is = seen.role == Role::weight && seen.x.data == value.data() &&
                      seen.x.rows * seen.x.cols == value.size();
      if (is && std::ranges::find(places, i) == places.end()) places.push_back(i);
    }
  };
  CostLedger uncounted;
  Pass pass{.params = state.params,
            .plan = plan,
            .ledger = uncounted,
            .key = Key(0),
            .mode = Pass::Mode::evaluate,
            .observer = &observer,
            .gradients = false};
  task.example(pass, 0);
  return places;
}

double sqnr_db(std::span<const float> x, std::span<const float> decoded) {
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = static_cast<double>(x[i]), error = static_cast<double>(decoded[i]) - value;
    signal += value * value;
    noise += error * error;
  }
  return noise > 0 ? 10 * (math::log(signal) - math::log(noise)) / math::log(10.0)
                   : std::numeric_limits<double>::infinity();
}

}  // namespace

PackedWeights pack_weights(const Task& task, const RunState& state, PrecisionPlan plan,
                           Format format) {
  // Only the weights matter: whatever an example's activations are, nothing is wrong with them.
  plan.multiplier = nullptr;
  plan.base.activation.format = Format::fp32();
  for (PrecisionPlan::Rule& rule : plan.rules) rule.numerics.activation.format = Format::fp32();
  const std::vector<std::size_t> weights = weights_of(task, state, plan);
  const GridStyle grid = plan.base.weight.grid;
  PackedWeights result;
  for (std::size_t i = 0; i < state.params.size(); ++i) {
    const ParamStore::Entry& entry = state.params.entries()[i];
    if (std::ranges::find(weights, i) == weights.end()) {
      result.file.tensors.push_back(StoredTensor::of(entry.name, entry.value));
      ++result.others;
      continue;
    }
    const std::int64_t rows = entry.shape[0], cols = entry.value.size() / rows;
    const PackedMatrix packed = pack({entry.value.data(), rows, cols, cols, 1}, format, grid);
    const std::size_t before = result.file.tensors.size();
    add_packed(result.file, entry.name, entry.shape, packed);
    std::int64_t bytes = 0;
    for (const StoredTensor& stored : std::span(result.file.tensors).subspan(before))
      bytes += stored.dtype == DType::i64 ? 0 : std::ssize(stored.bytes);
    result.rows.push_back({.name = entry.name,
                           .rows = rows,
                           .cols = cols,
                           .bytes = bytes,
                           .sqnr_db = sqnr_db(entry.value.values(), unpack(packed))});
  }
  finish_packed(result.file, format, grid);
  return result;
}

std::string to_table(const PackedWeights& packed) {
  std::string text = format_row({"weight", "rows", "columns", "bytes", "sqnr_db"});
  for (const PackedWeights::Row& row : packed.rows)
    text += format_row({row.name, to_text(row.rows), to_text(row.cols), to_text(row.bytes),
                        format_fixed(row.sqnr_db, 2)});
  return text;
}

}  // namespace ebb::cli
