#pragma once

#include <string>

#include "tools/report/comparison.h"
#include "tools/report/table.h"

namespace ebb::report {

/// "+0.42", "−0.42": a difference in the unit of a score.
std::string signed_text(double value, const Unit& unit);
/// A score in its unit, with its suffix.
std::string score_text(double value, const Unit& unit);

/// The table of the page: a row a configuration, each followed by its runs and their commands.
std::string comparison_table(const Comparison& comparison);

/// A row a run: options in which they differ, scores, cost, time.
Table table_of_runs(const Collection& collection);
/// A row an update, a row an evaluation.
Table table_of_steps(const Collection& collection);
Table table_of_evaluations(const Collection& collection);

}  // namespace ebb::report
