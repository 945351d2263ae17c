#pragma once

#include <string>

#include "layers/probe.h"
#include "train/options/options.h"

namespace ebb::train {

/// Read --probe and --probe-accumulators. @throws ConfigError for what is no list of them
std::vector<Format> parse_probe_formats(const std::string& list);
std::vector<Accumulator> parse_probe_accumulators(const std::string& list);

/// What the options ask of the steps that they probe.
/// @throws ConfigError for a format that the run's grids do not have
Probe probe_of(const Options& options);

}  // namespace ebb::train
