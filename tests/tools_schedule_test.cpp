#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "tests/scratch.h"
#include "tools/command_line.h"
#include "tools/schedule_command.h"
#include "train/files.h"

using namespace ebb;

namespace {

struct Outcome {
  std::string out, warnings;
};

Outcome run(std::vector<std::string> arguments) {
  std::ostringstream out, warnings;
  CLI::App app("test");
  tools::add_schedule_command(app, out, warnings);
  arguments.insert(arguments.begin(), "schedule");
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants a vector
  app.parse(std::move(arguments));
  return {out.str(), warnings.str()};
}

}  // namespace

TEST_CASE(
    "ebb schedule prints one row an iteration: bits as integers, reals with 17 digits, names as "
    "names") {
  struct Case {
    std::vector<std::string> arguments;
    std::string out;
  };
  const Case cases[] = {
      {{"--name", "LT", "--iterations", "4", "--cycles", "2", "--min-bits", "3", "--max-bits", "8",
        "--period", "floor"},
       "t\tvalue\n0\t8\n1\t6\n2\t3\n3\t6\n"},
      {{"--name", "static", "--iterations", "2", "--max-bits", "5"}, "t\tvalue\n0\t5\n1\t5\n"},
      {{"--expr", "1->0:lin", "--iterations", "3"},
       "t\tvalue\n0\t1\n1\t0.66666666666666663\n2\t0.33333333333333331\n"},
      {{"--expr", "fp32 @50% ; 4 @rest", "--iterations", "2"}, "t\tvalue\n0\tfp32\n1\t4\n"},
      {{"--expr", "1->0:lin", "--iterations", "4", "--summary"}, "mean_value\t0.625\n"},
      {{"--expr", "1", "--iterations", "4", "--summary"},
       "mean_value\t1\n"},  // a learning rate, unless it is said to be bits
      {{"--expr", "1", "--max-bits", "1", "--cost-reference", "1/1/8", "--iterations", "4",
        "--summary"},
       "mean_value\t1\ncost_reference\t1/1/"
       "8\nrelative_cost\t1\nrelative_cost_paper\t1\nsavings_percent\t0\n"},
      // A part for a role has no cost of its own, nor has the rest beside it; a part for a layer
      // has.
      {{"--expr", "group{weight: 2, *: 4}", "--group", "weight", "--iterations", "4", "--summary"},
       "mean_value\t2\n"},
      {{"--expr", "group{fc.weight: 2, *: 4}", "--group", "*", "--iterations", "4", "--summary"},
       "mean_value\t4\n"},
      {{"--expr", "group{fc: 8, *: 4}", "--group", "fc", "--iterations", "4", "--summary"},
       "mean_value\t8\ncost_reference\t8/8/"
       "8\nrelative_cost\t1\nrelative_cost_paper\t1\nsavings_percent\t0\n"},
      {{"--name", "static", "--max-bits", "8", "--gradient-bits", "fp32", "--cost-reference",
        "8/8/fp32", "--iterations", "4", "--summary"},
       "mean_value\t8\ncost_reference\t8/8/"
       "fp32\nrelative_cost\t1\nrelative_cost_paper\t1\nsavings_percent\t0\n"},
      {{"--expr", "1->0:lin", "--iterations", "4", "--max-bits", "8", "--summary"},
       "mean_value\t0.625\n"},  // no widths, so no cost
      {{"--expr", "4 @50% ; 8 @rest", "--iterations", "4", "--summary"},
       "mean_value\t6\ncost_reference\t8/8/"
       "8\nrelative_cost\t0.70833333333333337\nrelative_cost_paper\t0.70833333333333337\n"
       "savings_percent\t29.166666666666664\n"},
      {{"--expr", "group{conv1: 8, *: 4}", "--iterations", "1", "--group", "conv1"},
       "t\tvalue\n0\t8\n"},
      {{"--expr", "group{conv1: 8, *: 4}", "--iterations", "1", "--group", "*"},
       "t\tvalue\n0\t4\n"},
      {{"--name", "static", "--iterations", "4", "--max-bits", "4", "--gradient-bits", "8",
        "--summary"},
       // 4^2 + 2 x 4 x 8 of 3 x 8^2, whatever --max-bits is
       "mean_value\t4\ncost_reference\t8/8/"
       "8\nrelative_cost\t0.41666666666666669\nrelative_cost_paper\t0.41666666666666669\n"
       "savings_percent\t58.333333333333329\n"},
      {{"--name", "static", "--iterations", "4", "--max-bits", "4", "--cost-reference", "4/4/8",
        "--summary"},
       "mean_value\t4\ncost_reference\t4/4/"
       "8\nrelative_cost\t1\nrelative_cost_paper\t1\nsavings_percent\t0\n"},
      {{"--name", "fp32", "--iterations", "4", "--cost-reference", "fp32/fp32/fp32", "--summary"},
       "mean_value\t32\ncost_reference\tfp32/fp32/"
       "fp32\nrelative_cost\t1\nrelative_cost_paper\t1\nsavings_percent\t0\n"}};
  for (const Case& c : cases) CHECK(run(c.arguments).out == c.out);
}

