#include <doctest/doctest.h>
#include <omp.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/conv_norm.h"
#include "layers/elementwise.h"
#include "layers/loss.h"
#include "layers/pool.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// A residual network of five convolutions, one of stride 2 with a shortcut, one around which the
/// value itself goes. `fused`: sums, masks, additions and codes are made while rows are in cache,
/// and sums take their addend's memory; otherwise every op reads and writes whole tensors.
struct Network {
  Conv2d stem, first, second, shortcut, third;
  BatchNorm stem_norm, first_norm, second_norm, shortcut_norm, third_norm;

  static Network create(ParamStore& params, std::int64_t in, std::int64_t channels) {
    const auto conv = [&](const char* name, std::int64_t from, std::int64_t taps,
                          ConvConfig config) {
      Tensor bias = random_tensor({channels}, Key(3).fold(name), 0.1);
      return Conv2d::create(params, {name, {}},
                            random_tensor({channels, taps, taps, from}, Key(4).fold(name), 0.3),
                            config, bias);
    };
    const auto norm = [&](const std::string& name) {
      const BatchNorm made = BatchNorm::create(params, name, channels);
      params[made.weight] = random_tensor({channels}, Key(5).fold(name));  // slopes of both signs
      params[made.bias] = random_tensor({channels}, Key(6).fold(name));
      return made;
    };
    return {conv("stem", in, 3, {.pad = 1}),
            conv("first", channels, 3, {.stride = 2, .pad = 1}),
            conv("second", channels, 3, {.pad = 1}),
            conv("shortcut", channels, 1, {.stride = 2}),
            conv("third", channels, 3, {.pad = 1}),
            norm("stem_norm"),
            norm("first_norm"),
            norm("second_norm"),
            norm("shortcut_norm"),
            norm("third_norm")};
  }

  Var operator()(Pass& pass, Var x, bool fused) const {
    const auto step = [&](const Conv2d& conv, const BatchNorm& norm, Var in,
                          std::optional<Var> around, bool rectify) {
      if (fused) return ConvNorm{conv, norm}(pass, in, {.add = around, .relu = rectify});
      Var y = norm(pass, conv(pass, in));
      if (around) y = add(pass, y, *around);
      return rectify ? relu(pass, y) : y;
    };
    const Var trunk = step(stem, stem_norm, x, std::nullopt, true);
    const Var inner = step(first, first_norm, trunk, std::nullopt, true);
    const Var around = step(shortcut, shortcut_norm, trunk, std::nullopt, false);
    const Var middle = step(second, second_norm, inner, around, true);
    return step(third, third_norm, middle, middle, true);
  }
};

struct Result {
  Tensor loss, gx;
  Gradients gradients;
  std::vector<Tensor> state;
};

Result run(bool fused, const Shape& image, std::int64_t channels, const PrecisionPlan& plan,
           Simd simd) {
  Bench bench;
  const Network network = Network::create(bench.params, image[3], channels);
  Pass pass = bench.pass(plan);
  pass.simd = simd;
  const Var x = pass.tape.variable(random_tensor(image, Key(7)));
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < image[0]; ++i)
    labels.push_back(static_cast<std::int32_t>(i % channels));
  const Var loss =
      softmax_cross_entropy(pass, global_avg_pool(pass, network(pass, x, fused)), labels);
  Result result{pass.tape[loss], {}, {}, {}};
  result.gradients = pass.tape.backward(loss);
  result.gx = pass.tape.gradient_of(x);
  pass.effects.apply_to(bench.params);
  for (const ParamStore::Entry& entry : bench.params.entries()) result.state.push_back(entry.value);
  return result;
}

}  // namespace

