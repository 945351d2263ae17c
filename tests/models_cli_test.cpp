#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/scratch.h"
#include "tests/train_tiny_task.h"
#include "train/app/run_main.h"
#include "train/files.h"
#include "train/record.h"

using namespace ebb;
using namespace ebb::train;
using Json = nlohmann::json;

namespace {

// What one call of the program shows and returns.
struct Shown {
  int code;
  std::string out, err;
};

// The signal comes within the loss of a step, or, counted from 100 on, within a piece of an
// evaluation.
cli::ModelFamily tiny_family(std::int64_t bad_step = -1, std::int64_t signal_step = -1) {
  const auto build = [=](const Options&, ParamStore& params) {
    params = TinyTask::state().params;
    Task task = TinyTask{.bad_step = bad_step}.task();
    task.data = {{"training", bad_step == -2 ? "other" : "tiny"}};
    task.loss = [loss = task.loss, signal_step](Pass& pass, std::int64_t t, std::int64_t part) {
      if (t == signal_step) raise(SIGINT);
      return loss(pass, t, part);
    };
    const auto pieces = std::make_shared<std::int64_t>(100);
    for (Split& split : task.splits) {
      split.begin = [begin = split.begin, signal_step, pieces] {
        Scorer scorer = begin();
        scorer.add = [add = scorer.add, signal_step, pieces](Pass& pass, std::int64_t piece) {
          if ((*pieces)++ == signal_step) raise(SIGINT);
          add(pass, piece);
        };
        return scorer;
      };
    }
    return task;
  };
  return {{.name = "ebb-tiny",
           .summary = "Fits a line.",
           .archs = {{.name = "line", .summary = "", .lr = 0.02, .lr_schedule = "1", .epochs = 5}}},
          build};
}

Shown call(const std::string& text, const cli::ModelFamily& family = tiny_family(),
           bool terminal = false) {
  std::ostringstream out, err;
  const std::vector<std::string> args = split_at(text, ' ');
  const int code = cli::run(args, family, {.out = out, .err = err, .terminal = terminal});
  return {code, out.str(), err.str()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string hash_of(const Shown& shown) { return Json::parse(shown.out)["weights_sha256"]; }

constexpr const char* kUnsaved = "--cycles 2 --iterations 20 --eval-every 4 --json";
constexpr const char* kPlan = "--cycles 2 --iterations 20 --eval-every 4 --json --save-every 3";

}  // namespace

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
      {"--resume", cli::kWrongCommandLine, "--resume needs --out DIR; add it"},
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
  const std::string evaluate = "--quiet --evaluate " + scratch / "known";
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
  for (const char* part : {" at int8/int8, loss ", "of this evaluation", "1.0000 of 8/8/8",
                           "accumulator overflows  "}) {
    CAPTURE(part);
    CHECK(contains(text.out, part));
  }
}

TEST_CASE("a run of version 0.1, which records no cost reference, goes on and is scored") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  REQUIRE(call(kPlan + (" --out " + run)).code == cli::kDone);
  std::string text = read_config(run);
  const std::string entry = "    \"cost-reference\": \"8/8/8\",\n";
  REQUIRE(contains(text, entry));
  text.erase(text.find(entry), entry.size());
  Checkpoint checkpoint = read_checkpoint(run);
  checkpoint.config.erase(checkpoint.config.find(entry), entry.size());
  write_file(run + "/config.json", text);
  write_file(run + "/checkpoint.safetensors", to_bytes(checkpoint));
  CHECK(Json::parse(call("--json --resume --out " + run).out)["cost_reference"] == "8/8/8");
  CHECK(call("--json --resume --cost-reference 8/8/8 --out " + run).code == cli::kDone);
  // No step depends on it, so a run may go on with another one.
  CHECK(Json::parse(
            call("--json --resume --cost-reference 4/4/4 --out " + run).out)["cost_reference"] ==
        "4/4/4");
  CHECK(Json::parse(
            call("--json --evaluate " + run + " --cost-reference 4/4/4").out)["relative_cost"] ==
        4.0);
}

