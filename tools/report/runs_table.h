#pragma once

#include <string>

#include "tools/report/comparison.h"
#include "tools/report/table.h"

namespace ebb::report {

/// "+0.42", "−0.42": a difference in the unit of a score.
std::string signed_text(double value, const Unit& unit);
/// A score in its unit, with its suffix.
std::string score_text(double value, const Unit& unit);

/// The table of the page: one row per configuration, each followed by its runs and their commands.
std::string comparison_table(const Comparison& comparison);

/// One row per run: options in which they differ, scores, cost, time.
Table table_of_runs(const Collection& collection);
/// One row per update; one row per evaluation.
Table table_of_steps(const Collection& collection);
Table table_of_evaluations(const Collection& collection);

}  // namespace ebb::report
