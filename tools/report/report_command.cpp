#include "tools/report/report_command.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <ostream>
#include <thread>

#include "core/error.h"
#include "core/printable.h"
#include "tools/report/figures.h"
#include "tools/report/page.h"
#include "tools/report/runs_table.h"
#include "train/app/stop_signals.h"
#include "train/app/tables.h"
#include "train/files.h"

namespace ebb::report {
namespace {

namespace fs = std::filesystem;

KeyValues parse_baseline(const std::string& text) {
  KeyValues options;
  for (const std::string& word : split_at(text, ' ')) {
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    require<ConfigError>(equals != std::string::npos && equals > 0,
                         "[report] --baseline: expected options such as 'schedule=static "
                         "max-bits=8', got '",
                         text, "'");
    options.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return options;
}

void tell_failures(const std::vector<Failure>& failures, std::ostream& warnings) {
  for (const Failure& failure : failures)
    warnings << "ebb: " << printable(failure.name) << ": "
             << printable(failure.message, LineFeeds::kept) << '\n';
}

void throw_if_unreadable(const std::vector<Failure>& failures) {
  const auto count = std::ranges::count_if(failures, &Failure::unreadable);
  require<DataError>(count == 0, "[report] ", count, count == 1 ? " directory" : " directories",
                     " could not be read; the others are shown");
}

std::string drawn(const Comparison& comparison, const std::string& name, bool csv) {
  const auto kinds = figure_kinds();
  const auto kind =
      std::ranges::find_if(kinds, [&](const auto& each) { return name == each.name; });
  const std::vector<Figure> figures = kind->draw(comparison);
  require<DataError>(!figures.empty(), "[report] the runs have no data for the figure ", name,
                     kind->needs[0] == '\0' ? "" : concat("; they need ", kind->needs));
  require<ConfigError>(figures.size() == 1, "[report] the runs are scored by ",
                       join_words(comparison.measures()),
                       ", which make a figure each; give runs of one of them");
  const Figure& figure = figures[0];
  if (!csv) return to_svg_file(figure);
  return to_lines(figure.all_values ? figure.all_values() : figure.values, ',');
}

void check(const ReportOptions& options) {
  const auto kinds = figure_kinds();
  const bool known = std::ranges::any_of(
      kinds, [&](const FigureKind& kind) { return options.figure == kind.name; });
  std::vector<std::string> names;
  for (const FigureKind& kind : kinds) names.emplace_back(kind.name);
  require<ConfigError>(options.figure.empty() || known,
                       "[report] --figure: ", unknown_word("figure", options.figure, names));
  const bool page = options.figure.empty();
  const bool fits = page ? options.out.ends_with(".html")
                         : options.out.ends_with(".svg") || options.out.ends_with(".csv");
  require<ConfigError>(fits, "[report] -o: expected a name that ends in ",
                       page ? ".html" : ".svg or .csv", ", got '", options.out, "'");
}

train::CostChoice costs_in(const std::string& model) {
  if (model.empty()) return {};
  return {.model = CostModel::parse(model)};
}

std::vector<Failure> write_once(const ReportOptions& options) {
  std::optional<KeyValues> baseline;
  if (!options.baseline.empty()) baseline = parse_baseline(options.baseline);
  const Comparison comparison = compare(
      read_runs(options.directories, costs_in(options.cost_model)), options.title, baseline);
  require<ConfigError>(!baseline || comparison.baseline, "[report] --baseline: no run has '",
                       options.baseline, "'");
  train::write_file(options.out, options.figure.empty() ? to_page(comparison)
                                                        : drawn(comparison, options.figure,
                                                                options.out.ends_with(".csv")));
  return comparison.collection.failures;
}

/// What changes when a run writes: names, sizes and times of all files.
std::string state_of(const std::vector<std::string>& directories) {
  std::string state;
  std::error_code ignored;
  try {
    for (const std::string& directory : directories) {
      for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        const auto time = entry.last_write_time(ignored).time_since_epoch().count();
        const std::uintmax_t size = entry.is_regular_file(ignored) ? entry.file_size(ignored) : 0;
        state += concat(entry.path().string(), ' ', static_cast<std::int64_t>(time), ' ',
                        static_cast<std::uint64_t>(size), '\n');
      }
    }
  } catch (const fs::filesystem_error&) {
    state += "and what went away meanwhile";  // a run replaces its files while it is read
  }
  return state;
}

/// Writes again whenever something changed. A run that cannot be read now may be readable next
/// time.
void watch(const ReportOptions& options, std::ostream& out, std::ostream& warnings) {
  using namespace std::chrono_literals;
  const cli::StopSignals signals;
  const volatile std::sig_atomic_t* const stop = cli::StopSignals::requested();
  std::string before, told;
  while (*stop == 0) {
    const std::string now = state_of(options.directories);
    if (now != before) {
      before = now;
      try {
        write_once(options);
        out << options.out << " written\n" << std::flush;
        told.clear();
      } catch (const DataError& error) {
        if (told != error.what()) warnings << "ebb: " << printable(error.what()) << '\n';
        told = error.what();
      }
    }
    for (int i = 0; i < 20 && *stop == 0; ++i) std::this_thread::sleep_for(100ms);
  }
}

void write_text(const std::string& text, std::ostream& out) {
  out << text << std::flush;
  require<DataError>(out.good(), "[report] standard output cannot be written");
}

std::string for_reading(const Table& table) {
  std::vector<std::vector<std::string>> rows{table.heading};
  for (const std::vector<Cell>& row : table.rows) {
    rows.emplace_back();
    for (const Cell& cell : row) rows.back().push_back(cell.text);
  }
  return train::format_table(std::move(rows));
}

}  // namespace

void report(const ReportOptions& options, std::ostream& out, std::ostream& warnings) {
  check(options);
  if (options.watch) return watch(options, out, warnings);
  const std::vector<Failure> failures = write_once(options);
  out << options.out << '\n' << std::flush;
  tell_failures(failures, warnings);
  throw_if_unreadable(failures);
}

void export_runs(const ExportOptions& options, std::ostream& out, std::ostream& warnings) {
  require<ConfigError>(!options.steps || !options.evaluations,
                       "[export] expected one of --steps and --evals");
  const Collection collection = read_runs(options.directories, costs_in(options.cost_model));
  const Table table = options.steps         ? table_of_steps(collection)
                      : options.evaluations ? table_of_evaluations(collection)
                                            : table_of_runs(collection);
  write_text(to_lines(table, options.csv ? ',' : '\t'), out);
  tell_failures(collection.failures, warnings);
  throw_if_unreadable(collection.failures);
}

void inspect_runs(const std::vector<std::string>& directories, const train::CostChoice& choice,
                  bool json, std::ostream& out, std::ostream& warnings) {
  const Collection collection = read_runs(directories, choice);
  if (json) {
    std::vector<std::string> objects;
    for (const Run& run : collection.runs) {
      objects.push_back(train::to_json(run.record));
      while (objects.back().ends_with('\n')) objects.back().pop_back();
    }
    write_text(concat("[\n", join_words(objects, ",\n"), "\n]\n"), out);
  } else {
    write_text(for_reading(table_of_runs(collection)), out);
  }
  tell_failures(collection.failures, warnings);
  throw_if_unreadable(collection.failures);
}

}  // namespace ebb::report