TEST_CASE("Ctrl-C saves and leaves, and the resumed run ends as if nothing had happened") {
  const Scratch scratch;
  const Shown whole = call(std::string(kPlan) + " --out " + scratch / "whole");
  const std::string out = " --out " + scratch / "cut";
  for (const std::int64_t signal_step : {5, 6, 13}) {
    const Shown cut = call(signal_step == 5 ? kPlan + out : out.substr(1) + " --json --resume",
                           tiny_family(-1, signal_step));
    CAPTURE(cut.err);
    CHECK(cut.code == cli::kInterrupted);
    CHECK(Json::parse(cut.out)["interrupted"] == true);
    CHECK(read_checkpoint(scratch / "cut").iteration == signal_step + 1);
    // The score is that of the last evaluation, every four steps, and says so.
    CHECK(Json::parse(cut.out)["validation_iteration"] == (signal_step + 1) / 4 * 4);
    CHECK(contains(cut.err, "--resume"));
  }
  CHECK(contains(call(out.substr(1) + " --resume", tiny_family(-1, 14)).out, " after step 12\n"));
  const Shown resumed = call(out.substr(1) + " --json --resume --threads 1 --quiet");
  REQUIRE(resumed.code == cli::kDone);
  for (const char* same : {"weights_sha256", "bit_ops", "train_loss", "test_negative_loss",
                           "iterations", "interrupted"}) {
    CAPTURE(same);
    CHECK(Json::parse(resumed.out)[same] == Json::parse(whole.out)[same]);
  }
  CHECK(Json::parse(whole.out)["test_iteration"] == Json::parse(whole.out)["iterations"]);
  // Once finished, resuming only reports.
  CHECK(hash_of(call(out.substr(1) + " --json --resume")) == hash_of(whole));
  const Shown other = call(out.substr(1) + " --resume --lr 0.3");
  CHECK(other.code == cli::kFailed);
  CHECK(contains(other.err, "--lr is '0.3' now and was '0.02' in the run"));
  CHECK(contains(call(out.substr(1) + " --resume", tiny_family(-2)).err,
                 "the data are not those of the run"));
}

TEST_CASE("a run killed before it wrote anything begins when it is resumed") {
  const Scratch scratch;
  { RunDirectory::create(scratch / "run", "{}"); }
  for (const char* name : {"config.json", "steps.jsonl", "evals.jsonl"})
    std::filesystem::remove(scratch / "run/" + name);
  const Shown resumed = call(std::string(kPlan) + " --resume --out " + scratch / "run");
  CHECK(resumed.code == cli::kDone);
  CHECK(contains(resumed.err, "warning: this run was ended before it began"));
  CHECK(hash_of(resumed) == hash_of(call(kUnsaved)));
}

TEST_CASE("a configuration that was edited under its checkpoint is refused") {
  const Scratch scratch;
  const std::string config = scratch / "run/config.json";
  REQUIRE(call(std::string(kPlan) + " --out " + scratch / "run").code == cli::kDone);
  std::string text = read_file(config);
  const std::size_t at = text.find("\"seed\": 1");
  REQUIRE(at != std::string::npos);
  write_file(config, text.replace(at, 9, "\"seed\": 2"));
  const Shown resumed = call("--resume --out " + scratch / "run");
  CHECK(resumed.code == cli::kFailed);
  CHECK(contains(resumed.err,
                 "config.json is not the configuration that the checkpoint was saved under"));
}

TEST_CASE(
    "Ctrl-C during an evaluation saves the run before it, and the evaluation is done when the run "
    "goes on") {
  const Scratch scratch;
  const Shown whole = call(std::string(kPlan) + " --out " + scratch / "whole");
  // Evaluations of two pieces on the validation split after 4, 8, 12 and 16 steps; the last one,
  // after 20, scores the test split, too.
  struct Case {
    const char* why;
    std::int64_t piece, iteration;
  };
  const Case cases[] = {{"first piece of the first evaluation", 100, 4},
                        {"first piece of the third", 104, 12},
                        {"the last one, whose first split is scored already", 110, 20}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string run = scratch / concat("cut", c.piece);
    const Shown cut = call(std::string(kPlan) + " --quiet --out " + run, tiny_family(-1, c.piece));
    CHECK(cut.code == cli::kInterrupted);
    CHECK(read_checkpoint(run).iteration == c.iteration);
    const History before = read_history(run);
    CHECK((before.evaluations.empty() || before.evaluations.back().iteration < c.iteration));
    const Shown resumed = call("--json --quiet --resume --out " + run);
    REQUIRE(resumed.code == cli::kDone);
    for (const char* same :
         {"weights_sha256", "bit_ops", "test_negative_loss", "validation_negative_loss"}) {
      CAPTURE(same);
      CHECK(Json::parse(resumed.out)[same] == Json::parse(whole.out)[same]);
    }
    CHECK(read_checkpoint(run).group("ledger") ==
          read_checkpoint(scratch / "whole").group("ledger"));
    CHECK(read_history(run).evaluations.size() ==
          read_history(scratch / "whole").evaluations.size());
  }
  const std::string unsaved = call("--iterations 20 --quiet", tiny_family(-1, 3)).err;
  CHECK(contains(unsaved, "without --out nothing is saved"));
  CHECK(call("--iterations 20 --quiet", tiny_family(-1, 3)).code == cli::kFailed);
}

