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
  const Case cases[] = {{"8", Format::integer(8)},        {"int8", Format::integer(8)},
                        {"1", Format::integer(1)},        {"16", Format::integer(16)},
                        {"int16", Format::integer(16)},   {"fp32", Format::fp32()},
                        {"bf16", Format::floating(8, 7)}, {"e4m3", Format::floating(4, 3)},
                        {"fp8", Format::floating(4, 3)}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    CHECK(Schedule::parse(c.expression).bind(10).value(0).format() == c.format);
  }
  for (const char* none : {"fp33", "int17", "e9m3", "0", "17", "32", "3.5", "-4"}) {
    CAPTURE(none);
    CHECK_THROWS_AS((void)Schedule::parse(none).bind(10).value(0).format(), ConfigError);
  }
}
