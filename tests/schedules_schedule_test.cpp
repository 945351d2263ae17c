#include "schedules/schedule.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <set>
#include <thread>

#include "core/error.h"
#include "tests/schedules_random.h"

using namespace ebb;

namespace {

std::atomic<std::size_t> allocations = 0;

double at(std::string_view expression, std::int64_t updates, std::int64_t t) {
  return Schedule::parse(expression).bind(updates)(t);
}

std::string error_of(std::string_view expression) {
  try {
    (void)Schedule::parse(expression);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

// Out of line: inlining one of a pair but not the other makes gcc suspect a mismatch under
// sanitizers.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("profiles and operators give the values worked out by hand") {
  struct Case {
    std::string expression;
    std::int64_t updates, t;
    double value;
  };
  const Case cases[] = {
      {"rex", 2, 1, 2.0 / 3},
      {"rex(.9)", 2, 1, 1 / 1.1},
      {"rex(b=0)", 4, 1, 0.75},
      {"cos", 4, 1, 0.85355339059327},
      {"exp(3)", 10, 10, 0.049787068367864},
      {"step(50%,75%;.1)", 100, 49, 1},
      {"step(50%,75%;.1)", 100, 50, 0.1},
      {"step(50%,75%,.1)", 100, 75, 0.01},
      {"sqrt1", 4, 1, 0.5},
      {"pow(2)", 4, 1, 0.5625},
      {"pow(1.5)", 4, 3, 0.125},
      {"table(5, 7, 9)", 9, 2, 5},
      {"table(5, 7, 9)", 9, 3, 7},
      {"table(5, 7, 9)", 9, 9, 9},
      {"smooth", 100, 0, 1},
      {"smooth", 100, 100, 0},
      // A = 1 / (3/4 * 4 * (1/4)^3 + (1/4)^4) = 256/13; at s = 1/8 the ramp is 256/13/4096, at 1/4
      // it is 1/13, then straight
      {"smooth", 8, 1, 1 - 1.0 / 208},
      {"smooth(.25, 4)", 100, 25, 12.0 / 13},
      {"smooth(mid=.25, p=4)", 8, 5, 6.0 / 13},
      {"2->1 : lin", 4, 1, 1.75},
      {"3 : lin", 4, 1, 2.25},  // from 3 to 0
      {"1->0 : exp(3)", 10, 10, 0.049787068367864},
      {"1->0 : norm(exp(3))", 10, 10, 0},
      {"lin @50%", 100, 25, 0.5},
      {"lin @50%", 100, 80, 0},
      {"lin @50% closed", 101, 25, 0.5},
      {"lin @5up closed", 100, 4, 0},
      {"lin @5up closed", 100, 3, 0.25},
      {"delay(50%) 1->0:lin", 100, 50, 1},
      {"delay(50%) 1->0:lin", 100, 75, 0.5},
      {"delay(100%) lin", 100, 100, 1},
      {"sample(every 10%) 1->0:lin", 100, 30, 0.7},
      {"sample(every 10%) 1->0:lin", 100, 39, 0.7},
      {"sample(every 1/3%) lin", 1000, 4, 0.996},  // points at ceil(k 10/3) = 0, 4, 7, 10
      {"sample(every 1/3%) lin", 1000, 6, 0.996},
      {"sample(at 50%, 75%) lin", 100, 49, 1},
      {"sample(at 50%, 75%) lin", 100, 74, 0.5},
      {"rev lin", 4, 1, 0.25},
      {"neg exp(3)", 10, 10, 1 - 0.049787068367864},
      {"cycle(4) 1->0:cos", 100, 26, 1},
      {"cycle(4,len=floor) lin", 100, 26, 0.96},
      {"cycle(3, mul=2, decay=.5) 1->0:lin", 70, 9, 0.1},  // cycles of 10, 20, 40
      {"cycle(3, mul=2, decay=.5) 1->0:lin", 70, 10, 0.5},
      {"cycle(3, mul=2, decay=.5) 1->0:lin", 70, 30, 0.25},
      {"cycle(3, mul=2, decay=.5) 1->0:lin", 70, 50, 0.125},
      {"cycle(3, mul=2) 1->0:lin", 70, 70, 0},
      {"1 @10up ; 2 @rest ; 3 @20%", 100, 9, 1},
      {"1 @10up ; 2 @rest ; 3 @20%", 100, 79, 2},
      {"1 @10up ; 2 @rest ; 3 @20%", 100, 80, 3},
      {"1 @1/3% ; 2 @1/3% ; 3 @rest", 1000, 6,
       2},  // ceil(3.33) = 4, ceil(6.67) = 7: cumulative, not 4 and 8
      {"1 @1/3% ; 2 @1/3% ; 3 @rest", 1000, 7, 3},
      {"2 * 3 + 4 * lin", 4, 2, 8},
      {"2 * (3 + 4) * lin", 4, 2, 7},
      {"2 * lin @50%", 4, 1, 1},     // @ binds tighter than *
      {"rev lin @50%", 8, 1, 0.25},  // and a prefix tighter than @
      {"min(2, 3 : lin) + max(1, lin)", 4, 3, 1.75},
      {"clamp(.2,.8) lin", 10, 0, 0.8},
      {"clamp(.2,.8) lin", 10, 9, 0.2},
      {"affine(lin, 4, -1)", 4, 1, 2},
      {"inv(4) + sqrt(9)", 1, 0, 3.25},
      {"update * update", 10, 7, 49},
      {"1 @3up ; update @rest", 10, 7, 4},
      {"hold_from(30%) lin", 10, 8, 0.7},
      {"warm(10up) 1", 100, 0, 0.1},
      {"warm(10up) 1", 100, 10, 1},
      {"warm(10up, w0=0) 1->0:lin", 100, 5, 0.475},
      {"warm(0up) 7", 100, 0, 7},
      {"round(2.5)", 1, 0, 2},
      {"round(3.5)", 1, 0, 4},
      {"round(2.5000000009)", 1, 0, 2},
      {"round(2.500000002)", 1, 0, 3},
      {"round(3.4999999991)", 1, 0, 4},
      {"round(-2.5)", 1, 0, -2},
      {"round(1e300)", 1, 0, 1e300},
      {"floor(2.9)", 1, 0, 2},
      {"floor(2.9999999999)", 1, 0, 3},
      {"pick{4096, 28672} 20000", 1, 0, 28672},
      {"pick{1, 2, 4} 3", 1, 0, 2},
      {"1/4 + -1/8", 1, 0, 0.125},
      {"group{stem: 1, *: 2}", 1, 0, 2},
      {"3->8 : cycle(8) cos", 64000, 64000, 8},  // at the end, the end of the last cycle
      {"zigzag(2,H) exp(4)", 16, 16, 0.018315638888734},
      {"zigzag(1,H) exp(4)", 16, 16, 1}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    CAPTURE(c.t);
    CHECK(at(c.expression, c.updates, c.t) == doctest::Approx(c.value).epsilon(1e-12));
  }
  CHECK(at("sample(every 10%) 1->0:lin", 100, 30) == 0.7);
}

TEST_CASE("warm-up, stable, decay runs as the specification works it out") {
  const Bound wsd = Schedule::parse("1 @rest ; 1->0:lin @20%").bind(100);
  CHECK(wsd(79) == 1);
  CHECK(wsd(90) == 0.5);
  CHECK(wsd(99) == 0.05);
  CHECK(wsd(100) == 0);
  CHECK(wsd(107) == 0);
  const Bound yulan =
      Schedule::parse("0->1:lin @2433up ; 1 @240765up ; hold_from(18802up) 1->0:sqrt1 @19000up")
          .bind(262198);
  CHECK(0.01 * yulan(262000) == doctest::Approx(5.2241723e-5).epsilon(1e-8));
  CHECK(yulan(262198) == yulan(262000));
  const Bound inverse_sqrt =
      Schedule::parse("0->1:lin @4000up ; inv(sqrt(affine(update, 1/4000, 1))) @rest").bind(100000);
  CHECK(inverse_sqrt(16000) == doctest::Approx(0.5));
  const Bound two_stage =
      Schedule::parse("(1 @40000up ; 1->.525:lin @1000up ; .525 @rest) * (1 @rest ; 1->0:lin @20%)")
          .bind(100000);
  CHECK(two_stage(90000) == doctest::Approx(0.525 / 2));
}

TEST_CASE("names work in joins, and other schedules by reference") {
  const Bound bits = Schedule::parse("fp32 @10% ; round(3->8:cycle(8) cos) @rest").bind(64000);
  CHECK(bits.value(6399).named == Format::fp32());
  CHECK(bits.value(6399).bits() == 32);
  CHECK(bits.value(6400) == Value{.number = 3});
  CHECK(bits.value(6400).bits() == 3);
  CHECK_THROWS_AS((void)bits(0), ConfigError);
  CHECK(to_text(Schedule::parse("pick{fp4, fp8, bf16} (0->2 : neg lin)").bind(100).value(60)) ==
        "e4m3");  // OCP's, which fp8 is short for

  const Schedule groups =
      Schedule::parse("group{ffn: (fp4 @95% ; bf16 @rest), *: (fp8 @95% ; bf16 @rest)}");
  CHECK(groups.bind(Totals{.updates = 100}, {}, "ffn").value(94).named == Format::parse("fp4"));
  CHECK(groups.bind(Totals{.updates = 100}, {}, "attention").value(94).named ==
        Format::parse("fp8"));
  CHECK_THROWS_AS((void)Schedule::parse("group{ffn: 1}").bind(100), ConfigError);

  // A member may answer to several names: the last part that names it counts, and `*` only where
  // none does.
  const Schedule nested = Schedule::parse(
      "group{*: 4, block1: 5, weight: group{block1: 2, *: 3}} @50% ; group{block1: 7, *: 8} @rest");
  CHECK(nested.group_names() == std::vector<std::string>{"block1", "weight", "block1", "block1"});
  const auto at_start_and_end = [&](const std::vector<std::string>& names) {
    const Bound bound =
        nested.bind(Totals{.updates = 100}, {}, {names[0], [&](std::string_view part) {
                                                   return std::find(names.begin(), names.end(),
                                                                    part) != names.end();
                                                 }});
    return std::pair(bound(0), bound(99));
  };
  CHECK(at_start_and_end({"block1"}) == std::pair(5.0, 7.0));
  CHECK(at_start_and_end({"block2"}) == std::pair(4.0, 8.0));
  CHECK(at_start_and_end({"block1", "weight"}) == std::pair(2.0, 7.0));
  CHECK(at_start_and_end({"block2", "weight"}) == std::pair(3.0, 8.0));
  CHECK(Schedule::parse("8").group_names().empty());

  const Schedule epsilon = Schedule::parse("0 @10up ; 0->0.1:smooth @80up ; 0.1 @rest");
  const Schedule lambda = Schedule::parse("0 @50% ; affine(ref(eps), -5, 0.5) @rest");
  const Bound bound = lambda.bind(Totals{.updates = 200}, {{{"eps", epsilon}}});
  CHECK(bound(150) == doctest::Approx(0.0));  // ref stands on the clock of the run
  CHECK(lambda.bind(Totals{.updates = 100}, {{{"eps", epsilon}}})(50) ==
        doctest::Approx(0.5 - 5 * epsilon.bind(100)(50)));
  CHECK_THROWS_WITH_AS((void)lambda.bind(100), doctest::Contains("unknown reference 'eps'"),
                       ConfigError);
  CHECK_THROWS_AS((void)lambda.bind(Totals{.updates = 100}, {{{"eps", lambda}}}), ConfigError);
}

TEST_CASE(
    "lengths in epochs, samples and tokens turn into updates where the run says what they are "
    "worth") {
  const Totals totals{.updates = 1000,
                      .updates_per_epoch = 100,
                      .samples_per_update = 128,
                      .tokens_per_update = 4096};
  struct Case {
    std::string length;
    std::int64_t boundary;
  };
  const Case cases[] = {{"3ep", 300},       {"1/3ep", 34}, {"4e4sp", 313}, {"409600tok", 100},
                        {"409601tok", 101}, {"2.5%", 25},  {"7up", 7},     {"0.5up", 1}};
  for (const Case& c : cases) {
    CAPTURE(c.length);
    const Bound bound = Schedule::parse("1 @" + c.length + " ; 2 @rest").bind(totals);
    CHECK(bound(c.boundary - 1) == 1);
    CHECK(bound(c.boundary) == 2);
  }
  CHECK_THROWS_WITH_AS((void)Schedule::parse("lin @3ep").bind(100), doctest::Contains("in epochs"),
                       ConfigError);
}

TEST_CASE("boundaries are ceilings of exact fractions, where doubles err") {
  // 0.07 * 100 is 7.000000000000001 in doubles, whose ceiling is 8.
  const Bound seven = Schedule::parse("1 @7% ; 2 @rest").bind(100);
  CHECK(seven(6) == 1);
  CHECK(seven(7) == 2);
  std::string tenths = "0 @10%";
  for (int part = 1; part < 10; ++part) tenths += " ; " + std::to_string(part) + " @10%";
  for (const std::int64_t updates : {10, 30, 1000, 12345, 1 << 20}) {
    const Bound bound = Schedule::parse(tenths).bind(updates);
    for (std::int64_t part = 1; part < 10; ++part) {
      const std::int64_t boundary = (part * updates + 9) / 10;
      CHECK(bound(boundary) == static_cast<double>(part));
      CHECK(bound(boundary - 1) == static_cast<double>(part - 1));
    }
  }
}

TEST_CASE("parts of no updates are legal and are never in the way") {
  CHECK(at("5 @0% ; 1 @rest", 10, 0) == 1);
  CHECK(at("5 @0up ; 6 @0up ; 1 @rest ; 7 @0up ; 2 @50%", 10, 0) == 1);
  CHECK(at("5 @0up ; 6 @0up ; 1 @rest ; 7 @0up ; 2 @50%", 10, 5) == 2);
  CHECK(at("1 @100% ; 3->0:lin @0%", 10, 9) == 1);
  CHECK(at("1 @100% ; 3->0:lin @0%", 10, 10) == 0);  // the end value is that of the last part
  CHECK(at("1 @50% ; 2 @rest ; 3 @50%", 10, 5) == 3);
  CHECK(at("lin @0up", 10, 0) == 0);
  CHECK(at("rev lin @0up", 10, 0) == 1);
  CHECK(at("2 @10% ; (1 @50% ; 3 @50%) @0% ; 4 @rest", 10, 1) == 4);
}

TEST_CASE("the text of random schedules reads back to an equal schedule") {
  std::set<std::string> texts;
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    RandomSchedule random(Key(7).fold(seed));
    const Schedule schedule = random.mixed(static_cast<int>(seed % 6));
    const std::string text = schedule.text();
    CAPTURE(text);
    const Schedule again = Schedule::parse(text);
    REQUIRE(again == schedule);
    REQUIRE(again.text() == text);
    REQUIRE(Schedule::parse("  (" + text + ")\n") == schedule);
    texts.insert(text);
  }
  CHECK(texts.size() > 3000);
  CHECK(!(Schedule::parse("1->0 : lin") == Schedule::parse("lin")));
  CHECK(!(Schedule::parse("(1 + 2) + 3") == Schedule::parse("1 + 2 + 3")));
}

TEST_CASE(
    "values of random schedules are pure, stay after the end, allocate nothing and are the same in "
    "every thread") {
  const Totals totals{
      .updates = 997, .updates_per_epoch = 10, .samples_per_update = 3, .tokens_per_update = 7};
  const Schedule::References references{{{"other", Schedule::parse("1 @50% ; lin @rest")}}};
  int bound_ones = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    RandomSchedule random(Key(11).fold(seed));
    const Schedule schedule = random.mixed(static_cast<int>(seed % 5));
    const auto bind = [&]() -> std::optional<Bound> {
      try {
        return schedule.bind(totals, references);
      } catch (const ConfigError&) {
        return std::nullopt;  // a norm of a constant, a period of nothing, marks that go back
      }
    };
    const std::optional<Bound> bound = bind();
    if (!bound) continue;
    ++bound_ones;
    const std::string text = schedule.text();
    CAPTURE(text);
    const auto same = [](const Value& a, const Value& b) {
      return std::memcmp(&a.number, &b.number, sizeof(double)) == 0 && a.named == b.named;
    };
    std::vector<Value> forward(1000), backward(1000);
    const std::size_t before = allocations;
    for (std::int64_t t = 0; t < 1000; ++t) forward[static_cast<std::size_t>(t)] = bound->value(t);
    const std::size_t after = allocations;
    REQUIRE(before == after);
    std::thread reader([&] {
      for (std::int64_t t = 999; t >= 0; --t)
        backward[static_cast<std::size_t>(t)] = bound->value(t);
    });
    const Bound resumed = *bind();
    for (std::int64_t t = 500; t < 1000; ++t)
      REQUIRE(same(resumed.value(t), forward[static_cast<std::size_t>(t)]));
    reader.join();
    for (std::size_t t = 0; t < 1000; ++t) REQUIRE(same(forward[t], backward[t]));
    REQUIRE(same(bound->value(997), bound->value(998)));
    REQUIRE(same(bound->value(997), bound->value(std::int64_t{1} << 62)));
    if (schedule.is_whole()) {
      for (const Value& value : forward)
        REQUIRE((!value.is_number() || !std::isfinite(value.number) ||
                 value.number == std::floor(value.number)));
    }
  }
  CHECK(bound_ones > 1000);
}

