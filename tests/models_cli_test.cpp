#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/scratch.h"
#include "tests/tiny_family.h"
#include "train/files.h"
#include "train/record.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;
using Json = nlohmann::json;

TEST_CASE("exit codes tell a wrong command line from everything else") {
  const Scratch scratch;
  struct Case {
    std::string args;
    int code;
    const char* expected;
  };
  const Case cases[] = {
      {"--help", cli::kDone, ""},
      {"--frob", cli::kWrongCommandLine, "ebb-tiny: [command line] unknown option '--frob'"},
      {"--min-bits 9 --max-bits 8", cli::kWrongCommandLine, "--min-bits 9 is above --max-bits 8"},
      {"--schedule CX", cli::kWrongCommandLine, "CX"},
      {"--bits round(3->8:cycle(8", cli::kWrongCommandLine, "^"},
      {"--keep-fp32 fd", cli::kWrongCommandLine, "did you mean 'fc'?"},
      {"--epochs 9000000000000000000", cli::kWrongCommandLine, "more than can be counted"},
      {"--resume", cli::kWrongCommandLine, "--resume needs --out RUN"},
      {"--evaluate " + scratch / "none" + " --dry-run", cli::kWrongCommandLine,
       "--evaluate and --dry-run contradict"},
      {"--lr-schedule sqrt(affine(update,-1,5))", cli::kWrongCommandLine,
       "--lr-schedule at iteration 6: expected a finite factor"},
      {"--resume --out " + scratch / "none", cli::kFailed, "expected a run directory"},
      {"--evaluate " + scratch / "none", cli::kFailed, "expected a run directory"},
      {"--out " + scratch.path(), cli::kFailed, "exists already"},
      {"--out /proc/ebb-test", cli::kFailed, "cannot make the directory /proc/ebb-test"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.args);
    const Shown shown = call(c.args);
    CAPTURE(shown.err);
    CHECK(shown.code == c.code);
    CHECK(contains(shown.err, c.expected));
  }
}

TEST_CASE("a run records itself, is scored again, and a dry run has predicted its cost") {
  const Scratch scratch;
  const std::string out = " --out " + scratch / "run";
  const Shown run = call(kPlan + out);
  REQUIRE(run.code == cli::kDone);
  const Json json = Json::parse(run.out);
  CHECK(json["iterations"] == 20);
  CHECK(json["interrupted"] == false);
  CHECK(Json::parse(call(std::string(kUnsaved) + " --dry-run").out)["bit_ops"] == json["bit_ops"]);
  const History history = read_history(scratch / "run");
  CHECK(history.steps.size() == 20);
  CHECK(history.evaluations.size() == 6);  // after 4, 8, 12 and 16, and both splits at the end
  CHECK(json["test_negative_loss"] == history.evaluations.back().score);

  const Shown scored = call("--json --quiet --evaluate " + scratch / "run");
  REQUIRE(scored.code == cli::kDone);
  for (const char* same : {"test_negative_loss", "weights_sha256", "iterations"}) {
    CAPTURE(same);
    CHECK(Json::parse(scored.out)[same] == json[same]);
  }
  CHECK(contains(call("--seed 2 --evaluate " + scratch / "run").err,
                 "--seed is '2' now and was '1'"));
  CHECK(contains(call("--evaluate " + scratch / "run", tiny_family(-2)).err,
                 "the data are not those of the run: training is 'other' now"));
  CHECK(hash_of(call(std::string(kUnsaved) + " --quiet")) == json["weights_sha256"]);

  // Other data that were asked for are scored, and said to be others.
  const auto on_data = [](int data) {
    cli::ModelFamily family = tiny_family(data);
    family.program.options.push_back({.name = "data",
                                      .value = "NAME",
                                      .fallback = "tiny",
                                      .use = train::OptionSpec::Use::evaluation});
    return family;
  };
  const std::string known = std::string(kPlan) + " --quiet --out " + scratch / "known";
  REQUIRE(call(known, on_data(-1)).code == cli::kDone);
  const std::string evaluate = "--evaluate " + scratch / "known";
  CHECK(call(evaluate, on_data(-2)).code == cli::kFailed);
  const Shown elsewhere = call(evaluate + " --data other", on_data(-2));
  CHECK(elsewhere.code == cli::kDone);
  CHECK(contains(elsewhere.err, "warning: scored on other data than the run was trained on"));
}

