#include <doctest/doctest.h>

#include "core/error.h"
#include "core/params.h"

using namespace ebb;

TEST_CASE("a store keeps the order of creation, finds by name and counts parameters only") {
  ParamStore store;
  const ParamId w = store.add("fc.weight", Tensor::zeros({10, 4}));
  const ParamId mean = store.add("bn.mean", Tensor::zeros({7}), ParamStore::Kind::state);
  const ParamId b = store.add("fc.bias", Tensor::filled({10}, 2.0f));
  CHECK(store.size() == 3);
  CHECK(store.entries()[1].name == "bn.mean");
  CHECK(store.find("fc.bias") == b);
  CHECK(store.find("fc") == ParamId{});
  CHECK(store.entry(mean).kind == ParamStore::Kind::state);
  CHECK(store.parameter_count() == 50);
  store[w][3] = 1.5f;
  CHECK(store[w][3] == 1.5f);
  CHECK_THROWS_WITH_AS(store.add("bn.mean", Tensor()), "[params] the name 'bn.mean' is already taken", ConfigError);
  CHECK(store.size() == 3);
}
