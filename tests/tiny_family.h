#pragma once

#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/errors.h"
#include "tests/train_tiny_task.h"
#include "train/app/run_main.h"

/// A program whose task is a line to fit, for tests of what surrounds a training.
namespace ebb::test {

/// What one call of the program shows and returns.
struct Shown {
  int code;
  std::string out, err;
};

/// Of the weights that a run with --json came to.
inline std::string hash_of(const Shown& shown) {
  return nlohmann::json::parse(shown.out)["weights_sha256"];
}

/// The signal comes within the loss of a step, or, counted from 100 on, within a piece of an
/// evaluation; other data come with a bad_step of -2.
inline cli::ModelFamily tiny_family(std::int64_t bad_step = -1, std::int64_t signal_step = -1) {
  const auto build = [=](const train::Options&, ParamStore& params) {
    params = TinyTask::state().params;
    train::Task task = TinyTask{.bad_step = bad_step}.task();
    task.data = {{"training", bad_step == -2 ? "other" : "tiny"}};
    task.loss = [loss = task.loss, signal_step](Pass& pass, std::int64_t t, std::int64_t part) {
      if (t == signal_step) raise(SIGINT);
      return loss(pass, t, part);
    };
    const auto pieces = std::make_shared<std::int64_t>(100);
    for (train::Split& split : task.splits) {
      split.begin = [begin = split.begin, signal_step, pieces] {
        train::Scorer scorer = begin();
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

inline Shown call(const std::string& text, const cli::ModelFamily& family = tiny_family(),
                  bool terminal = false) {
  std::ostringstream out, err;
  std::vector<std::string> args = split_at(text, ' ');
  // Nothing is kept that no test asks for.
  if (std::ranges::find(args, "--out") == args.end()) args.insert(args.end(), {"--out", "none"});
  const int code = cli::run(args, family, {.out = out, .err = err, .terminal = terminal});
  return {code, out.str(), err.str()};
}

inline constexpr const char* kUnsaved = "--cycles 2 --iterations 20 --eval-every 4 --json";
inline constexpr const char* kPlan =
    "--cycles 2 --iterations 20 --eval-every 4 --json --save-every 3";

}  // namespace ebb::test
