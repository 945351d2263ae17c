#pragma once

#include <string>
#include <vector>

#include "layers/probe.h"
#include "train/options/options.h"

namespace ebb::train {

/// Reads a list of formats, where "4" is int4. @throws ConfigError for what is no operand's, or is
/// named twice
std::vector<Format> parse_formats(const std::string& list);
/// Read --probe and --probe-accumulators. @throws ConfigError for what is no list of them
std::vector<Format> parse_probe_formats(const std::string& list);
std::vector<Accumulator> parse_probe_accumulators(const std::string& list);

/// What the options ask of the steps that they probe.
/// @throws ConfigError for a format that the run's grids do not have
Probe probe_of(const Options& options);

}  // namespace ebb::train
