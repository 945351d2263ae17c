#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "schedules/length.h"
#include "train/knobs.h"
#include "train/options/options.h"

namespace ebb::train {

/// What --set says, one KNOB=EXPR per line. @throws ConfigError for a line that is none, or a knob
/// that is set twice
std::vector<std::pair<std::string, std::string>> knob_texts(const std::string& set);

/// Gives knobs that are other spellings of options (weight-bits, gradient-bits, ...) to these.
/// @throws ConfigError where both are given
void spell_out_knobs(Options& options);

/// The knobs of a run: those of --set and, where it has controllers, --lr-schedule.
/// @param evaluates whether anything is scored during training
/// @throws ConfigError for a knob that there is not, with the nearest; for expressions that do not
/// fit the run or, without controllers, have a value that the setting cannot have, and controllers
/// that nobody tells what they watch
std::vector<Knob> knobs_of(const Options& options, const Totals& totals, const Optimizer& optimizer,
                           bool evaluates, std::span<const TaskSetting> settings = {});

/// Has every controller of phases be in that of --phase, if it is given, from this update on.
/// @throws ConfigError for a phase that one of them does not have, or if there are none
void set_phases(const Options& options, std::vector<Knob>& knobs, std::int64_t updates);

}  // namespace ebb::train
