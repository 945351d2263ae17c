#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "tools/study/study.h"
#include "train/options/options.h"

namespace ebb::study {

/// One run of a study.
struct Run {
  std::string name{};              ///< of its directory below the study's
  std::vector<Setting> options{};  ///< the common ones and its own
  std::string fingerprint{};       ///< see below
  std::string origin{};            ///< where the study says it: "[grid]", "[[runs]] in line 12"
};

/// What a study comes to.
struct Expansion {
  std::vector<Run> runs{};
  std::vector<std::string> varied{};  ///< options in which the runs differ
};

/// More runs than these are a mistake of typing, unless somebody insists.
inline constexpr std::int64_t kMostRuns = 10'000;

/// Every combination of the grid that is not left out, then the single runs. The order is that of
/// the file, its first option turning slowest.
/// @throws ConfigError with the place for an option that a study cannot set, a value that it cannot
/// have, two runs with the same results, and more than kMostRuns runs unless `many`
Expansion expand(const Study& study, bool many);

/// SHA-256 over the program and the options that shape results, whatever their order and spelling.
/// Two runs of one fingerprint have the same results.
std::string fingerprint(const train::Options& known, std::string_view program,
                        const KeyValues& options);

/// Whether the option is part of what a run computes; --simd, say, is not.
bool shapes_results(const train::Options& known, std::string_view option);
/// The one spelling of a value: 1e-3 is 0.001.
std::string spelling(const std::string& text);

/// The name of a program without its folder, as runs record it.
std::string program_name(std::string_view program);

KeyValues texts(const std::vector<Setting>& settings);
/// As words of a command line.
std::vector<std::string> words(const std::vector<Setting>& settings);

}  // namespace ebb::study
