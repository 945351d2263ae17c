// Optimizers with state in low precision, against their definition written out with round_to, and
// against tables of what they come to.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "optim/optimizer.h"
#include "quant/formats/codec.h"
#include "quant/formats/multi_float.h"

using namespace ebb;

namespace {

const Format kBf16 = Format::parse("bf16");

std::vector<Simd> levels() {
  std::vector<Simd> all{Simd::scalar};
  for (const Simd level : {Simd::avx2, Simd::avx512}) {
    if (level <= best_simd()) all.push_back(level);
  }
  return all;
}

float to(Format f, float x) { return round_to(f, x, Rounding::nearest_even, Key(0), 0); }

ParamStore one_parameter(std::int64_t n, float value) {
  ParamStore params;
  params.add("w", Tensor::filled({n}, value));
  return params;
}

/// AdamW and SGD in low precision for one element, as docs/NUMERICS.md has them.
struct Element {
  std::string strategy;  ///< the name without "adamw-", "sgd-"
  StateFormats f;
  bool strict = false;
  float w = 0, m = 0, v = 0, low = 0, v_low = 0, master = 0;

  [[nodiscard]] float op(float x) const { return strict ? to(f.moment, x) : x; }
  [[nodiscard]] bool plus() const { return strategy == "collage-plus"; }

