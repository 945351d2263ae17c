#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/study/ask.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"
#include "tools/study/sweep.h"

namespace ebb::study {

/// How much runs at a time.
struct Workers {
  int jobs = 1, threads = 1;
};
/// Processors that this process may use.
int processors();
/// As told; else every processor has one thread of one run, or of few runs each has several.
/// @throws ConfigError if that are more threads than processors, and not both were told
Workers workers(const SweepOptions& options, std::size_t runs, int processors);

/// The part of a study that this process begins with.
struct Shard {
  std::int64_t index = 1, of = 1;
};
/// Reads "2/3"; "" is all. @throws ConfigError for another text
Shard parse_shard(const std::string& text);
/// Every n-th run from the shard's first on, then those of the shards after it.
std::vector<std::size_t> order_of(const Shard& shard, std::size_t runs);

/// What --dry-run says of a run.
struct Expected {
  std::string run{};
  bool finished = false;
  Answer answer{};
  std::optional<double> seconds{};  ///< that it took, or will take
};
/// What --dry-run says.
struct Forecast {
  std::vector<Expected> runs{};
  int jobs = 1;
};
/// Times are those of the finished runs that have most options in common with the run, in
/// proportion to the multiplications: emulated products take their time whatever their width.
Forecast forecast(const Study& study, const Expansion& expansion,
                  const std::vector<Answer>& answers, int jobs);
std::string to_table(const Forecast& forecast);
std::string to_json(const Forecast& forecast);

}  // namespace ebb::study
