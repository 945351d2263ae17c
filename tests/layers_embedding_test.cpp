#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "core/error.h"
#include "layers/embedding.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("an embedding picks rows, and sums their gradients in the order of the ids") {
  Bench bench;
  const ParamId table = bench.params.add("table", random_tensor({5, 3}, Key(1)));
  const std::vector<std::int32_t> ids{4, 0, 4, 2, 4};
  Pass pass = bench.pass();
  const Var y = embedding(pass, table, ids);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 3; ++j)
      CHECK(pass.tape[y][i * 3 + j] ==
            bench.params[table][ids[static_cast<std::size_t>(i)] * 3 + j]);
  }
  const Tensor g = random_tensor({5, 3}, Key(2));
  const Tensor gw = pass.tape.backward(dot(pass, y, g))[0];
  for (std::int64_t e = 0; e < 5; ++e) {
    for (std::int64_t j = 0; j < 3; ++j) {
      double sum = 0;
      for (std::int64_t i = 0; i < 5; ++i) {
        if (ids[static_cast<std::size_t>(i)] == e) sum += double{g[i * 3 + j]};
      }
      CHECK(gw[e * 3 + j] == static_cast<float>(sum));
    }
  }
  check_gradients(bench, {}, 1,
                  [&](Pass& p, const std::vector<Var>&) { return embedding(p, table, ids); });
}

TEST_CASE(
    "a row's gradient is added in double in the order of the ids, rounded once, and no plan "
    "touches it") {
  for (const bool quantized : {false, true}) {
    Bench bench;
    const ParamId table = bench.params.add("table", random_tensor({3, 1}, Key(1)));
    Pass pass =
        bench.pass(quantized ? PrecisionPlan::uniform(Format::integer(4), Format::integer(4))
                             : PrecisionPlan::fp32());
    const Var y = embedding(pass, table, std::array<std::int32_t, 7>{1, 2, 1, 1, 2, 2, 2});
    for (std::int64_t i = 0; i < 7; ++i)
      CHECK(pass.tape[y][i] == bench.params[table][i == 0 || i == 2 || i == 3 ? 1 : 2]);
    // Entry 1: (2^60 + 1) - 2^60 loses the 1. Entry 2: 2^25 + 1 + 1 + 1 in double, not float32,
    // where each 1 would be lost.
    const Tensor g =
        Tensor::from({7, 1}, std::array{0x1p60f, 0x1p25f, 1.0f, -0x1p60f, 1.0f, 1.0f, 1.0f});
    const Tensor gw = pass.tape.backward(dot(pass, y, g))[0];
    CHECK(gw[0] == 0.0f);
    CHECK(gw[1] == 0.0f);
    CHECK(gw[2] == 33554436.0f);  // 2^25 + 3 to the nearest multiple of 4
  }
}

TEST_CASE("an id outside the table is refused") {
  Bench bench;
  const ParamId table = bench.params.add("table", Tensor::zeros({5, 3}));
  Pass pass = bench.pass();
  for (const std::int32_t bad : {-1, 5}) {
    CHECK_THROWS_WITH_AS(embedding(pass, table, std::array{0, bad}),
                         doctest::Contains("none of the 5 entries"), DataError);
  }
  CHECK_THROWS_AS(embedding(pass, table, {}), ShapeError);
}