TEST_CASE("a mistake is marked by a caret under its place") {
  struct Case {
    std::string expression;
    const char* says;
    std::size_t place;
  };
  const Case cases[] = {{"", "expected a number, a profile or an operator, got the end", 0},
                        {"round(3->8 : cycle(8) cso)", "did you mean 'cos'?", 22},
                        {"round(3->8 : cycle(8) cos", "expected ')', got the end", 25},
                        {"1 @10% ; 2", "needs a length of its own", 0},
                        {"1 @10% ; 2 * 3 @rest", "needs a length of its own", 0},
                        {"1 @10 ; 2 @rest", "carries one of the units", 5},
                        {"1 @rest ; 2 @rest", "only one part", 0},
                        {"lin @20% extra", "expected '@', '*', '+', ';' or the end, got 'e'", 9},
                        {"cycle(0) lin", "n from 1 to 1e+09, got 0", 0},
                        {"cycle(2.5) lin", "whole n", 0},
                        {"cycle(2, mul=2, mul=3) lin", "mul twice", 16},
                        {"cycle(2, nul=2) lin", "did you mean 'mul'?", 9},
                        {"cycle(2, len=ceil) lin", "unknown len 'ceil'", 13},
                        {"cycle lin", "expected '('", 6},
                        {"cycle(2, mul=2, len=floor) lin", "no meaning", 0},
                        {"zigzag(8,X) lin", "unknown mirror 'X'", 9},
                        {"warm(3up, w0=-1) 1", "w0 >= 0", 10},
                        {"warm(rest) 1", "behind '@'", 0},
                        {"rex(1)", "b >= 0 and < 1, got 1", 0},
                        {"pow(0)", "p > 0 and <= 100, got 0", 0},
                        {"clamp(2,1) lin", "lo <= hi", 0},
                        {"1->0 lin", "expected ':'", 5},
                        {"round(fp32)", "needs numbers", 0},
                        {"2 * int8", "needs numbers", 0},
                        {"pick{fp32, 3} lin", "numbers only or names", 11},
                        {"group{a: 1, a: 2}", "'a' twice", 0},
                        {"1e999", "beyond the range", 0},
                        {"1/0", "finite", 0},
                        {"sample(10%) lin", "expected 'every LENGTH' or 'at LENGTH", 7},
                        {"lossscale(2,2,2000) * lin", "closed-loop controller", 0},
                        {"1 * plateau(.1)", "plateau needs the argument patience", 15},
                        {"1 * plateau(2, 10)", "a factor above 0 and below 1", 4},
                        {"plateau(.1, 10, mode=up)", "unknown mode 'up'", 0},
                        {"volsched(50, .05, 10, 4, 5)", "takes no further argument", 25},
                        {"phases()", "takes no further argument here", 7},
                        {"refine(lin)", "refine(record(gnorm2))", 0},
                        {"min(1)", "at least two operands", 0},
                        {"\x01\x02", "not plain text", 0}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    const std::string message = error_of(c.expression);
    CHECK(doctest::String(message.c_str()) == doctest::Contains(c.says));
    CHECK(message.substr(message.rfind('\n') + 1) == "  " + std::string(c.place, ' ') + "^");
  }
}