TEST_CASE("ebb schedule gives the published savings of the original cyclic schedule") {
  const Outcome outcome =
      run({"--name", "CR", "--iterations", "64000", "--cycles", "32", "--min-bits", "3",
           "--max-bits", "8", "--period", "floor", "--summary"});
  CHECK(doctest::String(outcome.out.c_str()) == doctest::Contains("savings_percent\t36.67"));
  CHECK(outcome.warnings.empty());
}

TEST_CASE("ebb schedule warns of what is legal but doubtful") {
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  const Case cases[] = {
      {{"--name", "CT", "--iterations", "64000", "--cycles", "7", "--summary"}, "an odd number"},
      {{"--name", "RR", "--iterations", "500", "--summary"}, "never reaches 8 bits"},
      {{"--name", "CR", "--cycles", "8", "--iterations", "12"},
       "the last cycle, number 6, is whole"},
      {{"--name", "CR", "--cycles", "8", "--iterations", "13"},
       "the last cycle, number 7, is cut short by 1"},
      {{"--expr", "warm(300up) lin", "--iterations", "200", "--summary"}, "longer than the 200"}};
  for (const Case& c : cases)
    CHECK(doctest::String(run(c.arguments).warnings.c_str()) == doctest::Contains(c.says));
}

TEST_CASE("ebb schedule refuses a wrong command line") {
  const std::vector<std::string> wrong_settings[] = {
      {"--iterations", "10"},
      {"--name", "CR"},
      {"--name", "CX", "--iterations", "10"},
      {"--name", "CR", "--iterations", "0"},
      {"--name", "CR", "--iterations", "10", "--min-bits", "9", "--max-bits", "8"},
      {"--name", "CR", "--iterations", "10", "--max-bits", "17"},
      {"--name", "CR", "--iterations", "10", "--gradient-bits", "17"},
      {"--name", "CR", "--iterations", "10", "--gradient-bits", "0"},
      {"--name", "CR", "--iterations", "10", "--cost-reference", "8/8"},
      {"--name", "CR", "--iterations", "10", "--cycles", "0"},
      {"--name", "CR", "--iterations", "10", "--period", "ceil"},
      {"--name", "CR", "--iterations", "10", "--summary", "--gradient-bits", "fp33"},
      {"--name", "fp32", "--iterations", "10", "--max-bits", "8"},
      {"--name", "fp32", "--iterations", "10", "--summary", "--gradient-bits", "8"},
      {"--expr", "lin", "--iterations", "10", "--summary", "--gradient-bits", "8"},
      {"--expr", "lin", "--iterations", "9", "--summary", "--cost-reference", "8/8/8"},
      {"--expr", "1->0 rex", "--iterations", "10"},
      {"--expr", "", "--iterations", "10"},
      {"--expr", "group{conv1: 8, *: 4}", "--iterations", "10"},
      {"--expr", "group{a: 8, *: 4}", "--iterations", "10", "--group", "b"},
      {"--expr", "8", "--iterations", "10", "--group", "conv1"},
      {"--expr", "1 @10% ; 2 @20%", "--iterations", "10"}};
  for (const auto& arguments : wrong_settings) CHECK_THROWS_AS(run(arguments), ConfigError);
  CHECK_THROWS_WITH_AS(run({"--expr", "8", "--iterations", "10", "--group", "conv1"}),
                       doctest::Contains("the expression has no group{...}"), ConfigError);
  const std::vector<std::string> wrong_flags[] = {
      {"--name", "CR", "--expr", "lin", "--iterations", "10"},
      {"--expr", "lin", "--iterations", "10", "--cycles", "2"},
      {"--name", "CR", "--iterations", "many"},
      {"--name", "CR", "--iterations", "99999999999999999999"},
      {"--name", "CR", "--itrations", "10"}};
  for (const auto& arguments : wrong_flags) CHECK_THROWS_AS(run(arguments), CLI::ParseError);
}