  void decay_and_add(double decay, float a) {  // of v with its residual
    const MultiFloat expansion({{f.moment}, {f.residual}});
    const auto constant = expansion.split(decay);
    const auto scaled =
        expansion(ExpansionOp::mul, {double{v}, double{v_low}, constant[0], constant[1]});
    const auto sum =
        expansion(ExpansionOp::grow_safe, {scaled[0], scaled[1], double{to(f.moment, a)}});
    v = static_cast<float>(sum[0]);
    v_low = static_cast<float>(sum[1]);
  }
  [[nodiscard]] Format update_format() const {
    if (strategy == "master") return f.master;
    if (strategy == "fp32-state") return f.moment;
    return strategy == "low" || strategy == "stochastic" ? f.weight : f.residual;
  }
  void apply(float update, Key key, std::uint64_t i) {
    if (strategy == "low") w = to(f.weight, w + update);
    if (strategy == "fp32-state") w = to(f.weight, w + to(f.weight, update));
    if (strategy == "stochastic") w = round_to(f.weight, w + update, Rounding::stochastic, key, i);
    if (strategy == "kahan") {
      low = to(f.residual, low + update);
      const float moved = to(f.weight, w + low);
      low = to(f.residual, low + to(f.residual, w - moved));
      w = moved;
    }
    if (strategy == "master") {
      master = to(f.master, master + update);
      w = to(f.weight, master);
    }
    if (strategy.starts_with("collage")) {
      const auto sum = MultiFloat({{f.weight}, {f.residual}})(
          ExpansionOp::grow_fast, {double{w}, double{low}, double{update}});
      w = static_cast<float>(sum[0]);
      low = static_cast<float>(sum[1]);
    }
  }
  void adamw(const Optimizer& o, float given, double rate, int t, Key key, std::uint64_t i) {
    const auto of = [&](const char* name) { return number_of(o.hyperparameters, name); };
    const double beta1 = of("beta1"), beta2 = of("beta2");
    const float g = to(f.gradient, given), gain2 = static_cast<float>(1 - beta2);
    m = to(f.moment, m + op(static_cast<float>(1 - beta1) * op(g - m)));
    const float square = op(gain2 * g) * g;
    if (plus()) {
      decay_and_add(beta2, square);
    } else {
      v = to(f.moment, v * to(f.moment, static_cast<float>(beta2)));
      v = to(f.moment, v + op(square));
    }
    const float root = to(f.moment, std::sqrt(v)),
                correction = static_cast<float>(std::sqrt(1 - std::pow(beta2, t))),
                below = to(f.moment, op(root / correction) + static_cast<float>(of("epsilon"))),
                step = static_cast<float>(rate / (1 - std::pow(beta1, t))),
                shrink = static_cast<float>(rate * of("weight_decay")),
                theta = strategy == "master" ? master : w;
    apply(to(update_format(), -(op(step * op(m / below)) + op(shrink * theta))), key, i);
  }
  void sgd(const Optimizer& o, float given, double rate, Key key, std::uint64_t i) {
    const double momentum = number_of(o.hyperparameters, "momentum");
    const float g = to(f.gradient, given),
                decay = static_cast<float>(number_of(o.hyperparameters, "weight_decay"));
    const float d = op(g + op(decay * (strategy == "master" ? master : w)));
    if (plus()) {
      decay_and_add(momentum, d);
    } else {
      v = to(f.moment, op(static_cast<float>(momentum) * v) + d);
    }
    apply(to(update_format(), -(static_cast<float>(rate) * v)), key, i);
  }
};

/// Without the words before the strategy.
std::string strategy_of(const std::string& name) {
  for (const std::string prefix : {"adamw-", "sgd-"}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

StateFormats formats_of(const char* weight, const char* gradient, const char* moment,
                        const char* residual) {
  return {Format::parse(weight), Format::parse(gradient), Format::parse(moment),
          Format::parse(residual), Format::fp32()};
}

std::int64_t differing(const std::string& name, const std::optional<StateFormats>& formats,
                       bool strict, Simd simd) {
  constexpr std::int64_t n = 1500;  // two pieces, the second of a length that fills no register
  NamedNumbers given{{"weight_decay", 0.1}, {"strict_elementwise", strict ? 1.0 : 0.0}};
  if (!name.starts_with("sgd")) given.emplace_back("epsilon", 1e-5);
  Optimizer optimizer(find_optimizer(name), given, formats);
  optimizer.simd = simd;
  ParamStore params;
  Tensor start = Tensor::uninitialized({n});
  for (std::int64_t i = 0; i < n; ++i)
    start[i] = static_cast<float>(Key(1).normal(static_cast<std::uint64_t>(i)));
  params.add("w", start);
  optimizer.begin(params);
  std::vector<Element> want(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    want[static_cast<std::size_t>(i)] = {.strategy = strategy_of(name),
                                         .f = optimizer.formats,
                                         .strict = strict,
                                         .w = to(optimizer.formats.weight, start[i]),
                                         .master = start[i]};
  std::int64_t wrong = 0;
  for (int t = 1; t <= 4; ++t) {
    Gradients g{Tensor::uninitialized({n})};
    const Key key = Key(7).fold(t);
    for (std::int64_t i = 0; i < n; ++i)
      g[0][i] = i % 50 == 0 ? 0.0f
                            : static_cast<float>(key.normal(static_cast<std::uint64_t>(i))) *
                                  (i % 3 == 0 ? 1.0f : 0.001f);
    const double rate = 0.01 / t;
    optimizer.step(params, g, rate, key);
    for (std::int64_t i = 0; i < n; ++i) {
      Element& e = want[static_cast<std::size_t>(i)];
      const auto element = static_cast<std::uint64_t>(i);
      const Key drawn = key.fold("w").fold("weight");
      if (name.starts_with("sgd")) {
        e.sgd(optimizer, g[0][i], rate, drawn, element);
      } else {
        e.adamw(optimizer, g[0][i], rate, t, drawn, element);
      }
      wrong += e.w == params["w"][i] ? 0 : 1;
      for (std::size_t s = 0; s < optimizer.rule->slots.size(); ++s) {
        const std::string_view slot = optimizer.rule->slots[s].name;
        const float expected = slot == "first"                          ? e.m
                               : slot == "second" || slot == "velocity" ? e.v
                               : slot == "weight_residual"              ? e.low
                               : slot == "master"                       ? e.master
                                                                        : e.v_low;
        wrong += expected == optimizer.slots[s][0][i] ? 0 : 1;
      }
    }
  }
  return wrong;
}

}  // namespace

TEST_CASE("every strategy rounds where it says, in every format, by every instruction set") {
  struct Case {
    const char* why;
    std::optional<StateFormats> formats;
    bool strict;
  };
  const Case cases[] = {{"bf16, fused", std::nullopt, false},
                        {"bf16, strict", std::nullopt, true},
                        {"fp16", formats_of("fp16", "fp16", "fp16", "fp16"), false},
                        {"weights of 8 bits", formats_of("e4m3", "bf16", "bf16", "bf16"), false}};
  int rules = 0;
  for (const OptimizerRule* const rule : optimizer_rules()) {
    if (rule->formats == StateFormats{}) continue;
    ++rules;
    for (const Case& c : cases) {
      for (const Simd simd : levels()) {
        CAPTURE(rule->name);
        CAPTURE(c.why);
        CAPTURE(to_text(simd));
        CHECK(differing(std::string(rule->name), c.formats, c.strict, simd) == 0);
      }
    }
  }
  CHECK(rules == 14);
}

TEST_CASE("the mean of squares of constant gradients of 1") {
  struct Case {
    double beta2;
    int t;
    double exact, low, plus;
  };
  const Case cases[] = {{0.999, 100, 0.095208, 0.098145, 0.095162},
                        {0.999, 1000, 0.632305, 0.5, 0.632233},
                        {0.999, 5000, 0.993279, 0.5, 0.990234},
                        {0.99, 1000, 0.999957, 0.835938, 1.000244},
                        {0.95, 1000, 1.000000, 0.964844, 1.000870}};
  for (const Case& c : cases) {
    CAPTURE(c.beta2);
    CAPTURE(c.t);
    CHECK(1 - std::pow(c.beta2, c.t) == doctest::Approx(c.exact).epsilon(1e-6));
    for (const char* name : {"adamw-low", "collage-plus"}) {
      const bool plus = name[0] == 'c';
      ParamStore params = one_parameter(1, 0);
      Optimizer optimizer = make_optimizer(name, {{"beta2", c.beta2}});
      for (int t = 0; t < c.t; ++t) optimizer.step(params, {Tensor::filled({1}, 1.0f)}, 0.0);
      const double v =
          double{optimizer.slots[1][0][0]} + (plus ? double{optimizer.slots[3][0][0]} : 0.0);
      CAPTURE(name);
      CAPTURE(v);
      CHECK(std::abs(v - (plus ? c.plus : c.low)) <= 0x1p-8 * v);  // an ulp of the first number
    }
  }
}

namespace {

/// Adds a constant update to a weight of 1, by SGD without momentum at rate 1.
struct Sum {
  double weight, whole;
  UpdateQuality last{};
};
Sum add_updates(const char* name, double update, int times) {
  ParamStore params = one_parameter(1, 1);
  Optimizer optimizer = make_optimizer(name, {{"momentum", 0.0}});
  Sum sum{};
  for (int t = 0; t < times; ++t) {
    std::vector<UpdateQuality> quality;
    optimizer.step(params, {Tensor::filled({1}, static_cast<float>(-update))},
                   std::vector<double>{1.0}, Key(5).fold(t), &quality);
    sum.last = quality.at(0);
  }
  sum.weight = double{params["w"][0]};
  const bool residual = optimizer.rule->slots.back().name == kWeightResidual;
  sum.whole = sum.weight + (residual ? double{optimizer.slots.back()[0][0]} : 0.0);
  return sum;
}

}  // namespace

TEST_CASE("small updates of a weight of 1, by strategy") {
  const double small = -1e-4, large = -1e-3;
  CHECK(to(kBf16, -1e-4f) == -0.00010013580322265625f);
  struct Case {
    const char* name;
    double update;
    int times;
    double weight, tolerance;
  };
  const Case cases[] = {
      {"sgd-low", small, 10000, 1.0, 0},
      {"sgd-collage-light", small, 10000, 0.00396728515625, 0},
      {"sgd-kahan", small, 10000, 0.003957, 2e-5},
      {"sgd-stochastic", small, 10000, -0.001358, 0.1},  // 0.02 is its standard deviation
      {"sgd-low", large, 500, 1.0, 0},
      {"sgd-collage-light", large, 500, 0.500336, 2e-3},  // of two numbers
      {"sgd-kahan", large, 500, 0.500343, 2e-3},
      {"sgd-stochastic", large, 500, 0.500275, 0.1}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CAPTURE(c.update);
    const Sum sum = add_updates(c.name, c.update, c.times);
    CAPTURE(sum.weight);
    CAPTURE(sum.whole);
    CHECK(std::abs(sum.weight - c.weight) <= c.tolerance);
  }
  const Sum light = add_updates("sgd-collage-light", small, 10000);
  CHECK(light.whole - light.weight == doctest::Approx(-1.049041748046875e-05).epsilon(1e-9));
  CHECK(add_updates("sgd-collage-light", large, 500).whole ==
        doctest::Approx(0.500336).epsilon(1e-5));
  CHECK(add_updates("sgd-kahan", large, 500).whole == doctest::Approx(0.500343).epsilon(1e-5));
}

TEST_CASE("imprecision: a stuck weight loses everything, float32 nothing") {
  struct Case {
    const char* name;
    double lost, ratio, whole_ratio;
  };
  const Case cases[] = {{"sgd-low", 1, 0, 0},
                        {"sgd", 0, 1, 1},
                        {"sgd-master", 0, 1, 1},
                        {"sgd-collage-light", 1, 0, 1}};  // its first number stays, at first
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const UpdateQuality q = add_updates(c.name, -1e-4, 1).last;
    CHECK(q.elements == 1);
    CHECK(q.zero_updates == 0);
    CHECK(double(q.lost) == c.lost);
    CHECK(q.edq_ratio() == doctest::Approx(c.ratio).epsilon(1e-3));
    CHECK(q.whole_edq_ratio() == doctest::Approx(c.whole_ratio).epsilon(1e-3));
    CHECK(q.edq() == doctest::Approx(c.ratio * 1.0013580322265625e-4).epsilon(1e-2));
  }
}

TEST_CASE("imprecision is summed in double, of all elements, however they are split") {
  constexpr std::size_t n = 10001;
  std::vector<float> intended(n), before(n), after(n), low_before(n), low_after(n);
  double squares = 0, dot = 0, whole = 0;
  for (std::size_t i = 0; i < n; ++i) {
    intended[i] = i % 4 == 0 ? 0.0f : static_cast<float>(Key(1).normal(i));
    before[i] = static_cast<float>(Key(2).normal(i));
    after[i] = i % 3 == 0 ? before[i] : before[i] + intended[i];
    low_after[i] = i % 3 == 0 ? intended[i] : 0.0f;
    squares += double{intended[i]} * double{intended[i]};
    dot += double{intended[i]} * (double{after[i]} - double{before[i]});
    whole += double{intended[i]} * (double{after[i]} - double{before[i]} + double{low_after[i]});
  }
  const UpdateQuality q = measure_update("w", {intended, before, after, low_before, low_after});
  CHECK(q.elements == n);
  CHECK(q.zero_updates == 2501);
  CHECK(q.lost == 3334 - 834);  // multiples of 3 that are none of 12
  CHECK(q.edq() == doctest::Approx(dot / std::sqrt(squares)).epsilon(1e-12));
  CHECK(q.edq_ratio() == doctest::Approx(dot / squares).epsilon(1e-12));
  CHECK(q.whole_edq_ratio() == doctest::Approx(whole / squares).epsilon(1e-12));
  UpdateQuality both = q;
  both += q;
  CHECK(both.lost == 2 * q.lost);
  CHECK(both.edq_ratio() == doctest::Approx(q.edq_ratio()).epsilon(1e-12));
  CHECK(measure_update("none", {}).edq_ratio() == 1);
}

TEST_CASE("bytes of a parameter: weight, gradient, moments, residuals, master") {
  struct Case {
    const char* name;
    std::vector<double> bytes;
    double total;
  };
  const Case cases[] = {{"adamw", {4, 4, 8, 0, 0}, 16},
                        {"adamw-low", {2, 2, 4, 0, 0}, 8},
                        {"adamw-stochastic", {2, 2, 4, 0, 0}, 8},
                        {"adamw-kahan", {2, 2, 4, 2, 0}, 10},
                        {"collage-light", {2, 2, 4, 2, 0}, 10},
                        {"collage-plus", {2, 2, 4, 4, 0}, 12},
                        {"adamw-fp32-state", {2, 2, 8, 0, 0}, 12},
                        {"adamw-master", {2, 2, 8, 0, 4}, 16},
                        {"sgd", {4, 4, 4, 0, 0}, 12},
                        {"sgd-collage-plus", {2, 2, 2, 4, 0}, 10}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    std::vector<double> bytes;
    for (const auto& [role, count] : make_optimizer(c.name).bytes_per_parameter())
      bytes.push_back(count);
    CHECK(bytes == c.bytes);
    CHECK(std::accumulate(bytes.begin(), bytes.end(), 0.0) == c.total);
  }
}

TEST_CASE("weights are numbers of their format from the beginning, masters keep the others") {
  ParamStore params = one_parameter(3, 1.001f);
  params.add("range", Tensor::filled({2}, 1.001f), ParamStore::Kind::state);
  Optimizer optimizer = make_optimizer("adamw-master");
  optimizer.begin(params);
  CHECK(params["w"] == Tensor::filled({3}, 1.0f));
  CHECK(params["range"] == Tensor::filled({2}, 1.001f));
  CHECK(optimizer.slots[2][0][0] == 1.001f);
  optimizer.begin(params);  // again: nothing is left to do
  CHECK(optimizer.slots[2][0][0] == 1.001f);
  ParamStore plain = one_parameter(3, 1.001f);
  make_optimizer("adamw").begin(plain);
  CHECK(plain["w"] == Tensor::filled({3}, 1.001f));
}

TEST_CASE("formats that cannot hold a strategy are refused, constants that round away are told") {
  struct Case {
    const char* name;
    NamedNumbers given;
    StateFormats formats;
    const char* message;
  };
  StateFormats narrow_master = formats_of("bf16", "bf16", "fp32", "bf16");
  narrow_master.master = Format::parse("e4m3");
  const Case cases[] = {
      {"adamw-master",
       {},
       narrow_master,
       "[optimizer] masters: e4m3 is narrower than bf16, the format of the weights; give "
       "masters=fp32"},
      {"collage-plus",
       {},
       formats_of("fp16", "fp16", "fp16", "fp16"),
       "[optimizer] epsilon 1e-08 is 0 in fp16, the format of the moments, so an update would be 0 "
       "/ 0 where gradients are zero; give a larger --epsilon"},
      {"adamw-low",
       {},
       formats_of("int8", "bf16", "bf16", "bf16"),
       "[optimizer] weights: expected fp32 or a floating format of up to 16 bits with subnormal "
       "numbers, such as bf16, fp16 or e4m3, got int8"},
      {"adamw",
       {},
       formats_of("bf16", "bf16", "bf16", "bf16"),
       "[adamw] keeps everything in float32; formats can be chosen for optimizers in low "
       "precision, such as collage-plus"}};
  for (const Case& c : cases)
    CHECK_THROWS_WITH_AS(Optimizer(find_optimizer(c.name), c.given, c.formats), c.message,
                         ConfigError);
  for (const char* name : {"adamw-low", "collage-light", "adamw-kahan", "adamw-stochastic"}) {
    CAPTURE(name);
    CHECK(make_optimizer(name).warnings() ==
          std::vector<std::string>{"beta2 0.999 is 1 in bf16, the format of the moments: the mean "
                                   "of squares never decays; collage-plus and adamw-fp32-state "
                                   "hold it"});
    CHECK(make_optimizer(name, {{"beta2", 0.99}}).warnings().empty());
  }
  for (const char* name : {"collage-plus", "adamw-fp32-state", "adamw-master", "adamw", "sgd-low"})
    CHECK(make_optimizer(name).warnings().empty());
}
