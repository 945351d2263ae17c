#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "core/process.h"
#include "core/text.h"
#include "tools/command_line.h"

namespace {

// What scripts rely on.
constexpr int kDone = 0, kFailed = 1, kWrongCommandLine = 2;

/// What is wrong with a command line: the first word that nobody knows, with the nearest known one,
/// or else what CLI11 says.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  std::vector<std::string> unknown = app.remaining(true);
  std::erase(unknown, "--");
  if (unknown.empty())
    return ebb::concat("[command line] ", error.what(), "; --help lists all options");
  const std::string word = unknown[0].substr(0, unknown[0].find('='));
  const CLI::App* chosen = &app;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands()[0];
  const bool option = word.starts_with('-');
  if (!option && chosen != &app)
    return ebb::concat("[command line] unexpected argument '", word, "'; --help lists all options");
  std::vector<std::string> known;
  if (option) {
    for (const CLI::Option* each : chosen->get_options()) {
      if (!each->get_lnames().empty()) known.push_back("--" + each->get_lnames()[0]);
    }
  } else {
    for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; }))
      known.push_back(each->get_name());
  }
  return ebb::concat("[command line] ",
                     ebb::unknown_word(option ? "option" : "command", word, known));
}

int run(int argc, char** argv) {
  CLI::App app("Ebb: deep learning in emulated low-precision arithmetic", "ebb");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", ebb::concat("ebb ", EBB_VERSION));
  ebb::tools::add_schedule_command(app, std::cout, std::cerr);
  ebb::tools::add_quantize_command(app, std::cin, std::cout);
  ebb::tools::add_formats_command(app, std::cout);
  ebb::tools::add_gemm_command(app, std::cout);
  ebb::tools::add_inspect_command(app, std::cout, std::cerr);
  ebb::tools::add_report_command(app, std::cout, std::cerr);
  ebb::tools::add_export_command(app, std::cout, std::cerr);
  ebb::tools::add_ngram_command(app, std::cout);
  ebb::tools::add_ap_command(app, std::cout);
  ebb::tools::add_predict_command(app);
  ebb::tools::add_evaluate_command(app);
  ebb::tools::add_import_command(app);
  ebb::tools::add_dump_command(app);
  int exit_code = kDone;
  ebb::tools::add_range_command(app, std::cout, std::cerr, exit_code);
  ebb::tools::add_sweep_command(app, std::cout, std::cerr, exit_code);
  ebb::tools::add_reproduce_command(app, std::cout, std::cerr, exit_code);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::cout << app.help() << std::flush;
    return exit_code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    throw ebb::ConfigError(complaint(app, error));
  }
}

}  // namespace

int main(int argc, char** argv) {
  ebb::reserve_standard_streams();
  ebb::explain_lack_of_memory();
  const auto fail = [](const std::exception& error, int code) {
    std::cerr << "ebb: " << ebb::printable(error.what(), ebb::LineFeeds::kept) << '\n';
    return code;
  };
  try {
    return run(argc, argv);
  } catch (const ebb::ConfigError& error) {
    return fail(error, kWrongCommandLine);
  } catch (const std::exception& error) {
    return fail(error, kFailed);
  }
}
