#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "optim/optimizer.h"
#include "schedules/controller.h"
#include "train/loss_scale.h"
#include "train/options/options.h"

namespace ebb::train {

/// The options that switch controllers on, and tell them their hyperparameters, by
/// controller_rules().
std::vector<OptionSpec> controller_options();

/// The controllers that the options switch on.
std::vector<Controller> controllers_of(const Options& options);

/// Reads "bf16", which goes to every role of `others` that is not float32, or
/// "weights=e4m3,moments=bf16". @throws ConfigError for an unknown role, or one given twice
StateFormats parse_state_formats(std::string_view text, StateFormats others);

/// That of --loss-scale, if it is given.
std::optional<LossScale> loss_scale_of(const Options& options);

/// The optimizer of --optimizer, with those of its hyperparameters that are options: "weight_decay"
/// is --weight-decay.
Optimizer optimizer_of(const Options& options);

}  // namespace ebb::train
