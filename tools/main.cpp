#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "core/error.h"
#include "tools/inspect_command.h"
#include "tools/quantize_command.h"
#include "tools/schedule_command.h"

namespace {

// What scripts rely on.
constexpr int kDone = 0, kFailed = 1, kWrongCommandLine = 2;

int run(int argc, char** argv) {
  CLI::App app("Ebb: deep learning in emulated low-precision arithmetic", "ebb");
  app.require_subcommand(1);
  ebb::tools::add_schedule_command(app, std::cout, std::cerr);
  ebb::tools::add_quantize_command(app, std::cin, std::cout);
  ebb::tools::add_inspect_command(app, std::cout);
  try {
    app.parse(argc, argv);
    return kDone;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kWrongCommandLine;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const ebb::ConfigError& error) {
    std::cerr << "ebb: " << error.what() << '\n';
    return kWrongCommandLine;
  } catch (const std::exception& error) {
    std::cerr << "ebb: " << error.what() << '\n';
    return kFailed;
  }
}
