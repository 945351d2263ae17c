#pragma once

#include <vector>

#include "optim/optimizer.h"
#include "schedules/controller.h"
#include "train/options/options.h"

namespace ebb::train {

/// The options that switch controllers on, and tell them their hyperparameters, by
/// controller_rules().
std::vector<OptionSpec> controller_options();

/// The controllers that the options switch on.
std::vector<Controller> controllers_of(const Options& options);

/// The optimizer of --optimizer, with those of its hyperparameters that are options: "weight_decay"
/// is --weight-decay.
Optimizer optimizer_of(const Options& options);

}  // namespace ebb::train
