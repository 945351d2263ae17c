#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "train/app/progress.h"
#include "train/app/tables.h"

using namespace ebb;
using namespace ebb::train;

namespace {

const Format k5 = Format::integer(5), k8 = Format::integer(8);

StepRow step(std::int64_t t, double loss = 2.0) {
  return {.iteration = t,
          .epoch = t / 50,
          .loss = loss,
          .learning_rate = 0.1,
          .formats = {k5, k5, k8},
          .bit_ops = 1,
          .seconds = 0.5};
}

EvalRow evaluation(std::int64_t iteration, std::string split, double seconds) {
  return {.iteration = iteration,
          .split = std::move(split),
          .loss = 0.25,
          .metric = "accuracy",
          .score = 0.9321,
          .formats = {k8, k8, std::nullopt},
          .seconds = seconds};
}

// 100 steps in two epochs, scored every 20 steps in 4 pieces, at the end in 10.
Course course(std::int64_t begin = 0) {
  return {.begin = begin,
          .total = 100,
          .steps_per_epoch = 50,
          .eval_every = 20,
          .splits = {{"validation", 4}, {"test", 6}}};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "plain progress is whole lines at a modest rhythm, the first and the last step among them") {
  Progress progress(course(), {});
  CHECK(progress.step(step(0), 0.5) ==
        "steps 1/100  (1 %)  epochs 0.02/2  loss 2.0000  int5/int5/int8  lr 0.1  500.0 ms a step  "
        "ETA 50 s + evaluations\n");
  int lines = 0;
  for (std::int64_t t = 1; t < 99; ++t)
    lines += progress.step(step(t), 0.5 * static_cast<double>(t + 1)).empty() ? 0 : 1;
  CHECK(lines == 4);  // at 10.5, 20.5, 30.5 and 40.5 s
  CHECK(progress.evaluating("test", 1, 49).empty());
  CHECK(progress.evaluation(evaluation(80, "validation", 2)) ==
        "after 80 steps  validation accuracy 93.21 %  loss 0.2500  int8/int8  2 s\n");
  CHECK(progress.step(step(99), 50.0) ==
        "steps 100/100  (100 %)  epochs 2.00/2  loss 2.0000  accuracy 93.21 %  int5/int5/int8  lr "
        "0.1  500.0 ms a step  ETA 5 s\n");  // ten pieces of half a second
  CHECK(progress.finish().empty());
}

TEST_CASE("the remaining time has the evaluations still to come in it, once one was timed") {
  struct Case {
    std::int64_t done;
    const char* eta;
  };
  // Half a second a step, one a piece: 4 on the way, 10 at the end.
  const Case cases[] = {{1, "ETA 1:16"},    // 99 steps, after 20, 40, 60, 80, and at the end
                        {20, "ETA 1:06"},   // the evaluation after it is to come
                        {21, "ETA 1:02"},   // and is done
                        {99, "ETA 11 s"}};  // 0.5 + 10
  for (const Case& c : cases) {
    CAPTURE(c.done);
    Progress progress(course(c.done - 1), {},
                      {.steps = {}, .evaluations = {evaluation(0, "validation", 4)}});
    CHECK(contains(progress.step(step(c.done - 1), 0), c.eta));
  }
  Course unscored = course();
  unscored.splits.clear();
  CHECK(contains(Progress(unscored, {}).step(step(0), 0), "ETA 50 s\n"));
}

TEST_CASE("the loss shown is the training loss: the mean of the last epoch's steps") {
  Course two = course(3);
  two.steps_per_epoch = 2;
  Progress progress(two, {}, {.steps = {step(0, 9), step(1, 9), step(2, 3)}, .evaluations = {}});
  CHECK(contains(progress.step(step(3, 1), 0), "loss 2.0000"));  // of 3 and 1
}

TEST_CASE("on a terminal one line rewrites itself and makes room for other lines") {
  Progress progress(course(40), {.terminal = true});
  CHECK(progress.step(step(40, 4.0), 0.0).starts_with("\r\x1b[Ksteps 41/100"));
  CHECK(progress.step(step(41, 2.0), 0.05).empty());
  const std::string third = progress.step(step(42, 3.0), 0.2);
  CHECK(contains(third, "loss 3.0000"));  // the mean of 4, 2 and 3
  CHECK_FALSE(contains(third, "\n"));
  CHECK(progress.evaluating("test", 3, 0.25).empty());
  CHECK(progress.evaluating("test", 3, 0.4) == "\r\x1b[Ksteps 43/100  scoring test 50 %");
  CHECK(progress.evaluation(evaluation(43, "test", 1)).starts_with("\r\x1b[Kafter 43 steps"));
  CHECK(progress.evaluation(evaluation(43, "test", 1)).starts_with("after 43 steps"));
  CHECK_FALSE(progress.step(step(43), 0.6).empty());
  CHECK(progress.finish() == "\n");
  CHECK(progress.finish().empty());
}

TEST_CASE("the line fits the terminal, whatever its width is by now") {
  int columns = 200;
  Progress progress(course(), {.terminal = true, .color = true, .width = [&] { return columns; }});
  double now = 0;
  for (std::int64_t t = 0; t < 40; ++t) {
    CAPTURE(columns);
    const std::string line = progress.step(step(t), now += 1);
    std::string visible;  // without escape sequences
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\x1b') {
        i = line.find_first_of("Km", i);
      } else if (line[i] != '\r') {
        visible += line[i];
      }
    }
    CHECK(static_cast<int>(visible.size()) < columns);
    CHECK(contains(visible, "loss") == (columns >= 30));
    CHECK(contains(visible, "lr 0.1") == (columns >= 75));
    columns -= columns > 100 ? 20 : columns > 10 ? 5 : 1;
    columns = std::max(columns, 2);
  }
}

