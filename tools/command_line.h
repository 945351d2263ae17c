#pragma once

#include <iosfwd>

namespace CLI {
class App;
}

namespace ebb::tools {

// Each adds a subcommand, which runs while the command line is being parsed.

void add_schedule_command(CLI::App& app, std::ostream& out, std::ostream& warnings);
void add_quantize_command(CLI::App& app, std::istream& in, std::ostream& out);
/// `formats` lists the formats there are, with what their numbers reach.
void add_formats_command(CLI::App& app, std::ostream& out);
/// `gemm` does one product of two files; see multiply_files.
void add_gemm_command(CLI::App& app, std::ostream& out);
/// `inspect RUN` shows what a run directory tells: accuracy, cost, time, and where the
/// bit-operations went. Of several runs one table.
void add_inspect_command(CLI::App& app, std::ostream& out, std::ostream& warnings);
void add_report_command(CLI::App& app, std::ostream& out, std::ostream& warnings);
/// `export RUN...` prints a table of records; `export RUN --weights` becomes the program of the
/// run, which writes its weights.
void add_export_command(CLI::App& app, std::ostream& out, std::ostream& warnings);
/// `evaluate RUN` becomes the program of the run, which scores it in several formats.
void add_evaluate_command(CLI::App& app);
/// `ap` scores detections by average precision; see average_precisions.
void add_ap_command(CLI::App& app, std::ostream& out);
void add_ngram_command(CLI::App& app, std::ostream& out);
/// `predict RUN FILE...` becomes the program of the run, which scores the files.
void add_predict_command(CLI::App& app);
/// `import FILE` becomes a training program, which makes a run of the weights.
void add_import_command(CLI::App& app);
/// `dump RUN` becomes the program of the run, which writes golden vectors.
void add_dump_command(CLI::App& app);
/// `range-test` trains at rising widths; see range_test. What it comes to is the exit code.
void add_range_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code);
/// `sweep STUDY.toml` runs a study; see study::sweep. What it comes to is the exit code.
void add_sweep_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code);

/// `reproduce NAME` runs the study of a paper and judges its claims; see reproduce.
void add_reproduce_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code);

}  // namespace ebb::tools
