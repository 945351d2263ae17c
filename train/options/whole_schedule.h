#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schedules/bound.h"
#include "train/options/options.h"

namespace ebb::train {

/// The row of an option that decides what a batch is, and so what an update costs.
OptionSpec whole_schedule_option(std::string name, std::string help, Conflict conflict);

/// The schedule of an option that decides what a batch is and so what an update costs: whole
/// numbers from low to high, known for every update before the run.
/// @throws ConfigError naming the option for an expression with a controller, one that is not whole
/// by construction, or one with a value out of range, with the first update that has one
Bound whole_schedule(const Options& options, std::string_view option, std::int64_t steps_per_epoch,
                     std::int64_t low, std::int64_t high, std::string_view expected);

}  // namespace ebb::train
