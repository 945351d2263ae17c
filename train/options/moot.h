#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "train/options/options.h"

/// When options mean nothing beside the others: the rules that the tables of options name, see
/// Moot.
namespace ebb::train {

/// Refuses an option that was given, unless the reason is empty.
/// @throws ConfigError "[command line] --NAME means nothing REASON; leave it out"
void refuse_given(const Options& options, std::string_view name, std::string_view reason);

/// "" if the text of an option is one of these, or the program has no such option; else "with
/// --OPTION TEXT; it is of --OPTION A".
std::string unless(const Options& options, std::string_view option,
                   std::initializer_list<std::string_view> texts);

std::string moot_without_schedule_of_bits(
    const Options& options);                              ///< of named schedules, static or cyclic
std::string moot_without_cycles(const Options& options);  ///< of cyclic schedules alone
std::string moot_without_momentum(const Options& options);
std::string moot_on_whole_graphs(const Options& options);

}  // namespace ebb::train
