#include <doctest/doctest.h>

#include <string>

#include "train/app/progress.h"

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

}  // namespace

TEST_CASE(
    "plain progress is whole lines at a modest rhythm, the first and the last step among them") {
  Progress progress(0, 100, {});
  CHECK(progress.step(step(0), 0.5) ==
        "step 1/100 (1.0 %)  epoch 1  mean loss 2.0000  formats int5/int5/int8  500.0 ms/step  ETA "
        "50 s\n");
  int lines = 0;
  for (std::int64_t t = 1; t < 99; ++t)
    lines += progress.step(step(t), 0.5 * static_cast<double>(t + 1)).empty() ? 0 : 1;
  CHECK(lines == 4);  // at 10.5, 20.5, 30.5 and 40.5 s
  CHECK(progress.step(step(99), 50.0) ==
        "step 100/100 (100.0 %)  epoch 2  mean loss 2.0000  formats int5/int5/int8  500.0 ms/step  "
        "ETA 0 s\n");
  CHECK(progress.line("evaluated") == "evaluated\n");
  CHECK(progress.finish().empty());
}

TEST_CASE("on a terminal one line rewrites itself and makes room for other lines") {
  Progress progress(40, 100, {.terminal = true, .color = false});
  CHECK(progress.step(step(40, 4.0), 0.0).starts_with("\r\x1b[Kstep 41/100"));
  CHECK(progress.step(step(41, 2.0), 0.05).empty());
  const std::string third = progress.step(step(42, 3.0), 0.2);
  CHECK(third.find("loss 3.0000") != std::string::npos);  // the mean of 4, 2 and 3
  CHECK(third.find('\n') == std::string::npos);
  CHECK(progress.line("evaluated") == "\r\x1b[Kevaluated\n");
  CHECK(progress.line("again") == "again\n");
  CHECK_FALSE(progress.step(step(43), 0.4).empty());
  CHECK(progress.finish() == "\n");
  CHECK(progress.finish().empty());
}

TEST_CASE("colour only when asked for") {
  CHECK(Progress(0, 2, {}).step(step(0), 0).find('\x1b') == std::string::npos);
  CHECK(Progress(0, 2, {.terminal = true, .color = true}).step(step(0), 0).find("\x1b[1m") !=
        std::string::npos);
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