TEST_CASE("hostile text is refused before it can exhaust anything") {
  CHECK(doctest::String(error_of(std::string(1'000'000, '(')).c_str()) ==
        doctest::Contains("nested"));
  std::string wide = "1";
  for (int i = 0; i < 5000; ++i) wide += "+1";
  CHECK(doctest::String(error_of(wide).c_str()) == doctest::Contains("more than 4096 operators"));
  std::string picks = "pick{1";
  for (int i = 0; i < 20'000; ++i) picks += ",2";
  CHECK(doctest::String(error_of(picks + "} lin").c_str()) ==
        doctest::Contains("pick expects at most 1024 values"));
  std::string prefixes;
  for (int i = 0; i < 100; ++i) prefixes += "rev ";
  CHECK(doctest::String(error_of(prefixes + "lin").c_str()) == doctest::Contains("nested"));
  CHECK_THROWS_AS((void)Schedule::parse(
                      "cycle(30,mul=1.5) cycle(30,mul=1.5) cycle(30,mul=1.5) cycle(30,mul=1.5) lin")
                      .bind(std::int64_t{1} << 40),
                  ConfigError);
  CHECK_THROWS_AS((void)Schedule::parse("cycle(1000,mul=1.00000001) lin").bind(1000), ConfigError);
  CHECK_THROWS_AS((void)Schedule::parse("lin @999999999999999999up").bind(10)(-1), ConfigError);
  CHECK_THROWS_AS((void)Schedule::parse("lin").bind(0), ConfigError);
}

TEST_CASE("what cannot be bound says why, and what is doubtful says what will happen") {
  CHECK_THROWS_WITH_AS((void)Schedule::parse("1 @10% ; 2 @20%").bind(100),
                       doctest::Contains("fill 30 of 100 updates"), ConfigError);
  CHECK_THROWS_WITH_AS((void)Schedule::parse("norm(3)").bind(100), doctest::Contains("norm needs"),
                       ConfigError);
  CHECK_THROWS_WITH_AS((void)Schedule::parse("sample(every 0up) lin").bind(100),
                       doctest::Contains("every 0 updates"), ConfigError);
  CHECK_THROWS_WITH_AS((void)Schedule::parse("step(75%,50%,.1)").bind(100),
                       doctest::Contains("must not go back"), ConfigError);
  CHECK_THROWS_WITH_AS((void)Schedule::parse("cycle(200,len=floor) lin").bind(100),
                       doctest::Contains("do not fit"), ConfigError);
  struct Case {
    std::string expression;
    const char* says;
  };
  const Case cases[] = {{"warm(300up) lin", "the full value is never reached"},
                        {"0->1:lin @300up ; 1 @rest", "what lies beyond is cut off"},
                        {"zigzag(1) lin", "falling half"},
                        {"cycle(7,len=floor) lin", "stray cycle"},
                        {"cycle(50) lin", "fewer than 100"}};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    const std::vector<std::string> warnings = Schedule::parse(c.expression).bind(200).warnings();
    REQUIRE(warnings.size() == 1);
    CHECK(doctest::String(warnings[0].c_str()) == doctest::Contains(c.says));
  }
  CHECK(Schedule::parse("warm(100up) (1 @rest ; 1->0:lin @20%)").bind(200).warnings().empty());
  // A plan longer than the run is cut, not squeezed.
  CHECK(at("0->1:lin @300up ; 1 @rest", 150, 150) == 0.5);
}

