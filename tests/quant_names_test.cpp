#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "quant/formats/codec.h"
#include "quant/formats/names.h"

using namespace ebb;

namespace {

std::string reprinted(std::string_view text) { return to_text(Format::parse(text)); }

/// What is behind "[format] ", or "" if the text is one.
std::string problem(std::string_view text) {
  try {
    static_cast<void>(Format::parse(text));
    return "";
  } catch (const ConfigError& error) {
    return std::string(error.what()).substr(9);
  }
}

}  // namespace

TEST_CASE("the text of a format says what differs from the nearest name") {
  struct Case {
    const char *text, *printed;
  };
  const Case cases[] = {
      {"fp8", "e4m3"},
      {"e4m3fn", "e4m3"},
      {"e4m3( bias = 11 , subnormals=no )", "e4m3(bias=11,subnormals=no)"},
      {"e4m3(offset=4)", "e4m3(bias=11)"},
      {"e4m3(inf=no,nan=no,offset=4)", "e4m3(bias=11,nan=no)"},
      {"e4m3(inf=yes)", "e4m3ieee"},
      {"e4m3(bias=7)", "e4m3"},
      {"e5m2(inf=no)", "e5m2(inf=no)"},
      {"e5m2(nan=no)", "e5m2(inf=no,nan=no)"},
      {"e3m4(inf=yes)", "e3m4(inf=yes,nan=yes)"},
      {"e4m3fnuz", "e4m3fnuz"},
      {"e5m2fnuz(overflow=nan)", "e5m2fnuz(overflow=nan)"},
      {"binary8p4", "binary8p4"},
      {"e5m10(overflow=saturate)", "fp16(overflow=saturate)"},
      {"e8m7(subnormals=no)", "bf16(subnormals=no)"},
      {"e8m0", "e8m0"},
      {"ue4m3", "ue4m3"},
      {"posit(8,2)", "posit8"},
      {"posit(8,1)", "posit(8,1)"},
      {"posit16(underflow=yes)", "posit16(underflow=yes)"},
      {"fixed8.6", "fixed8.6"},
      {"int4", "int4"},
      {"mxfp8", "mxfp8"},
      {"mxfp8(e4m3)", "mxfp8"},
      {"mxfp8(e5m2)", "mxfp8(e5m2)"},
      {"mxfp8(e5m2,rule=ceil)", "mxfp8(e5m2,rule=ceil)"},
      {"mxfp6(e2m3)", "mxfp6(e2m3)"},
      {"mxint8", "mxint8"},
      {"e2m1(scale=e8m0,block=32)", "mxfp4"},
      {"e2m1(scale=e8m0,block=16,rule=rceil)", "mxfp4(rule=rceil,block=16)"},
      {"nvfp4(block=16x16)", "nvfp4(block=16x16)"},
      {"e4m3(scale=none)", "e4m3(scale=none)"},
      {"e4m3(scale=pow2,exponent=5)", "e4m3(scale=pow2,exponent=5)"},
      {"bfp(3,16,8)", "msfp12"},
      {"bfp(4,24,5)", "bfp(4,24,5)"},
      {"bfp(4,24,5,rule=ceil)", "bfp(4,24,5,rule=ceil)"},
      {"fixed8.6(scale=pow2,block=16)", "msfp16"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(problem(c.text).empty());
    CHECK(reprinted(c.text) == c.printed);
    CHECK(Format::parse(c.printed) == Format::parse(c.text));
  }
}

TEST_CASE("names stand for what the tables of their specifications have") {
  const Format mxfp6 = Format::parse("mxfp6"), msfp12 = Format::parse("msfp12"),
               nvfp4 = Format::parse("nvfp4"), fnuz = Format::parse("e4m3fnuz");
  CHECK((mxfp6.exponent == 3 && mxfp6.fraction == 2 && mxfp6.scaling.block == 32));
  CHECK(mxfp6.scaling.kind == Scaling::Kind::e8m0);
  CHECK((nvfp4.scaling.kind == Scaling::Kind::ue4m3 && nvfp4.scaling.block == 16));
  CHECK((msfp12.kind == Format::Kind::fixed && msfp12.width == 4 && msfp12.fraction == 2));
  CHECK((msfp12.scaling.block == 16 && msfp12.scaling.exponent == 8));
  CHECK((fnuz.bias == 8 && traits_of(fnuz).max(fnuz) == 240));
  CHECK(traits_of(mxfp6).largest(mxfp6) == 448);  // 28 units of 2^-4
  CHECK(Format::parse("e4m3").scaling.kind == Scaling::Kind::absmax);
  CHECK(Format::parse("bf16").scaling.kind == Scaling::Kind::none);
  CHECK(Format::parse("posit8").scaling.kind == Scaling::Kind::none);
  CHECK(!Format::parse("e8m0").sign);
  CHECK_THROWS_WITH_AS(require_operand(Format::parse("e8m0")),
                       "[format] e8m0 is a format of scales, which are never negative; operands "
                       "have formats with a sign, such as int8, e4m3 or bf16, or blocks with such "
                       "scales: mxfp8, mxfp4",
                       ConfigError);
  CHECK_THROWS_WITH_AS(require_operand(Format::parse("ue4m3")),
                       doctest::Contains("blocks with such scales: nvfp4"), ConfigError);
}

TEST_CASE("every format that options can make prints a text that reads back as it") {
  const std::vector<std::vector<std::string>> options = {
      {"", "bias=3", "bias=20", "offset=-2"},
      {"", "inf=yes", "inf=no"},
      {"", "nan=yes", "nan=no"},
      {"", "subnormals=no"},
      {"", "overflow=ieee", "overflow=nan", "overflow=saturate"},
      {"", "scale=none", "scale=absmax", "scale=pow2", "scale=e8m0", "scale=ue4m3"},
      {"", "rule=ceil", "rule=rceil"},
      {"", "exponent=5"},
      {"", "block=32", "block=4x8"}};
  std::vector<std::string> names{"e4m3",     "e5m2fnuz",  "fp16",       "e2m1",       "e1m4",
                                 "e3m0",     "binary8p3", "e4m3ieee",   "posit(8,1)", "posit16",
                                 "fixed8.6", "fixed5.4",  "bfp(4,16,8)"};
  for (const FormatName& each : format_names()) names.emplace_back(each.text);
  int read = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const Key key = Key(5).fold(i);
    std::string text = names[key.below(0, names.size())];
    const bool open = text.ends_with(')');
    if (open) text.pop_back();
    std::string items;
    for (std::size_t j = 0; j < options.size(); ++j) {
      if (key.below(100 + j, 3) > 0) continue;
      const std::string& item = options[j][key.below(200 + j, options[j].size())];
      if (!item.empty()) items += (items.empty() && !open ? "(" : ",") + item;
    }
    text += items;
    if (open || !items.empty()) text += ')';
    Format format;
    if (!find_format(text, format)) continue;
    ++read;
    CAPTURE(text);
    const std::string printed = to_text(format);
    CHECK(printed.size() <= text.size() + 12);
    CHECK(Format::parse(printed) == format);
  }
  CHECK(read > 3'000);
}

TEST_CASE("a text that is no format is marked where it is wrong") {
  struct Case {
    const char *text, *problem;
  };
  const std::string known =
      "Known: fp32, tf32, bf16, fp16, any eXmY such as e4m3, e4m3fnuz, e4m3ieee, binary8pP, mxfp8, "
      "mxfp6, mxfp4, nvfp4, int1 .. int16, posit8, posit16, posit(n,es), fixedW.F, mxint8, msfp12, "
      "msfp16, bfp(mantissa,block,exponent)";
  CHECK(problem("mxpf4") ==
        "unknown format 'mxpf4'; did you mean 'mxfp4'? " + known + "\n  mxpf4\n  ^");
  const Case cases[] = {
      {"int17", "integer formats have 1 to 16 bits, got 17\n  int17\n  ^"},
      {"int8(3)", "int8 takes no arguments\n  int8(3)\n       ^"},
      {"int8(scale=none)", "this format has no options, got 'scale'\n  int8(scale=none)\n       ^"},
      {"e4m3(bais=11)",
       "unknown option 'bais'; did you mean 'bias'? Known: bias, offset, inf, nan, subnormals, "
       "overflow, scale, exponent, rule, block\n  e4m3(bais=11)\n       ^"},
      {"e4m3(bias=x)",
       "bias expects a whole number from -500 to 500, got 'x'\n  e4m3(bias=x)\n            ^"},
      {"e4m3(inf=no, inf=no)", "inf is given twice\n  e4m3(inf=no, inf=no)\n               ^"},
      {"e4m3(inf=yes,nan=no)",
       "formats with infinities have NaNs too\n  e4m3(inf=yes,nan=no)\n       ^"},
      {"e4m3fnuz(nan=no)",
       "the special values of this format are fixed\n  e4m3fnuz(nan=no)\n           ^"},
      {"e4m3(bias=11", "expected ')' at the end of the options\n  e4m3(bias=11\n              ^"},
      {"e4m3(bias=11))", "expected the end of the format\n  e4m3(bias=11))\n               ^"},
      {"e4m3(a(b))", "expected ',' or ')'\n  e4m3(a(b))\n        ^"},
      {"e4m3()", "expected an option KEY=VALUE\n  e4m3()\n       ^"},
      {"e4m3 ", "expected the end of the format\n  e4m3 \n      ^"},
      {"mxfp8(e2m1)",
       "mxfp8 is mxfp8 or mxfp8(e5m2) or mxfp8(e4m3), with options KEY=VALUE behind\n"
       "  mxfp8(e2m1)\n        ^"},
      {"mxfp4(block=0)",
       "block expects elements from 1 to 65535, or lines and elements as in 16x16, got '0'\n"
       "  mxfp4(block=0)\n              ^"},
      {"e4m3(overflow=nan,nan=no)",
       "there is no such floating format: overflow=nan needs a NaN, which it has not\n"
       "  e4m3(overflow=nan,nan=no)\n       ^"},
      {"bf16(nan=no)",
       "there is no such floating format: its numbers are beyond those of float32, from 2^-149 up "
       "to 2^128; offset moves them\n  bf16(nan=no)\n       ^"},
      {"posit8(scale=ue4m3)",
       "scale=ue4m3 is a scale of blocks: it needs block=16 or another length\n"
       "  posit8(scale=ue4m3)\n         ^"},
      {"posit(17,2)",
       "posits have 2 to 16 bits and es from 0 to 3, got 17 and 2\n"
       "  posit(17,2)\n        ^"},
      {"posit", "posit needs its width and es, as in posit(8,1)\n  posit\n  ^"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(problem(c.text) == c.problem);
  }
  CHECK(problem("\x1b[31m").find('\x1b') == std::string::npos);
}

TEST_CASE("formats are read at the beginning of a text, and lists split outside parentheses") {
  const FormatText read = read_format("e4m3(bias=11) @90% ; bf16");
  CHECK((read.problem.empty() && read.length == 13 && read.format.bias == 11));
  CHECK(read_format("cos(x)").length == 0);
  CHECK(read_format("e4m3 ; x").length == 4);
  CHECK(split_list("int4, e4m3(bias=11,inf=no),posit(8,1)") ==
        std::vector<std::string>{"int4", "e4m3(bias=11,inf=no)", "posit(8,1)"});
  CHECK(split_list("") == std::vector<std::string>{});
  CHECK(split_list("a,,b,") == std::vector<std::string>{"a", "", "b", ""});
}

TEST_CASE("all numbers of a format are those of its codes") {
  for (const char* name : {"e2m1", "bf16", "posit8", "fixed8.6", "mxint8", "e8m0"}) {
    CAPTURE(name);
    const Format format = Format::parse(name);
    const auto numbers = all_numbers(format);
    REQUIRE(numbers.size() == std::size_t{1} << format.width);
    CHECK(numbers.data() == all_numbers(format).data());
    int wrong = 0;
    for (std::uint32_t code = 0; code < numbers.size(); ++code) {
      const float want = traits_of(format).decode(format, code);
      wrong += numbers[code] == want || (want != want && numbers[code] != numbers[code]) ? 0 : 1;
    }
    CHECK(wrong == 0);
  }
  CHECK(all_numbers(Format::parse("fixed8.6"))[0x80] == -2);
  CHECK_THROWS_AS(all_numbers(Format::parse("fp32")), ConfigError);
  CHECK_THROWS_AS(all_numbers(Format::parse("int8")), ConfigError);
}
