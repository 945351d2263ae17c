#include <doctest/doctest.h>

#include <bit>
#include <string>

#include "core/read_number.h"
#include "core/text.h"

using namespace ebb;

TEST_CASE("what is too small for a type reads as zero, what is too large does not read") {
  struct Case {
    std::string text;
    bool hex, reads;
    float value;
  };
  const std::string far = "1" + std::string(99, '0');  // 2^396 as a hex number
  const Case cases[] = {{"1e-46", false, true, 0.0f},
                        {"-1e-46", false, true, -0.0f},
                        {"0.8e-45", false, true, 0x1p-149f},
                        {"0.6e-45", false, true, 0.0f},
                        {"1e-999999999999999999999", false, true, 0.0f},
                        {"0.00000000000000000000000000000000000000000000001", false, true, 0.0f},
                        {"1000000000000000000000000000000000000000000e-99", false, true, 0.0f},
                        {"0.0000000000000000000000000000001e+99", false, false, 0.0f},
                        {"1e39", false, false, 0.0f},
                        {"-1e99999999999999999999", false, false, 0.0f},
                        {"1p-150", true, true, 0.0f},
                        {"0.001p-140", true, true, 0.0f},
                        {"1p-149", true, true, 0x1p-149f},
                        {"1p128", true, false, 0.0f},
                        {far + "p-200", true, false, 0.0f},
                        {far + "p-600", true, true, 0.0f},
                        {far + "e-60", false, false, 0.0f},
                        {far + "e-160", false, true, 0.0f}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    float value = 7;
    const auto result =
        read_real(c.text, value, c.hex ? std::chars_format::hex : std::chars_format::general);
    CHECK((result.ec == std::errc{}) == c.reads);
    CHECK(result.ptr == c.text.data() + c.text.size());
    if (c.reads)
      CHECK(std::bit_cast<std::uint32_t>(value) == std::bit_cast<std::uint32_t>(c.value));
  }
  double x = 7;
  CHECK(parse_number("1e-400", x));
  CHECK(x == 0);
}

TEST_CASE("an integer in a name has one way to be written") {
  std::int64_t n = 7;
  for (const char* text : {"08", "+8", "-0", "00", " 8", "8 ", ""}) {
    CAPTURE(text);
    CHECK_FALSE(parse_canonical(text, n));
    CHECK(n == 7);
  }
  CHECK(parse_canonical("-8", n));
  CHECK(n == -8);
}
