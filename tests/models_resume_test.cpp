#include <doctest/doctest.h>

#include <filesystem>
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

TEST_CASE("a run of version 0.1 goes on if its sums are still the same, else it is refused") {
  for (const bool integers : {true, false}) {
    const Scratch scratch;
    const std::string run = scratch / "run", bits = integers ? "8" : "e4m3";
    const std::string flags = concat(" --iterations 4 --bits ", bits, " --gradient-bits ", bits);
    REQUIRE(call(flags.substr(1) + " --json --save-every 2 --out " + run).code == cli::kDone);
    const std::string entry = "    \"weight-format\": \"\",\n";  // which that version had not
    std::string text = read_config(run);
    Checkpoint checkpoint = read_checkpoint(run);
    REQUIRE(contains(text, entry));
    text.erase(text.find(entry), entry.size());
    checkpoint.config.erase(checkpoint.config.find(entry), entry.size());
    write_file(run + "/config.json", text);
    write_file(run + "/checkpoint.safetensors", to_bytes(checkpoint));
    const Shown resumed = call("--json --resume --out " + run);
    CHECK(resumed.code == (integers ? cli::kDone : cli::kFailed));
    CHECK(contains(resumed.err, "begun by version 0.1") == !integers);
    CHECK(call("--json --evaluate " + run).code == cli::kDone);
  }
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
  CHECK(contains(call(out.substr(1) + " --resume", tiny_family(-1, 14)).out, " after 12 steps\n"));
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
  CHECK(contains(unsaved, "stopped after 4 of 20 steps; with --out none nothing is saved"));
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
    CHECK(contains(call("--evaluate " + run).err, "the configuration in the checkpoint is used"));
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
    return call("--resume --iterations 20 --out " + path);
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