TEST_CASE("a run without a readable configuration takes the one in its checkpoint, and says so") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  const std::string hash = hash_of(call(std::string(kPlan) + " --out " + scratch / "whole"));
  const std::string config = run + "/config.json";
  REQUIRE(
      call(kPlan + std::string(" --statistics-every 4 --out ") + run, tiny_family(-1, 7)).code ==
      cli::kInterrupted);
  for (const bool missing : {true, false}) {
    CAPTURE(missing);
    std::filesystem::remove(config);
    if (!missing) write_file(config, "{\"program\": ");
    CHECK(contains(call("--quiet --evaluate " + run).err,
                   "the configuration in the checkpoint is used"));
    const Shown resumed = call("--json --resume --out " + run);
    CHECK(resumed.code == cli::kDone);
    CHECK(contains(resumed.err, "the configuration in the checkpoint is used"));
    CHECK(hash_of(resumed) == hash);
    CHECK(contains(read_file(config), "\"save-every\": 3"));
    CHECK(contains(read_file(config), "\"training\": \"tiny\""));
  }
  // Without either nothing is begun, nor where no run ever was.
  std::filesystem::remove(config);
  std::filesystem::remove(run + "/checkpoint.safetensors");
  const std::string steps = read_file(run + "/steps.jsonl");
  CHECK(call("--resume --out " + run).code == cli::kFailed);
  CHECK(read_file(run + "/steps.jsonl") == steps);
  std::filesystem::create_directory(scratch / "other");
  CHECK(contains(call("--resume --out " + scratch / "other").err, "holds no run that could go on"));
  CHECK(std::filesystem::is_empty(scratch / "other"));
  CHECK(contains(call("--resume --out /").err, "/ holds no run that could go on"));
}

TEST_CASE("a run whose checkpoint is gone does not begin anew over its record") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  REQUIRE(call(std::string(kPlan) + " --out " + run).code == cli::kDone);
  std::filesystem::remove(run + "/checkpoint.safetensors");
  const Shown resumed = call("--resume --out " + run);
  CHECK(resumed.code == cli::kFailed);
  CHECK(contains(
      resumed.err,
      "the record holds 20 steps of a run that is saved every 3, but there is no checkpoint"));
  CHECK(read_history(run).steps.size() == 20);
}

TEST_CASE("a run goes on with its own rhythm of saving and measuring unless it is given another") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  REQUIRE(
      call(kPlan + std::string(" --statistics-every 5 --out ") + run, tiny_family(-1, 6)).code ==
      cli::kInterrupted);
  REQUIRE(call("--quiet --resume --out " + run, tiny_family(-1, 11)).code == cli::kInterrupted);
  CHECK(contains(read_file(run + "/config.json"), "\"save-every\": 3"));
  REQUIRE(call("--quiet --resume --save-every 7 --out " + run, tiny_family(15)).code ==
          cli::kFailed);
  CHECK(read_checkpoint(run).iteration == 14);
  CHECK(contains(read_file(run + "/config.json"), "\"save-every\": 7"));
  REQUIRE(call("--quiet --resume --out " + run).code == cli::kDone);
  CHECK(split_at(read_file(run + "/operands.jsonl"), '\n').size() ==
        4 * 3 + 1);  // of steps 0, 5, 10 and 15
}