TEST_CASE("ebb schedule reports a full disk") {
  std::ostringstream full, warnings;
  full.setstate(std::ios::badbit);
  CHECK_THROWS_AS(tools::print_schedule({.name = "CR", .iterations = 1000}, full, warnings),
                  DataError);
}

TEST_CASE("ebb schedule bound prints the bound at gamma, at the best gamma, and its path") {
  // Two steps of 1, D = G = 1: 1/4 + 2/4 + (1 x 2) / (1 x 2) / 2 = 0.25 + 1, so 0.25 / gamma +
  // gamma.
  CHECK(run({"bound", "--expr", "1", "--iterations", "2"}).out ==
        "omega\t1\ngamma_star\t0.5\nomega_star\t1\n");
  CHECK(run({"bound", "--expr", "1", "--iterations", "2", "--gamma", "1", "--json"}).out ==
        "{\"omega\": 1.25, \"gamma\": 1, \"gamma_star\": 0.5, \"omega_star\": 1}\n");
  CHECK(run({"bound", "--expr", "1", "--iterations", "2", "--gamma", "1", "--path"}).out ==
        "updates\tomega\n1\t1\n2\t1.25\n");
  CHECK(run({"bound", "--expr", "1", "--iterations", "2", "--norm", "2", "--distance", "4"}).out ==
        "omega\t8\ngamma_star\t1\nomega_star\t8\n");
  const Scratch scratch;
  train::write_file(scratch / "norms", "2\n2\n");
  CHECK(run({"bound", "--expr", "1", "--iterations", "2", "--norms", scratch / "norms"}).out ==
        run({"bound", "--expr", "1", "--iterations", "2", "--norm", "2"}).out);
  CHECK_THROWS_AS(run({"bound", "--expr", "fp32", "--iterations", "2"}), ConfigError);
  CHECK_THROWS_AS(run({"bound", "--expr", "1", "--iterations", "2", "--gamma", "0"}), ConfigError);
}

TEST_CASE("ebb schedule transfer, refine and plot") {
  const Scratch scratch;
  const std::string factor =
      run({"transfer", "--from", "1 @rest ; lin @20%", "--to", "lin", "--iterations", "4000"}).out;
  CHECK(doctest::String(factor.c_str()) == doctest::Contains("\nfactor\t1.94"));
  const std::string longer =
      run({"transfer", "--iterations", "1000", "--to-iterations", "2000"}).out;
  CHECK(doctest::String(longer.c_str()) == doctest::Contains("plateau_expr\t(1 @800up ; 0.5"));
  CHECK_THROWS_AS(run({"transfer", "--from", "lin", "--iterations", "10"}), ConfigError);

  train::write_file(scratch / "norms", "3\n3\nnan\n3\n3\n3\n");
  const Outcome refined = run({"refine", scratch / "norms"});
  CHECK(refined.out == "table(1, 0.75, 0.5, 0.25, 0)\n");
  CHECK(doctest::String(refined.warnings.c_str()) == doctest::Contains("not finite"));
  CHECK(run({"refine", scratch / "norms", "--points", "1", "--extend"}).out == "table(0.6)\n");
  train::write_file(scratch / "norms", "3\nx\n");
  CHECK_THROWS_WITH_AS(run({"refine", scratch / "norms"}), doctest::Contains("line 2"), DataError);

  const std::string drawn = run({"plot", "1->0:lin", "fp32", "--iterations", "50"}).out;
  CHECK(std::ranges::count(drawn, '\n') == 18 + 2 + 2);
  CHECK(doctest::String(drawn.c_str()) == doctest::Contains("*  1->0 : lin\no  fp32\n"));
  CHECK(run({"plot", "cycle(4) cos", "-o", scratch / "f.svg"}).out.empty());
  CHECK(train::read_file(scratch / "f.svg").find("cycle(4) cos") != std::string::npos);
  CHECK_THROWS_AS(run({"plot", "cos", "-o", scratch / "f.png"}), ConfigError);
}
