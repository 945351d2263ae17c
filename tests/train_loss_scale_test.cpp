#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "tests/train_tiny_task.h"
#include "train/checkpoint.h"
#include "train/loss_scale.h"

using namespace ebb;
using train::LossScale;

namespace {

/// Gradients in fp16, of which 65,504 is the largest, with a scale that doubles after each update.
train::LoopSettings in_fp16(std::int64_t iterations) {
  train::LoopSettings s{.iterations = iterations, .key = Key(5)};
  s.plan = [](std::int64_t) {
    return PrecisionPlan::uniform(Format::parse("fp16"), Format::parse("fp16"));
  };
  s.rate = [](std::int64_t) { return 0.02; };
  s.eval_every = s.save_every = 5;
  return s;
}

train::RunState scaled_state(std::int64_t window) {
  train::RunState state = TinyTask::state();
  state.loss_scale = LossScale::parse("dynamic", window, 0);
  return state;
}

}  // namespace

TEST_CASE("a dynamic loss scale follows its attempts: o an overflow, others updates") {
  struct Case {
    const char* why;
    std::int64_t window;
    double tolerance;
    std::string attempts;
    std::vector<double> scales;  // after each
  };
  const Case cases[] = {{"doubled after every two updates", 2, 0, "....", {128, 256, 256, 512}},
                        {"an overflow halves it, and begins the window anew",
                         2,
                         0,
                         ".o..o.",
                         {128, 64, 64, 128, 64, 64}},
                        {"fewer overflows than half of the attempts are allowed",
                         100,
                         0.5,
                         "..o.o",
                         {128, 128, 128, 128, 128}},
                        {"half of them are not", 100, 0.5, "..ooo", {128, 128, 128, 64, 32}},
                        {"at the window it overflows again, by design",
                         3,
                         0,
                         "...o...o",
                         {128, 128, 256, 128, 128, 128, 256, 128}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    LossScale scale = LossScale::parse("dynamic", c.window, c.tolerance);
    std::vector<double> got;
    for (const char attempt : c.attempts) {
      LossScale resumed = LossScale::parse("dynamic", c.window, c.tolerance);
      resumed.restore(scale.save());
      CHECK(resumed == scale);
      if (attempt == 'o') {
        scale.overflowed("it");
      } else {
        scale.succeeded();
      }
      got.push_back(scale.scale);
    }
    CHECK(got == c.scales);
  }
}

TEST_CASE("loss scales that cannot be are refused, and those that cannot help give up") {
  for (const char* bad : {"0", "-1", "nan", "inf", "1e-60", "1e60", "", "Dynamic"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(LossScale::parse(bad, 1, 0), ConfigError);
  }
  CHECK(LossScale::parse("1000", 1, 0).scale == 1000);
  LossScale fixed = LossScale::parse("8", 1, 0);
  CHECK_THROWS_WITH_AS(fixed.overflowed("a gradient is not finite"),
                       "a gradient is not finite, at the loss scale 8; a smaller --loss-scale, or "
                       "--loss-scale dynamic, may help",
                       NonFiniteError);
  LossScale falling = LossScale::parse("dynamic", 1, 0);
  int overflows = 0;
  CHECK_THROWS_AS(
      [&] {
        for (;; ++overflows) falling.overflowed("it");
      }(),
      NonFiniteError);
  CHECK(overflows == 20);  // 128 / 2^20 is the last above 0.0001
  LossScale patient = LossScale::parse("dynamic", 1'000'000, 0.99);
  for (int i = 0; i < 300; ++i) patient.succeeded();
  overflows = 0;
  CHECK_THROWS_AS(
      [&] {
        for (;; ++overflows) patient.overflowed("it");
      }(),
      NonFiniteError);
  CHECK(overflows == 99);
  LossScale damaged = falling;
  CHECK_THROWS_AS(damaged.restore(std::vector<std::uint64_t>{1, 2}), DataError);
  CHECK_THROWS_AS(damaged.restore(std::vector<std::uint64_t>(7)), DataError);
}

TEST_CASE("in float32 a scale that is a power of two changes no bit") {
  train::LoopSettings s = in_fp16(12);
  s.plan = [](std::int64_t) { return PrecisionPlan::fp32(); };
  s.clip = 0.5;  // of gradients that are no longer scaled
  train::RunState plain = TinyTask::state(), scaled = scaled_state(3);
  const train::Task task = TinyTask{}.task();
  run_loop(task, plain, s, {});
  run_loop(task, scaled, s, {});
  CHECK(scaled.loss_scale->scale == 128 * 16);
  CHECK(train::weights_sha256(scaled.params) == train::weights_sha256(plain.params));
}

TEST_CASE("a step that overflows is tried again, charged, and resumed bit for bit") {
  const train::Task task = TinyTask{}.task();
  const train::LoopSettings s = in_fp16(30);
  train::RunState straight = scaled_state(1);
  std::vector<train::StepRow> rows;
  run_loop(task, straight, s, {.step = [&](const auto& row) { rows.push_back(row); }});
  REQUIRE(rows.size() == 30);
  std::int64_t skipped = 0;
  for (const train::StepRow& row : rows) {
    CAPTURE(row.iteration);
    CHECK(row.bit_ops == rows[0].bit_ops * static_cast<uint128>(1 + row.skipped));
    CHECK(row.loss_scale.value() >= 128);
    skipped += row.skipped;
  }
  CHECK(skipped > 3);
  CHECK(skipped == straight.loss_scale->overflows);
  for (const std::int64_t cut : {4, 11, 12, 13, 21}) {
    CAPTURE(cut);
    volatile std::sig_atomic_t stop = 0;
    train::LoopSettings first = s;
    first.stop = &stop;
    train::RunState state = scaled_state(1), resumed = scaled_state(1);
    std::string saved;
    run_loop(
        task, state, first,
        {.step = [&](const train::StepRow& row) { stop = row.iteration + 1 == cut ? 1 : 0; },
         .save = [&](const train::RunState& now) { saved = to_bytes(to_checkpoint(now, "{}")); }});
    restore(resumed, train::parse_checkpoint(saved));
    run_loop(task, resumed, s, {});
    CHECK(train::weights_sha256(resumed.params) == train::weights_sha256(straight.params));
    CHECK(resumed.ledger == straight.ledger);
    CHECK(resumed.loss_scale == straight.loss_scale);
  }
  train::RunState without = TinyTask::state();
  CHECK_THROWS_AS(run_loop(task, without,
                           [&] {
                             train::LoopSettings bad = s;
                             bad.rate = [](std::int64_t) { return 1e30; };
                             return bad;
                           }(),
                           {}),
                  NonFiniteError);
}