TEST_CASE(
    "an evaluation reports its own bits, cost and overflow events, and is free in all that makes "
    "no other network") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  REQUIRE(call(kPlan + (" --accumulator sat12 --out " + run)).code == cli::kDone);
  const auto scored = [&](const std::string& options) {
    const Shown shown =
        call("--json --quiet --evaluate " + run + (options.empty() ? "" : " " + options));
    CAPTURE(options);
    CAPTURE(shown.err);
    REQUIRE(shown.code == cli::kDone);
    return Json::parse(shown.out);
  };
  const Json plain = scored("");
  CHECK(plain["relative_cost"] == 1.0);  // forward products alone, in 8 bits
  CHECK(plain["cost_reference"] == "8/8/8");
  CHECK(plain["test_bits"]["activation"] == "int8");
  CHECK(plain["accumulator_overflows"] != "0");
  CHECK(plain["accumulator_overflows_by_site"]["fc"]["forward"] == plain["accumulator_overflows"]);
  CHECK(!plain.contains("train_loss"));
  CHECK(!plain.contains("seconds_per_step"));
  CHECK(plain["seconds"] >= 0.0);
  const Json narrow = scored("--eval-bits 4 --accumulator exact");
  CHECK(narrow["relative_cost"] == 0.25);
  CHECK(narrow["accumulator_overflows"] == "0");
  CHECK(std::stoll(narrow["bit_ops"].get<std::string>()) * 4 ==
        std::stoll(plain["bit_ops"].get<std::string>()));
  CHECK(scored("--keep-fp32 fc")["relative_cost"] == 16.0);
  CHECK(scored("--cost-reference 4/4/4")["relative_cost"] == 4.0);
  for (const char* free : {"--grid symmetric", "--accumulator exact --simulate", "--batch 7",
                           "--threads 1", "--simd scalar"}) {
    CAPTURE(free);
    CHECK(scored(free)["weights_sha256"] == plain["weights_sha256"]);
  }

  struct Case {
    const char* args;
    int code;
    const char* expected;
  };
  const Case cases[] = {
      {"--lr 0.5", cli::kDone, "warning: --lr 0.5 has no effect here, where nothing is trained"},
      {"--gradient-bits 4", cli::kDone,
       "warning: --gradient-bits 4 has no effect here, where nothing is trained"},
      {"--max-bits 4", cli::kDone,
       "warning: --max-bits 4 has no effect here, where nothing is trained; --eval-bits says in "
       "how many bits"},
      {"--save-every 4", cli::kWrongCommandLine,
       "--save-every has no effect with --evaluate, where nothing is trained"},
      {"--eval-bits fp32 --accumulator sat9", cli::kWrongCommandLine,
       "--accumulator has no effect where every product is float32"},
      {"--seed 2", cli::kFailed,
       "--seed is '2' now and was '1' in the run, which makes another network or other data"}};
  for (const Case& c : cases) {
    const Shown shown = call(concat("--json --evaluate ", run, " ", c.args));
    CAPTURE(c.args);
    CAPTURE(shown.err);
    CHECK(shown.code == c.code);
    CHECK(contains(shown.err, c.expected));
    CHECK(!contains(shown.err, "--out"));  // the advice of --resume
    if (c.code == cli::kDone)
      CHECK(Json::parse(shown.out)["test_negative_loss"] == plain["test_negative_loss"]);
  }
  const Shown text = call("--quiet --evaluate " + run);
  for (const char* part : {" in int8/int8, loss ", "of this evaluation", "1.0000 of 8/8/8",
                           "accumulator overflows  "}) {
    CAPTURE(part);
    CHECK(contains(text.out, part));
  }
}

TEST_CASE("what writes no text says so") {
  const Scratch scratch;
  cli::ModelFamily family = tiny_family();
  family.program.options.push_back(
      {.name = "generate", .value = "RUN", .use = train::OptionSpec::Use::session});
  REQUIRE(call(kPlan + std::string(" --out ") + scratch / "run", family).code == cli::kDone);
  const Shown shown = call("--generate " + scratch / "run", family);
  CHECK(shown.code == cli::kWrongCommandLine);
  CHECK(contains(shown.err, "--generate: --arch line of this run writes no text"));
}

TEST_CASE("escape sequences of others reach no terminal") {
  const Shown shown = call("--resume --out /nowhere/\x1b[31m");
  CHECK(contains(shown.err, "/nowhere/\\x1b[31m"));
  CHECK_FALSE(contains(shown.err, "\x1b"));
}

TEST_CASE("what is not finite ends the run with its place and keeps the last checkpoint") {
  const Scratch scratch;
  const Shown shown = call(std::string(kPlan) + " --out " + scratch / "run", tiny_family(8));
  CHECK(shown.code == cli::kFailed);
  CHECK(contains(shown.err, "iteration 8: [fc] activation"));
  CHECK(read_checkpoint(scratch / "run").iteration == 6);
}

TEST_CASE("operands are measured on request") {
  const Scratch scratch;
  REQUIRE(call(std::string(kPlan) + " --statistics-every 5 --out " + scratch / "run").code ==
          cli::kDone);
  const std::vector<std::string> lines = split_at(read_file(scratch / "run/operands.jsonl"), '\n');
  REQUIRE(lines.size() ==
          4 * 3 + 1);  // four steps, three operands, and what follows the last line feed
  CHECK(Json::parse(lines[0])["site"] == "fc");
}
