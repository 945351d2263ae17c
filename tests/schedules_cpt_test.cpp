#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "schedules/cpt.h"

using namespace ebb;

namespace {

const std::vector<std::string> kCyclic = {"CR", "LR",  "ER",  "RR",  "CT",
                                          "LT", "ETV", "ETH", "RTV", "RTH"};

std::string bits_of(const Bound& bound) {
  std::string digits;
  for (std::int64_t t = 0; t < bound.updates(); ++t)
    digits += std::to_string(bound.value(t).bits());
  return digits;
}

/// q^2 + 2 q g of a static run, which the papers compare with.
std::uint64_t static_cost(int q, int g) { return static_cast<std::uint64_t>(q * q + 2 * q * g); }

/// The formulas of the reference code in its own order of operations, with libm.
double reference(const std::string& name, double a, double b, std::int64_t t, std::int64_t period) {
  const auto p = static_cast<double>(period), i = static_cast<double>(t % period);
  const double u = i / p, z = (p - i) / p, range = b - a;
  const auto r = [](double x) { return x / ((1 - 0.9) + 0.9 * x); };
  const bool falls = name[1] == 'T' && (t / period) % 2 == 0, flipped = name.back() == 'V';
  switch (name[0]) {
    case 'C':
      return falls ? b - 0.5 * range * (1 - std::cos(M_PI * u))
                   : a + 0.5 * range * (1 - std::cos(M_PI * u));
    case 'L': return falls ? b - range * u : a + range * u;
    case 'E':
      return !falls    ? b - range * std::exp(-4 * u)
             : flipped ? a + range * std::exp(-4 * u)
                       : b - range * std::exp(-4 * (1 - u));
    default: return !falls ? b - range * r(z) : flipped ? a + range * r(z) : b - range * r(1 - z);
  }
}

}  // namespace

TEST_CASE(
    "the worked example of 16 iterations and 2 cycles is reproduced for both lengths of a cycle") {
  struct Case {
    std::string name;
    std::string plus_one;
    std::string floor;
  };
  const Case cases[] = {{"CR", "3344567783344567", "3345667833456678"},
                        {"LR", "3445566773445566", "3445667734456677"},
                        {"ER", "3567778883567778", "3567788835677888"},
                        {"RR", "3333344453333344", "3333344533333445"},
                        {"CT", "8877654433344567", "8876654333456678"},
                        {"LT", "8776655443445566", "8776654434456677"},
                        {"ETV", "8654443333567778", "8654433335677888"},
                        {"ETH", "8888777653567778", "8888776535677888"},
                        {"RTV", "8888877763333344", "8888877633333445"},
                        {"RTH", "8544433333333344", "8544333333333445"}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(bits_of(precision_schedule(c.name, {.cycles = 2}).bind(16)) == c.plus_one);
    CHECK(
        bits_of(precision_schedule(c.name, {.cycles = 2, .length = CycleLength::floor}).bind(16)) ==
        c.floor);
  }
  CHECK(bits_of(precision_schedule("static", {.max_bits = 6}).bind(3)) == "666");
}

TEST_CASE(
    "before rounding the first cycle of 9 iterations agrees to the three decimals of the table") {
  const std::map<std::string, std::vector<double>> table = {
      {"cycle(2) cos", {3.000, 3.151, 3.585, 4.250, 5.066, 5.934, 6.750, 7.415, 7.849}},
      {"cycle(2) lin", {3.000, 3.556, 4.111, 4.667, 5.222, 5.778, 6.333, 6.889, 7.444}},
      {"cycle(2) exp(4)", {3.000, 4.794, 5.944, 6.682, 7.155, 7.458, 7.653, 7.777, 7.857}},
      {"cycle(2) rex(.9)", {3.000, 3.062, 3.139, 3.238, 3.370, 3.556, 3.833, 4.296, 5.222}},
      {"zigzag(2,V) cos", {8.000, 7.849, 7.415, 6.750, 5.934, 5.066, 4.250, 3.585, 3.151}},
      {"zigzag(2,H) lin", {8.000, 7.444, 6.889, 6.333, 5.778, 5.222, 4.667, 4.111, 3.556}},
      {"zigzag(2,V) exp(4)", {8.000, 6.206, 5.056, 4.318, 3.845, 3.542, 3.347, 3.223, 3.143}},
      {"zigzag(2,H) exp(4)", {7.908, 7.857, 7.777, 7.653, 7.458, 7.155, 6.682, 5.944, 4.794}},
      {"zigzag(2,V) rex(.9)", {8.000, 7.938, 7.861, 7.762, 7.630, 7.444, 7.167, 6.704, 5.778}},
      {"zigzag(2,H) rex(.9)", {8.000, 5.222, 4.296, 3.833, 3.556, 3.370, 3.238, 3.139, 3.062}}};
  for (const auto& row : table) {
    const std::string& profile = row.first;
    const std::vector<double>& values = row.second;
    CAPTURE(profile);
    const Bound bound = Schedule::parse("3->8 : " + profile).bind(16);
    for (std::size_t t = 0; t < values.size(); ++t)
      CHECK(std::fabs(bound(static_cast<std::int64_t>(t)) - values[t]) <= 0.0005 + 1e-12);
  }
}

