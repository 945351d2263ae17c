#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/scratch.h"
#include "tests/tiny_family.h"
#include "train/app/inspect.h"
#include "train/files.h"
#include "train/record.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;
using Json = nlohmann::json;

TEST_CASE("stdout has results only, and --quiet leaves stderr empty") {
  const Shown loud = call("--iterations 5");
  CHECK(contains(loud.err, "steps 1/5"));
  CHECK(contains(loud.err, "after 4 steps  validation negative_loss"));
  CHECK(contains(loud.out, "weights SHA-256"));
  CHECK_FALSE(contains(loud.out, "steps 1/5"));
  CHECK(call("--iterations 10 --cycles 3 --schedule CT --quiet").err.empty());
  CHECK(contains(call("--iterations 5", tiny_family(), true).err, "\r\x1b[K"));
  CHECK(contains(call("--iterations 10 --cycles 3 --schedule CT").err,
                 "ebb-tiny: warning: --schedule CT: "));
}

TEST_CASE("a run says what it does before it does it, in 100 columns") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  const Shown shown = call(
      "--iterations 20 --cycles 2 --eval-every 4 --patience 9 --seed 3 --lr-schedule 1->0:cos "
      "--grid symmetric --out " +
      run);
  for (const char* part :
       {"\nnetwork        line; 6 parameters\n", "\nschedule       CR: round(3->8 : cycle(2) cos)",
        "\nformats        weights int3 to int8, activations int3 to int8, gradients int8; with "
        "--grid symmetric\n",
        "\noptimizer      sgd, momentum 0.9, weight decay 0.0001\n",
        "\nlearning rate  0.02 times 1->0 : cos\n",
        "\nlength         20 steps, 5 epochs of 4; --batch 128; seed 3\n",
        "\nevaluation     every 4 steps on the validation set, in int8/int8; at the end on the "
        "test "
        "set, too;\n               ends after 9 without a better negative_loss\n",
        "\ncost           relative to that in 8/8/8 bits", "seed 3\n"}) {
    CAPTURE(part);
    CAPTURE(shown.err);
    CHECK(contains(shown.err, part));
  }
  CHECK(contains(shown.err, concat("\nrun            ", run)));
  CHECK(contains(shown.out, "\nsaved in "));
  CHECK(shown.out.ends_with(concat(' ', run, '\n')));
  CHECK(call("--quiet --resume --out " + run).err.empty());
  CHECK(contains(call("--resume --out " + run).err, "goes on after 20 of 20 steps"));
  CHECK(contains(call("--iterations 5").err, "not saved (--out none)"));

  // What is made up where nobody named any is said loudly, and what the test set is not for.
  cli::ModelFamily images = tiny_family();
  images.program.options = {
      {.name = "data", .value = "DIR", .fallback = "synthetic"},
      {.name = "validation", .value = "F", .kind = OptionSpec::Kind::real, .fallback = "0"}};
  images.build = [build = images.build](const Options& options, ParamStore& params) {
    Task task = build(options, params);
    task.splits.erase(task.splits.begin());
    return task;
  };
  CHECK(contains(call("--iterations 5", images).err, "MADE UP, SINCE NO --data WAS GIVEN"));
  CHECK(contains(call("--iterations 5", images).err, "--validation 0.1 holds out"));
  CHECK_FALSE(contains(call("--iterations 5 --data synthetic", images).err, "MADE UP"));
}

TEST_CASE("an optimizer in low precision says what it keeps, and what became of its updates") {
  const Scratch scratch;
  const std::string run = scratch / "run";
  const Shown shown = call(
      "--iterations 12 --optimizer collage-light --update-metrics 5 --loss-scale dynamic --out " +
      run);
  for (const char* part :
       {"ebb-tiny: warning: beta2 0.999 is 1 in bf16",
        "\noptimizer      collage-light, beta1 0.9, beta2 0.999, epsilon 1e-08, weight decay "
        "0.0001, loss",
        " dynamic\n",
        "\nmemory         10 bytes a parameter: weights 2, gradients 2, moments 4, residuals "
        "2\n"}) {
    CAPTURE(part);
    CAPTURE(shown.err);
    CHECK(contains(shown.err, part));
  }
  const std::vector<train::UpdateRow> last = train::read_last_updates(run);
  REQUIRE(last.size() == 1);
  CHECK(last[0].iteration == 10);
  CHECK(last[0].quality.elements == 6);
  CHECK(last[0].quality.whole_edq_ratio() == doctest::Approx(1).epsilon(0.01));
  const std::string inspected = to_table(train::inspect(run));
  CAPTURE(inspected);
  CHECK(contains(inspected, "\nUpdates of iteration 10:\n"));
  CHECK(contains(inspected, "\nall "));
  CHECK(call("--quiet --resume --out " + run).err.empty());
  const Shown forecast =
      call("--iterations 12 --dry-run --optimizer adamw-master --optimizer-formats weights=e4m3");
  CAPTURE(forecast.err);
  CHECK(contains(forecast.out,
                 "memory   15 bytes a parameter: weights 1, gradients 2, moments 8, masters 4\n"));
}

