#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "train/options/options.h"

/// When options have no effect with the others: the rules that the tables of options name, see
/// Conflict.
namespace ebb::train {

/// Refuses an option that was given, unless the reason is empty.
/// @throws ConfigError "[command line] --NAME has no effect REASON; leave it out"
void refuse_given(const Options& options, std::string_view name, std::string_view reason);

/// "" if the text of an option is one of these, or the program has no such option; else "with
/// --OPTION TEXT, only with --OPTION A".
std::string only_with(const Options& options, std::string_view option,
                      std::initializer_list<std::string_view> texts);

std::string conflict_without_schedule_of_bits(
    const Options& options);                                  ///< of named schedules, also static
std::string conflict_without_cycles(const Options& options);  ///< of cyclic schedules alone
std::string conflict_with_gradients_in_bits(const Options& options);
std::string conflict_with_gradient_format(const Options& options);
std::string conflict_without_momentum(const Options& options);
/// The same of another hyperparameter of some optimizers.
std::string conflict_without_hyperparameter(const Options& options, std::string_view name);
std::string conflict_without_low_precision(const Options& options);
std::string conflict_on_whole_graphs(const Options& options);
std::string conflict_without_training(const Options& options);
std::string conflict_without_chosen_run(const Options& options);     ///< to score or to write with
std::string conflict_without_run_directory(const Options& options);  ///< also where none is trained

/// Whether a training leaves a run directory.
bool saves(const Options& options);

}  // namespace ebb::train