TEST_CASE("the rounded growth curves step up where the paper's profiles cross half a bit") {
  const std::map<std::string, std::vector<double>> table = {
      {"CR", {0.20483, 0.36901, 0.50000, 0.63099, 0.79517}},
      {"LR", {0.1, 0.3, 0.5, 0.7, 0.9}},
      {"ER", {0.02634, 0.08917, 0.17329, 0.30099, 0.57565}},
      {"RR", {0.52632, 0.81081, 0.90909, 0.95890, 0.98901}}};
  constexpr std::int64_t kPeriod = 1'000'000;
  for (const auto& row : table) {
    const std::string& name = row.first;
    const std::vector<double>& steps = row.second;
    CAPTURE(name);
    const Bound bound =
        precision_schedule(name, {.cycles = 1, .length = CycleLength::floor}).bind(kPeriod);
    for (std::size_t k = 0; k < steps.size(); ++k) {
      const auto at = static_cast<std::int64_t>(std::llround(steps[k] * kPeriod));
      CHECK(bound.value(at - 6).bits() == 3 + static_cast<int>(k));  // the table has five decimals
      CHECK(bound.value(at + 6).bits() == 4 + static_cast<int>(k));
    }
  }
}

TEST_CASE(
    "every schedule equals the reference's formulas in libm at every iteration, and stays between "
    "its bounds") {
  struct Case {
    std::int64_t updates, cycles;
    int low, high;
  };
  const Case cases[] = {{64000, 8, 3, 8}, {500, 8, 3, 8},   {1003, 7, 5, 8}, {100, 3, 5, 8},
                        {6137, 2, 4, 6},  {101, 30, 1, 16}, {90, 9, 3, 8}};
  for (const Case& c : cases) {
    for (const CycleLength length : {CycleLength::floor_plus_one, CycleLength::floor}) {
      const std::int64_t period = c.updates / c.cycles + (length == CycleLength::floor ? 0 : 1);
      for (const std::string& name : kCyclic) {
        const Bound bound =
            precision_schedule(name, {c.cycles, c.low, c.high, length}).bind(c.updates);
        std::int64_t differ = 0, outside = 0;
        for (std::int64_t t = 0; t < c.updates; ++t) {
          const int bits = bound.value(t).bits();
          const double real = reference(name, c.low, c.high, t, period);
          // Ties as exact arithmetic sees them: libm's last bit must not decide.
          const double half = std::floor(real) + 0.5;
          differ +=
              bits != static_cast<int>(std::nearbyint(std::fabs(real - half) < 1e-9 ? half : real))
                  ? 1
                  : 0;
          outside += bits < c.low || bits > c.high ? 1 : 0;
        }
        CAPTURE(name);
        CAPTURE(c.updates);
        CHECK(differ == 0);
        CHECK(outside == 0);
        CHECK(bound.value(0).bits() ==
              (name[1] == 'R' ? c.low
               : name == "ETH"
                   ? static_cast<int>(std::nearbyint(reference(name, c.low, c.high, 0, period)))
                   : c.high));
      }
    }
  }
}

TEST_CASE("half-way values go to the even width: 6.5 becomes 6, 4.5 becomes 4") {
  CHECK(precision_schedule("LR", {.cycles = 1, .min_bits = 5, .length = CycleLength::floor})
            .bind(100)
            .value(50)
            .bits() == 6);
  const Bound falling =
      precision_schedule("LT", {.cycles = 2, .length = CycleLength::floor}).bind(200);
  CHECK(falling.value(30).bits() == 6);  // 8 - 5 * 0.3
  CHECK(falling.value(70).bits() == 4);  // 8 - 5 * 0.7
  CHECK(falling.value(50).bits() == 6);  // 5.5
}

