#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "core/error.h"
#include "core/text.h"
#include "schedules/cpt.h"
#include "tools/command_line.h"
#include "tools/option_checks.h"
#include "tools/schedule_calculators.h"
#include "tools/schedule_command.h"
#include "tools/schedule_plot.h"

namespace ebb::tools {
namespace {

CLI::Option* add_iterations(CLI::App& command, std::int64_t& iterations) {
  return command.add_option("--iterations", iterations, "Optimizer updates of the run")
      ->check(integer_check, "");
}

void add_bound(CLI::App& parent, std::ostream& out) {
  const auto options = std::make_shared<BoundOptions>();
  CLI::App* const command = parent.add_subcommand(
      "bound", "The last-iterate bound of a schedule of step sizes on convex problems");
  command->add_option("--expr", options->expression, "The schedule")->required();
  add_iterations(*command, options->iterations)->required();
  command->add_option("--distance", options->distance, "D, from the first iterate to the optimum")
      ->capture_default_str();
  CLI::Option* const norm =
      command->add_option("--norm", options->norm, "G, the norm of every gradient [1]");
  command
      ->add_option(
          "--norms", options->norms,
          "Norms of the gradients: a file with one per line, or a run whose schedule records "
          "them")
      ->excludes(norm);
  command->add_option("--gamma", options->gamma, "Factor of the steps [gamma_star, the best]");
  command->add_flag("--path", options->path, "The bound after every update, at one gamma");
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, &out] { print_bound(*options, out); });
}

void add_transfer(CLI::App& parent, std::ostream& out) {
  const auto options = std::make_shared<TransferOptions>();
  CLI::App* const command = parent.add_subcommand(
      "transfer", "The factor of the learning rate that another schedule or length asks for");
  command->add_option("--from", options->from, "The schedule whose learning rate is known");
  command->add_option("--to", options->to, "The schedule that takes its place");
  add_iterations(*command, options->iterations)->required();
  command->add_option("--to-iterations", options->to_iterations, "Updates of the other [as many]")
      ->check(integer_check, "");
  CLI::Option* const cooldown =
      command
          ->add_option("--cooldown", options->cooldown,
                       "Without --from and --to: the linear decay at the end of a plateau that "
                       "goes on for --to-iterations at its rate")
          ->capture_default_str();
  command->callback([options, cooldown, command, &out] {
    refuse_without_effect(*command, "--cooldown", !options->from.empty() && cooldown->count() > 0,
                          "beside --from, whose schedule says how it decays");
    print_transfer(*options, out);
  });
}

void add_refine(CLI::App& parent, std::ostream& out, std::ostream& warnings) {
  const auto options = std::make_shared<RefineOptions>();
  CLI::App* const command = parent.add_subcommand(
      "refine", "The schedule that recorded gradient norms ask for, as table(...)");
  command
      ->add_option("SOURCE", options->source,
                   "a run whose schedule has record(...), or a file of one norm per line")
      ->required();
  command
      ->add_option("--power", options->power,
                   "Weights are norms to minus this: 2 for SGD by 2-norms, 1 for Adam by 1-norms")
      ->capture_default_str()
      ->check(integer_check, "");
  command->add_option("--window", options->window, "Share of the run that the running median spans")
      ->capture_default_str();
  command->add_flag("--extend", options->extend,
                    "Repeat the last norm once, so that the last rate is not 0");
  command->add_option("--points", options->points, "Entries of the table [one per update]")
      ->check(integer_check, "");
  command->callback([options, &out, &warnings] { print_refined(*options, out, warnings); });
}

void add_plot(CLI::App& parent, std::ostream& out, std::ostream& warnings) {
  const auto options = std::make_shared<PlotOptions>();
  CLI::App* const command =
      parent.add_subcommand("plot", "Draw schedules, in the terminal or as SVG");
  command->add_option("EXPR", options->expressions, "expressions")->required();
  add_iterations(*command, options->iterations)->capture_default_str();
  command->add_option("-o,--out", options->out, "FILE.svg [the terminal]");
  command->add_option("--group", options->group, "The part of group{...} to draw [*]");
  command->callback([options, &out, &warnings] { plot_schedules(*options, out, warnings); });
}

}  // namespace

void add_schedule_command(CLI::App& app, std::ostream& out, std::ostream& warnings) {
  const auto options = std::make_shared<ScheduleOptions>();
  CLI::App* const command = app.add_subcommand(
      "schedule", "Print a schedule as TSV, one row per iteration, or its summary");
  CLI::Option* const name =
      command->add_option("--name", options->name,
                          "A precision schedule: " + join_words(precision_schedule_names(), " "));
  CLI::Option* const expression = command->add_option(
      "--expr", options->expression, "An expression; its grammar is in docs/SCHEDULES.md");
  name->excludes(expression);
  CLI::Option* const iterations =
      command->add_option("--iterations", options->iterations, "Optimizer updates of the run")
          ->check(integer_check, "");
  command->require_subcommand(0, 1);
  add_bound(*command, out);
  add_transfer(*command, out);
  add_refine(*command, out, warnings);
  add_plot(*command, out, warnings);
  const auto cyclic = [&](CLI::Option* option) {
    option->capture_default_str()->excludes(expression);
  };
  cyclic(command->add_option("--cycles", options->cycles, "Cycles of a named schedule")
             ->check(integer_check, ""));
  cyclic(command->add_option("--min-bits", options->min_bits, "Lowest width of a named schedule")
             ->check(integer_check, ""));
  cyclic(command->add_option("--period", options->period,
                             "Length of a cycle: floor+1 or floor of iterations / cycles"));
  CLI::Option* const max_bits =
      command
          ->add_option("--max-bits", options->max_bits,
                       "Highest width of a named schedule. With --expr: treat its values as bits, "
                       "and warn if they never reach this width")
          ->capture_default_str()
          ->check(integer_check, "");
  command->add_option("--gradient-bits", options->gradient_bits,
                      "Width of gradients in the cost, or fp32 [8]");
  command->add_option("--group", options->group,
                      "Which part of group{...} to print; * for the part that covers all others");
  command->add_option(
      "--cost-reference", options->cost_reference,
      "Widths of weights, activations and gradients that costs are compared with [8/8/8]");
  command->add_flag("--summary", options->summary,
                    "Print only mean_value and, if the values are bits of both weights and "
                    "activations, cost_reference, relative costs and savings");
  command->callback([command, options, iterations, max_bits, &out, &warnings] {
    if (!command->get_subcommands().empty()) return;
    require<ConfigError>(iterations->count() > 0, "[command line] --iterations is required");
    const bool constant = options->name == "static" || options->name == "fp32";
    for (const char* each : {"--cycles", "--min-bits", "--period"})
      refuse_without_effect(*command, each, constant,
                            concat("with --name ", options->name, ", which has no cycles"));
    refuse_without_effect(*command, "--max-bits", options->name == "fp32",
                          "with --name fp32, which has no bits to choose");
    for (const char* each : {"--gradient-bits", "--cost-reference"})
      refuse_without_effect(*command, each, !options->summary,
                            "without --summary, which alone shows costs");
    options->max_bits_given = max_bits->count() > 0;
    print_schedule(*options, out, warnings);
  });
}

}  // namespace ebb::tools
