#pragma once

#include "schedules/bound.h"
#include "train/loop.h"

namespace ebb::train {

/// The task with updates of so many batches each: delayed updates, whose gradients are those of one
/// batch as large as all of them. Update t takes the multiplier's value there of consecutive
/// batches, from the one on that the updates before it left off at. So batches stay a pure function
/// of the iteration, and costs are known before the run. Source: Ott et al., "Scaling neural
/// machine translation", 2018.
/// @throws ConfigError for a multiplier with more different parts than schedules can have
Task multiply_batches(Task task, const Bound& multiplier);

}  // namespace ebb::train