TEST_CASE(
    "work done while rows are in cache changes no bit of values, gradients or state, on any "
    "machine") {
  const int threads = omp_get_max_threads();
  // 16 x 16: whole lines make blocks of 64 rows; 6 x 10: they do not; one image of 4 x 4: less than
  // a block.
  const Shape images[] = {{3, 16, 16, 3}, {5, 6, 10, 4}, {1, 4, 4, 2}, {2, 32, 32, 16}};
  PrecisionPlan wrapping = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  wrapping.base.set_accumulator(Accumulator::parse("wrap12"));
  const PrecisionPlan plans[] = {PrecisionPlan::uniform(Format::integer(8), Format::integer(8)),
                                 PrecisionPlan::uniform(Format::integer(3), Format::integer(11)),
                                 PrecisionPlan::fp32(), wrapping};
  for (const Shape& image : images) {
    for (const std::int64_t channels : {5, 16, 33}) {
      for (const PrecisionPlan& plan : plans) {
        omp_set_num_threads(1);
        const Result separate = run(false, image, channels, plan, Simd::scalar);
        for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
          if (simd > best_simd()) continue;
          omp_set_num_threads(simd == Simd::scalar ? 1 : 3);
          const Result fused = run(true, image, channels, plan, simd);
          CAPTURE(to_text(image));
          CAPTURE(channels);
          CAPTURE(to_text(plan.base.forward));
          CAPTURE(to_text(simd));
          CHECK(fused.loss == separate.loss);
          CHECK(fused.gx == separate.gx);
          CHECK(fused.gradients == separate.gradients);
          CHECK(fused.state == separate.state);
        }
      }
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE(
    "a sum takes its addend's memory, unless somebody refers to it, and whoever reads the addend "
    "afterwards gets the same bits") {
  for (const bool codes : {true, false}) {
    CAPTURE(codes);
    Bench bench;
    const Network network = Network::create(bench.params, 3, 16);
    const auto plan = codes ? PrecisionPlan::uniform(Format::integer(8), Format::integer(8))
                            : PrecisionPlan::fp32();
    const auto run_with = [&](bool read_before) {
      Pass pass = bench.pass(plan);
      const Var x = pass.tape.constant(random_tensor({2, 8, 8, 3}, Key(7))),
                around = pass.tape.constant(random_tensor({2, 8, 8, 16}, Key(8)));
      const ConvNorm stem{network.stem, network.stem_norm},
          third{network.third, network.third_norm};
      std::vector<Var> sums{stem(pass, x, {.add = around, .relu = true})};
      std::vector<const float*> memory;
      for (int i = 0; i < 3; ++i) {
        const LazyValue* const lazy = pass.tape.lazy(sums.back());
        REQUIRE(lazy != nullptr);
        REQUIRE(lazy->ready.has_value());
        memory.push_back(lazy->ready->data());
        if (read_before) CHECK(pass.tape[sums.back()].data() == memory.back());
        sums.push_back(third(pass, sums.back(), {.add = sums.back(), .relu = i > 0}));
      }
      const LazyValue* const last = pass.tape.lazy(sums.back());
      REQUIRE(last != nullptr);
      CHECK((last->ready->data() == memory[0]) == (codes && !read_before));
      std::vector<Tensor> values;
      for (const Var sum : sums) values.push_back(pass.tape[sum]);  // a copy, of what is read anew
      return values;
    };
    CHECK(run_with(false) == run_with(true));
  }
}

TEST_CASE("a pass without gradients computes the same values, and keeps none for a sweep") {
  for (const bool codes : {true, false}) {
    for (const Pass::Mode mode : {Pass::Mode::train, Pass::Mode::evaluate}) {
      CAPTURE(codes);
      Bench bench;
      const Network network = Network::create(bench.params, 3, 16);
      const auto plan = codes ? PrecisionPlan::uniform(Format::integer(8), Format::integer(8))
                              : PrecisionPlan::fp32();
      Pass sweeping = bench.pass(plan, 0, mode);
      Pass pass{.params = bench.params,
                .plan = plan,
                .ledger = bench.ledger,
                .key = sweeping.key,
                .mode = mode,
                .simd = best_simd(),
                .gradients = false};
      const auto result = [&](Pass& of) {
        const Var x = of.tape.constant(random_tensor({2, 8, 8, 3}, Key(7)));
        const Var stem = ConvNorm{network.stem, network.stem_norm}(of, x, {.relu = true});
        CHECK((of.tape.lazy(stem) != nullptr) == (&of == &sweeping));
        return Tensor(of.tape[network(of, x, true)]);
      };
      CHECK(result(pass) == result(sweeping));
    }
  }
}

TEST_CASE("a normalised value of known range is never in memory when its readers take codes") {
  Bench bench;
  const Network network = Network::create(bench.params, 3, 16);
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
  const Var x = pass.tape.constant(random_tensor({2, 8, 8, 3}, Key(7)));
  const Var y = ConvNorm{network.stem, network.stem_norm}(pass, x, {.relu = true});
  network.first(pass, y);
  REQUIRE(pass.tape.lazy(y) != nullptr);
  CHECK_FALSE(pass.tape.lazy(y)->ready.has_value());
  const Range known = *pass.tape.range(y);
  CHECK(measure_range(pass.tape[y].matrix()) == known);  // reading it computes it
  CHECK(pass.tape.lazy(y) == nullptr);
}

TEST_CASE(
    "a non-finite value that only a summary has seen still stops the pass at the layer that would "
    "encode it") {
  constexpr float infinity = std::numeric_limits<float>::infinity(),
                  nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {infinity, -infinity, nan}) {
    Bench bench;
    const Network network = Network::create(bench.params, 3, 16);
    bench.params[network.stem.bias][7] = bad;
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    const Var x = pass.tape.constant(random_tensor({2, 8, 8, 3}, Key(7)));
    std::string message;
    try {
      network(pass, x, true);
    } catch (const NonFiniteError& error) {
      message = error.what();
    }
    CHECK(message.find("[first]") != std::string::npos);
  }
}
