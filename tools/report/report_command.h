#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "train/app/inspect.h"

namespace ebb::report {

struct ReportOptions {
  std::vector<std::string> directories;
  std::string out;              ///< .html, of a figure .svg or .csv
  std::string title = {};       ///< "": that of the study
  std::string figure = {};      ///< "": the page
  std::string baseline = {};    ///< "schedule=static max-bits=8"; "": as the study says
  std::string cost_model = {};  ///< see CostModel::parse; "": as the first run says
  bool watch = false;           ///< write again whenever a run changed, until a signal comes
};

/// Writes the page of some runs, or one figure of it. What could not be read is in the page, and
/// goes to `warnings`.
/// @throws ConfigError for options that are wrong; DataError if there is no run, `out` cannot be
/// written, or, once everything else is written, if a directory could not be read
void report(const ReportOptions& options, std::ostream& out, std::ostream& warnings);

struct ExportOptions {
  std::vector<std::string> directories;
  bool steps = false, evaluations = false;  ///< one row for each; else one row per run
  std::string cost_model = {};              ///< as of a report
  bool csv = false;                         ///< with commas instead of tabs
};
/// Writes what runs recorded as one table with a header. @throws as `report`
void export_runs(const ExportOptions& options, std::ostream& out, std::ostream& warnings);

/// Writes one table of several runs for reading, options in which they differ first; as JSON what
/// `inspect` says of each. Costs are as read_runs has them.
/// @throws as `report`
void inspect_runs(const std::vector<std::string>& directories, const train::CostChoice& choice,
                  bool json, std::ostream& out, std::ostream& warnings);

}  // namespace ebb::report
