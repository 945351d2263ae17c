#include <doctest/doctest.h>

#include "core/error.h"
#include "schedules/schedule.h"
#include "schedules/value.h"

using namespace ebb;

TEST_CASE("a value becomes the format that it names, and nothing else") {
  struct Case {
    const char* expression;
    Format format;
  };
  const Case cases[] = {{"8", Format::integer(8)},      {"int8", Format::integer(8)},
                        {"1", Format::integer(1)},      {"16", Format::integer(16)},
                        {"int16", Format::integer(16)}, {"fp32", Format::fp32()}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    CHECK(Schedule::parse(c.expression).bind(10).value(0).format() == c.format);
  }
  // Names with a width, but no format that Ebb can train in: fp8 must not become int8. And numbers
  // that are no width.
  for (const char* none :
       {"fp8", "fp6", "fp4", "bf16", "fp16", "tf32", "0", "17", "32", "3.5", "-4"}) {
    CAPTURE(none);
    CHECK_THROWS_AS((void)Schedule::parse(none).bind(10).value(0).format(), ConfigError);
  }
}