TEST_CASE("mean costs relative to static agree with the computed table to 1e-3") {
  struct OptionSpec {
    int low, high, gradient;
  };
  const OptionSpec settings[] = {{3, 8, 8}, {3, 6, 6}, {3, 6, 8}, {4, 8, 8},
                                 {4, 6, 6}, {5, 8, 8}, {5, 6, 6}};
  const std::map<std::string, std::vector<double>> table = {
      {"RR", {0.399, 0.497, 0.511, 0.501, 0.644, 0.611, 0.806}},
      {"LR", {0.628, 0.696, 0.706, 0.695, 0.792, 0.766, 0.893}},
      {"CR", {0.633, 0.700, 0.709, 0.699, 0.793, 0.769, 0.893}},
      {"ETV", {0.635, 0.701, 0.710, 0.700, 0.794, 0.769, 0.893}},
      {"RTV", {0.637, 0.703, 0.711, 0.702, 0.794, 0.770, 0.893}},
      {"ER", {0.822, 0.863, 0.868, 0.858, 0.912, 0.895, 0.963}}};
  const std::map<std::string, std::string> row_of = {
      {"RTH", "RR"}, {"LT", "LR"}, {"CT", "CR"}, {"ETH", "ER"}};
  for (const std::string& name : kCyclic) {
    const std::vector<double>& row = table.at(row_of.contains(name) ? row_of.at(name) : name);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const OptionSpec& s = settings[i];
      const Bound bound =
          precision_schedule(name, {.min_bits = s.low, .max_bits = s.high}).bind(64000);
      CAPTURE(name);
      CAPTURE(i);
      CHECK(std::fabs(precision_cost(bound, s.gradient, static_cost(s.high, s.gradient)).relative -
                      row[i]) <= 1e-3);
    }
  }
  CHECK(precision_cost(precision_schedule("static").bind(10), 8, 192).relative == 1.0);
  CHECK(precision_cost(precision_schedule("fp32").bind(10), 8, 192).relative ==
        16.0);  // 3 * 32^2 over 3 * 8^2
}

TEST_CASE("the published savings of the original schedule with 32 cycles are met") {
  struct Case {
    int low, high, gradient;
    double percent;
  };
  const Case cases[] = {{3, 8, 8, 36.67}, {3, 6, 6, 30.05}, {4, 8, 8, 30.11}, {4, 6, 6, 20.69},
                        {5, 8, 8, 23.16}, {5, 6, 8, 10.23}, {4, 6, 8, 19.96}};
  for (const Case& c : cases) {
    const Bound bound =
        precision_schedule("CR", {32, c.low, c.high, CycleLength::floor}).bind(64000);
    CHECK(std::fabs(
              precision_cost(bound, c.gradient, static_cost(c.high, c.gradient)).savings_percent() -
              c.percent) <= 0.005);
  }
}

TEST_CASE("the groups order the schedules by cost: large savings below medium below small") {
  std::map<Savings, std::pair<double, double>> range;
  for (const std::string& name : kCyclic) {
    const double cost = precision_cost(precision_schedule(name).bind(64000), 8, 192).relative;
    auto& [low, high] = range.emplace(savings_of(name), std::pair(cost, cost)).first->second;
    low = std::min(low, cost);
    high = std::max(high, cost);
  }
  CHECK(range[Savings::large].second < range[Savings::medium].first);
  CHECK(range[Savings::medium].second < range[Savings::small].first);
  CHECK(savings_of("static") == Savings::none);
}

TEST_CASE("names stand for expressions and unknown ones are answered with the nearest") {
  CHECK(precision_schedule("CR").text() == "round(3->8 : cycle(8) cos)");
  CHECK(precision_schedule("ETH", {.cycles = 4, .min_bits = 2, .length = CycleLength::floor})
            .text() == "round(2->8 : zigzag(4, H, len=floor) exp(4))");
  CHECK(precision_schedule("RTV") == Schedule::parse("round(3->8 : zigzag(8, V) rex(.9))"));
  CHECK(precision_schedule("static").text() == "8");
  CHECK(precision_schedule("fp32").bind(1).value(0).named == Format::fp32());
  CHECK_THROWS_WITH_AS(precision_schedule("CRR"), doctest::Contains("did you mean 'CR'?"),
                       ConfigError);
  CHECK_THROWS_AS(precision_schedule("CR", {.min_bits = 9, .max_bits = 8}), ConfigError);
  CHECK_THROWS_AS(precision_schedule("CR", {.min_bits = 0}), ConfigError);
  CHECK_THROWS_AS(precision_schedule("CR", {.max_bits = 17}), ConfigError);
  CHECK_THROWS_AS(precision_schedule("CR", {.cycles = 0}), ConfigError);
}

TEST_CASE("legal but doubtful precision settings say what will happen") {
  struct Case {
    std::string name;
    CyclicPrecision settings;
    std::int64_t updates;
    std::vector<const char*> says;
  };
  const Case cases[] = {
      {"CR", {}, 64000, {}},
      {"RTH", {}, 64000, {}},
      {"CT", {.cycles = 7}, 64000, {"falling half"}},
      {"RR", {}, 500, {"fewer than 100", "peaks at 7 and ends at 6 bits"}},
      {"CR",
       {.cycles = 30},
       101,
       {"number 26, is cut short by 3", "peaks at 7 and ends at 3 bits"}},
      {"CR", {.length = CycleLength::floor}, 450450, {"leave 2 of 450450 updates"}}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const std::vector<std::string> warnings = precision_warnings(
        precision_schedule(c.name, c.settings).bind(c.updates), c.settings.max_bits);
    REQUIRE(warnings.size() == c.says.size());
    for (std::size_t i = 0; i < warnings.size(); ++i)
      CHECK(doctest::String(warnings[i].c_str()) == doctest::Contains(c.says[i]));
  }
}