TEST_CASE("functions build what the text form says") {
  using namespace ebb::schedules;
  CHECK(schedules::round(ramp(3, 8, cycle(8, cosine()))) ==
        Schedule::parse("round(3->8 : cycle(8) cos)"));
  CHECK(join({stretch(named("fp32"), Length::percent(10)), stretch(number(4), Length::rest())})
            .text() == "fp32 @10% ; 4 @rest");
  CHECK(warm(Length::updates(300), linear()).text() == "warm(300up) lin");
  CHECK(restarts(3, 2, 0.5, cosine()).text() == "cycle(3, mul=2, decay=0.5) cos");
  CHECK(pick(std::vector<std::string>{"fp4", "bf16"}, step({Length::parse("95%")}, 0)).text() ==
        "pick{fp4, bf16} step(95%, 0)");
  CHECK_THROWS_AS(cycle(0, cosine()), ConfigError);
  CHECK_THROWS_AS(named("fp33"), ConfigError);
  CHECK_THROWS_AS(number(std::nan("")), ConfigError);
  CHECK_THROWS_AS(join({number(1), number(2)}), ConfigError);
  CHECK_THROWS_AS(Length::parse("20"), ConfigError);
  Schedule deep = linear();
  CHECK_THROWS_AS(for (int i = 0; i < 100; ++i) deep = reversed(deep), ConfigError);
}