TEST_CASE("a run is saved unless it is told not to, under a name of its own") {
  const Scratch scratch;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.path());
  std::ostringstream out, err;
  const auto begin = [&](std::vector<std::string> args) {
    out.str("");
    err.str("");
    args.insert(args.end(), {"--iterations", "4", "--json"});
    return cli::run(args, tiny_family(), {.out = out, .err = err});
  };
  const auto run = [&] { return Json::parse(out.str())["run"]; };
  CHECK(begin({}) == cli::kDone);
  CHECK(run() == "runs/ebb-tiny-line-CR-seed1");
  CHECK(contains(err.str(), "saved in runs/ebb-tiny-line-CR-seed1\n"));
  CHECK(begin({}) == cli::kDone);
  CHECK(run() == "runs/ebb-tiny-line-CR-seed1-2");
  CHECK(begin({}) == cli::kDone);
  CHECK(run() == "runs/ebb-tiny-line-CR-seed1-3");
  CHECK(begin({"--bits", "round(3->8 : cycle(2) cos)", "--seed", "2"}) == cli::kDone);
  CHECK(run() == "runs/ebb-tiny-line-round-3-8-cycle-2-cos-seed2");
  CHECK(begin({"--out", "none"}) == cli::kDone);
  CHECK(run().is_null());
  CHECK(begin({"--dry-run"}) == cli::kDone);
  CHECK(std::distance(std::filesystem::directory_iterator("runs"), {}) == 4);
  std::filesystem::remove_all("runs");
  write_file("runs", "in the way");
  CHECK(begin({}) == cli::kFailed);
  CHECK(contains(err.str(), "cannot make the directory runs/ebb-tiny-line-CR-seed1"));
  CHECK(contains(err.str(), "or --out none to save nothing"));
  std::filesystem::current_path(before);
}

TEST_CASE("checkpoints of the best score and of every save are kept on request") {
  const Scratch scratch;
  const std::string best = scratch / "best", all = scratch / "all";
  REQUIRE(call(concat(kPlan, " --keep best --out ", best)).code == cli::kDone);
  const Shown run = call(concat(kPlan, " --keep all --out ", all));
  REQUIRE(run.code == cli::kDone);
  const Json json = Json::parse(run.out);
  const std::int64_t step = json["best_iteration"];
  CHECK(read_checkpoint(best, "best").iteration == step);
  CHECK(read_checkpoint(all, "best").iteration == step);
  for (const std::int64_t saved : {3, 6, 9, 12, 15, 18, 20})
    CHECK(read_checkpoint(all, checkpoint_after(saved)).iteration == saved);
  CHECK_FALSE(std::filesystem::exists(best + "/step-3.safetensors"));

  const auto scored = [&](const std::string& checkpoint) {
    const Shown shown = call(concat("--json --evaluate ", all, " --checkpoint ", checkpoint));
    CAPTURE(shown.err);
    REQUIRE(shown.code == cli::kDone);
    return Json::parse(shown.out);
  };
  CHECK(scored("best")["validation_negative_loss"] == json["best_score"]);
  CHECK(scored("last")["weights_sha256"] == json["weights_sha256"]);
  CHECK(scored("6")["iterations"] == 6);
  CHECK(contains(call("--evaluate " + best + " --checkpoint 6").err,
                 "has no step-6.safetensors: training writes it with --keep all"));
  // A run that was cut goes on to the same best, whatever was kept of it.
  const std::string cut = scratch / "cut";
  REQUIRE(call(concat(kPlan, " --keep best --out ", cut), tiny_family(-1, 13)).code ==
          cli::kInterrupted);
  REQUIRE(call("--resume --out " + cut).code == cli::kDone);
  CHECK(read_checkpoint(cut, "best").iteration == step);
  CHECK(weights_sha256(read_checkpoint(cut, "best")) ==
        weights_sha256(read_checkpoint(best, "best")));
}

TEST_CASE("patience ends a run whose score is no longer better, also one that goes on") {
  const Scratch scratch;
  // At this rate the loss rises, so that the first score stays the best.
  const std::string plan =
      "--bits 8 --lr 2 --iterations 40 --eval-every 4 --save-every 3 --patience 2 --json --out ";
  const std::string whole = scratch / "whole", cut = scratch / "cut";
  const Shown run = call(plan + whole);
  CAPTURE(run.err);
  REQUIRE(run.code == cli::kDone);
  const Json json = Json::parse(run.out);
  CHECK(json["ended_early"] == true);
  CHECK(json["interrupted"] == false);
  CHECK(json["best_split"] == "validation");
  CHECK(json["iterations"] == json["best_iteration"].get<std::int64_t>() + 8);
  CHECK(json["test_iteration"] == json["iterations"]);  // scored on all splits at its end
  REQUIRE(call(plan + cut, tiny_family(-1, 5)).code == cli::kInterrupted);
  const Shown resumed = call("--json --resume --out " + cut);
  for (const char* same : {"weights_sha256", "iterations", "best_iteration", "test_negative_loss",
                           "ended_early", "bit_ops"}) {
    CAPTURE(same);
    CHECK(Json::parse(resumed.out)[same] == json[same]);
  }
  // Ended is ended, unless there is more patience.
  CHECK(hash_of(call("--json --resume --out " + cut)) == json["weights_sha256"]);
  CHECK(contains(call("--resume --out " + cut).out,
                 "ended early, after 2 evaluations without a better score"));
  const Json more = Json::parse(call("--json --resume --patience 3 --out " + cut).out);
  CHECK(more["iterations"] == json["iterations"].get<std::int64_t>() + 4);
}
