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
      CHECK(pass.tape[y][i * 3 + j] == bench.params[table][ids[static_cast<std::size_t>(i)] * 3 + j]);
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
  check_gradients(bench, {}, 1, [&](Pass& p, const std::vector<Var>&) { return embedding(p, table, ids); });
}

TEST_CASE("an id outside the table is refused") {
  Bench bench;
  const ParamId table = bench.params.add("table", Tensor::zeros({5, 3}));
  Pass pass = bench.pass();
  for (const std::int32_t bad : {-1, 5}) {
    CHECK_THROWS_WITH_AS(embedding(pass, table, std::array{0, bad}), doctest::Contains("none of the 5 entries"), DataError);
  }
  CHECK_THROWS_AS(embedding(pass, table, {}), ShapeError);
}
