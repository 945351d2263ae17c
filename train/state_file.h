#pragma once

#include <map>
#include <string>

#include "core/tensor.h"
#include "train/loop.h"

namespace ebb::train {

/// What a loop of one's own keeps besides a RunState, such as its running means.
using ExtraState = std::map<std::string, Tensor>;

/// Writes all that a training needs to go on bit for bit: parameters, layer state, the optimizer's
/// state, both ledgers, the iteration and what the caller adds. The file takes the place of an
/// older one when it is whole, so a crash leaves one or the other.
/// @throws DataError if it cannot be written; NonFiniteError for parameters with an infinity or a
/// NaN. The older file stays then
void save_state(const std::string& path, const RunState& state, const ExtraState& extra = {});

/// Puts back what save_state() wrote into a state whose network and optimizer are made as they were
/// then, and returns the caller's own. @throws DataError for a damaged file, or one of another
/// network or optimizer; the state is unchanged then
ExtraState load_state(const std::string& path, RunState& state);

}  // namespace ebb::train
