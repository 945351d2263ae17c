#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/text.h"
#include "quant/formats/names.h"
#include "tools/command_line.h"
#include "tools/formats_command.h"
#include "tools/gemm_command.h"
#include "tools/option_checks.h"
#include "tools/quantize_command.h"

// The commands that look at numbers, and not at runs.
namespace ebb::tools {

std::string integer_check(const std::string& text) {
  std::int64_t value = 0;
  return parse_number(text, value) ? "" : concat("expected an integer, got '", text, "'");
}

void refuse_without_effect(const CLI::App& command, const std::string& option, bool without_effect,
                           const std::string& reason) {
  require<ConfigError>(!without_effect || command.get_option(option)->count() == 0,
                       "[command line] ", option, " has no effect ", reason, "; leave it out");
}

void add_quantize_command(CLI::App& app, std::istream& in, std::ostream& out) {
  const auto options = std::make_shared<QuantizeOptions>();
  CLI::App* const command =
      app.add_subcommand("quantize", "Encode numbers in a format; print codes and values as TSV");
  command->footer(
      "One number per line, decimal or C hexadecimal floating point, rounded to float32 first.\nAn "
      "integer format fits one grid to all numbers, a block format scales to its blocks; other "
      "formats\nencode them unscaled unless --scale is given.\nCodes of integer formats print as "
      "integers, others as bit patterns.");
  command->add_option("FILE", options->file,
                      "Numbers, one per line, or an array .npy of float32 [standard input]");
  command
      ->add_option("--format", options->format,
                   "A format as docs/FORMATS.md has it: int4, e4m3, posit8, 'e4m3(bias=11)'; ebb "
                   "formats lists them")
      ->required();
  command->add_option("--scale", options->scale,
                      "What numbers are divided by: none, absmax or pow2; grid, for integer "
                      "formats alone [grid for integers, a block format's own scale, else none]");
  command
      ->add_option(
          "--grid", options->grid,
          "affine: codes 0 .. 2^N-1 over min .. max; symmetric: about zero, scaled by max|x|")
      ->capture_default_str();
  command
      ->add_option("--rounding", options->rounding,
                   "nearest-even, nearest-away, toward-zero, away, up, down, odd, stochastic, or "
                   "srN with N random bits")
      ->capture_default_str();
  command->add_option("--overflow", options->overflow,
                      "What is too large: saturate, ieee (infinity) or nan [as the format has it]");
  command->add_option("--block-scale", options->block_scale,
                      "Rule of a scale that is a power of two: floor, ceil, even or rceil [as the "
                      "format has it]");
  command
      ->add_option("--per", options->per,
                   "What shares a scale or grid: tensor, or each row or column of an array")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of stochastic rounding")
      ->capture_default_str()
      ->check(integer_check, "");
  command->add_flag("--table", options->table,
                    "Print all numbers of a format that needs no grid; read nothing");
  command->add_flag("--decimal", options->decimal, "Values in decimal too");
  command->add_flag("--summary", options->summary, "Print only SQNR, the largest error and counts");
  command->add_flag("--json", options->json, "JSON with errors and flags instead of TSV");
  command->callback([command, options, &in, &out] {
    const bool draws = options->rounding.starts_with("s");
    refuse_without_effect(*command, "--seed", !draws,
                          concat("with --rounding ", options->rounding, ", which draws nothing"));
    Format format;
    const bool known = find_format(options->format, format);
    refuse_without_effect(
        *command, "--grid", known && has_codec(format),
        concat("with --format ", options->format, ", whose numbers are not on a grid"));
    for (const char* each : {"FILE", "--scale", "--grid", "--rounding", "--overflow",
                             "--block-scale", "--per", "--seed", "--summary"})
      refuse_without_effect(*command, each, options->table, "with --table");
    for (const char* each : {"--decimal"})
      refuse_without_effect(*command, each, options->json || options->summary,
                            "with --json or --summary");
    quantize(*options, in, out);
  });
}

void add_formats_command(CLI::App& app, std::ostream& out) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* const command = app.add_subcommand(
      "formats", "List number formats: bits, largest and smallest numbers, special values");
  command->footer("docs/FORMATS.md says how any other format is written.");
  command->add_flag("--json", *json, "A JSON array instead of TSV");
  command->callback([json, &out] { print_formats(*json, out); });
}

void add_gemm_command(CLI::App& app, std::ostream& out) {
  const auto options = std::make_shared<GemmOptions>();
  CLI::App* const command =
      app.add_subcommand("gemm", "Multiply two matrices in formats and an accumulator of choice");
  command->footer(
      "Matrices are arrays .npy of finite numbers, in float32. Both are encoded along the axis "
      "that "
      "the product\ncontracts; stochastic rounding of --b draws with the seed after --seed.");
  command->add_option("--a", options->a, "the left matrix, [m, k]")->required();
  command->add_option("--b", options->b, "the right one, [k, n]")->required();
  command->add_option("--format", options->format,
                      "Format of both, as docs/FORMATS.md has it: int4, e4m3, mxfp4, fp32");
  command->add_option("--format-a", options->format_a, "Format of the left one [--format]");
  command->add_option("--format-b", options->format_b, "Format of the right one [--format]");
  command
      ->add_option("--accumulator", options->accumulator,
                   "What products are summed in: exact, wrapN, satN, fp32, fp32_blocked(N), "
                   "f_seq(FORMAT), f_chunk(FORMAT,N), tc(W,N), hopper, blackwell")
      ->capture_default_str();
  command->add_option("--scale", options->scale,
                      "What numbers are divided by: none, absmax, pow2; not of integers and blocks "
                      "[as in training: absmax of floats of up to 8 bits, none of wider]");
  command
      ->add_option("--per", options->per,
                   "What shares a scale or grid: tensor, or channel: a row of a, a column of b")
      ->capture_default_str();
  command->add_option("--grid", options->grid, "affine or symmetric, of integers [affine]");
  command
      ->add_option("--rounding", options->rounding,
                   "nearest-even, nearest-away, toward-zero, away, up, down, odd, stochastic, or "
                   "srN with N random bits")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of stochastic rounding")
      ->capture_default_str()
      ->check(integer_check, "");
  command->add_option("-o,--out", options->out, "The product to write, FILE.npy of float32")
      ->required();
  command->add_option("--exact", options->exact,
                      "The product of the encoded numbers to write, FILE.npy of float64");
  command->add_flag("--json", options->json, "One JSON object instead of a table");
  command->callback([command, options, &out] {
    refuse_without_effect(*command, "--seed", !options->rounding.starts_with("s"),
                          concat("with --rounding ", options->rounding, ", which draws nothing"));
    refuse_without_effect(*command, "--format",
                          !options->format_a.empty() && !options->format_b.empty(),
                          "with --format-a and --format-b");
    multiply_files(*options, out);
  });
}

}  // namespace ebb::tools