TEST_CASE("lines every so many steps replace those by time") {
  Progress plain(course(), {.log_every = 30});
  std::string shown;
  for (std::int64_t t = 0; t < 100; ++t)
    shown += plain.step(step(t), 60.0 * static_cast<double>(t));
  for (const char* part : {"steps 30/", "steps 60/", "steps 90/", "steps 100/"}) {
    CAPTURE(part);
    CHECK(contains(shown, part));
  }
  CHECK(std::ranges::count(shown, '\n') == 4);
  Progress terminal(course(), {.terminal = true, .log_every = 2});
  CHECK_FALSE(contains(terminal.step(step(0), 0), "\n"));
  CHECK(contains(terminal.step(step(1), 0.01), "\n"));
}

TEST_CASE("colour only when asked for") {
  CHECK_FALSE(contains(Progress(course(), {}).step(step(0), 0), "\x1b"));
  CHECK(
      contains(Progress(course(), {.terminal = true, .color = true}).step(step(0), 0), "\x1b[1m"));
}

TEST_CASE("scores, shares and costs read well") {
  CHECK(format_score("accuracy", 0.93214) == "93.21 %");
  CHECK(format_score("test_majority_accuracy", 0.5) == "50.00 %");
  CHECK(format_score("perplexity", 102.5) == "102.5000");
  CHECK(format_short(0.00012345) == "0.0001234");
  struct Case {
    uint128 value;
    const char* text;
  };
  const Case cases[] = {{0, "0 BitOPs"},
                        {999, "999 BitOPs"},
                        {1000, "1.000 kBitOPs"},
                        {10368, "10.37 kBitOPs"},
                        {999'940, "999.9 kBitOPs"},
                        {999'960, "1.000 MBitOPs"},
                        {static_cast<uint128>(1'234'567'890'123), "1.235 TBitOPs"},
                        {static_cast<uint128>(1e18) * 1'000'000, "1.000 YBitOPs"}};
  for (const Case& c : cases) CHECK(format_bit_ops(c.value) == c.text);
}

TEST_CASE("durations and widths read well") {
  struct Case {
    double seconds;
    const char* text;
  };
  const Case cases[] = {{0.4, "0 s"},  {59.4, "59 s"},    {59.6, "1:00"},
                        {247, "4:07"}, {3723, "1:02:03"}, {2 * 86400 + 11045, "2 d 3:04:05"},
                        {-1, "?"}};
  for (const Case& c : cases) CHECK(format_duration(c.seconds) == c.text);
  const Format k32 = Format::fp32();
  struct Formats {
    RoleFormats formats;
    const char* text;
  };
  const Formats formats[] = {{{}, "fp32"},
                             {{k5, k8, k32}, "int5/int8/fp32"},
                             {{k5, Format::parse("e4m3"), k8, true}, "int5/e4m3/int8 and by layer"},
                             {{k32, k32, k32, true}, "fp32 and by layer"},
                             {{k5, k8, std::nullopt}, "int5/int8"},  // an evaluation's
                             {{k32, k8, std::nullopt, true}, "fp32/int8 and by layer"},
                             {{k32, k32, std::nullopt}, "fp32"}};
  for (const Formats& c : formats) CHECK(formats_text(c.formats) == c.text);
}