TEST_CASE("a run can be made longer where that changes nothing of the steps done") {
  const Scratch scratch;
  const std::string run = scratch / "run",
                    constant = "--schedule static --json --quiet --eval-every 10 --iterations ";
  REQUIRE(call(constant + "10 --out " + run).code == cli::kDone);
  const Shown longer = call("--json --resume --iterations 20 --eval-every 5 --out " + run);
  CAPTURE(longer.err);
  REQUIRE(longer.code == cli::kDone);
  CHECK(contains(longer.err, "the run ends after 20 steps in place of 10"));
  CHECK(hash_of(longer) == hash_of(call(constant + "20")));
  CHECK(read_history(run).evaluations.size() ==
        2 + 1 + 2);  // both splits after 10, one after 15, both after 20
  // What it is now, it stays; and it may be given in epochs (of four steps) too.
  CHECK(Json::parse(call("--json --quiet --resume --out " + run).out)["iterations"] == 20);
  CHECK(hash_of(call("--json --quiet --resume --epochs 6 --out " + run)) ==
        hash_of(call(constant + "24")));
  CHECK(contains(call("--resume --iterations 12 --out " + run).err,
                 "the run has done 24 steps already"));

  const std::string cyclic = scratch / "cyclic";
  REQUIRE(call(std::string(kPlan) + " --out " + cyclic, tiny_family(-1, 9)).code ==
          cli::kInterrupted);
  const std::string config = read_file(cyclic + "/config.json");
  const Shown refused = call("--resume --iterations 40 --out " + cyclic);
  CHECK(refused.code == cli::kFailed);
  CHECK(contains(refused.err, "with another length the step of iteration "));
  CHECK(read_file(cyclic + "/config.json") == config);
  CHECK(call("--quiet --resume --out " + cyclic).code == cli::kDone);
}

TEST_CASE(
    "a longer run whose highest bits come later is told so, and refused where the rate has "
    "followed its evaluations") {
  const Scratch scratch;
  const std::string plan =
      "--bits 2@10up;8@rest --lr-schedule 1 --iterations 10 --eval-every 5 --quiet --out ";
  const std::string run = scratch / "run", follows = scratch / "follows";
  const auto longer = [&](const std::string& path) {
    return call("--quiet --resume --iterations 20 --out " + path);
  };
  REQUIRE(call(plan + run).code == cli::kDone);
  const Shown told = longer(run);
  CHECK(told.code == cli::kDone);
  CHECK(contains(
      told.err,
      "evaluations are at the highest bits of the run, from here on those of the new length"));
  REQUIRE(call(plan + follows + " --lr-plateau 0.5").code == cli::kDone);
  const Shown refused = longer(follows);
  CHECK(refused.code == cli::kFailed);
  CHECK(contains(refused.err, "--lr-plateau has followed those of the old one"));
}

TEST_CASE("of what may change, the checkpoint is told first") {
  const Scratch scratch;
  const std::string run = scratch / "run", config = run + "/config.json";
  const Shown whole = call(std::string(kPlan) + " --out " + scratch / "whole");
  REQUIRE(call(kPlan + std::string(" --out ") + run, tiny_family(-1, 6)).code == cli::kInterrupted);
  std::string text = read_file(config);
  const std::size_t at = text.find("\"eval-every\": 4");
  REQUIRE(at != std::string::npos);
  write_file(config, text.replace(at, 15, "\"eval-every\": 5"));
  const Shown resumed = call("--json --resume --out " + run);
  CHECK(contains(resumed.err, "has --eval-every '5', the checkpoint '4', which is used"));
  CHECK(hash_of(resumed) == hash_of(whole));
  CHECK(read_checkpoint(run).group("ledger") == read_checkpoint(scratch / "whole").group("ledger"));
  CHECK(contains(read_file(config), "\"eval-every\": 4"));
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

TEST_CASE("stdout has results only, and --quiet leaves stderr to warnings") {
  const Shown loud = call("--iterations 5");
  CHECK(contains(loud.err, "step 1/5"));
  CHECK(contains(loud.err, "validation negative_loss"));
  CHECK(contains(loud.out, "weights SHA-256"));
  CHECK_FALSE(contains(loud.out, "step 1/5"));
  const Shown quiet = call("--iterations 400 --schedule static --quiet");
  CHECK(quiet.err.empty());
  CHECK(contains(call("--iterations 5", tiny_family(), true).err, "\r\x1b[K"));
  CHECK(contains(call("--iterations 10 --cycles 3 --schedule CT").err, "ebb-tiny: warning: "));
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
