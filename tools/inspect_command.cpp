#include "tools/inspect_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "core/error.h"
#include "train/inspect.h"

namespace ebb::tools {

void add_inspect_command(CLI::App& app, std::ostream& out) {
  struct Settings {
    std::string run;
    bool json = false;
  };
  const auto settings = std::make_shared<Settings>();
  CLI::App* command = app.add_subcommand("inspect", "Show accuracy, cost and time of a run, and where its bit-operations went");
  command->add_option("RUN", settings->run, "run directory")->required();
  command->add_flag("--json", settings->json, "one JSON object");
  command->callback([settings, &out] {
    const train::Inspection inspection = train::inspect(settings->run);
    out << (settings->json ? train::to_json(inspection) : train::to_table(inspection)) << std::flush;
    require<DataError>(out.good(), "[inspect] standard output cannot be written");
  });
}

}  // namespace ebb::tools
