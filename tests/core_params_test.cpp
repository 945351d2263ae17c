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
  CHECK_FALSE(store.find("fc").has_value());
  CHECK(store.id("fc.bias") == b);
  CHECK(&store["bn.mean"] == &store[mean]);
  CHECK(store.entry(mean).kind == ParamStore::Kind::state);
  CHECK(store.parameter_count() == 50);
  store[w][3] = 1.5f;
  CHECK(store[w][3] == 1.5f);
  CHECK_THROWS_WITH_AS(store.add("bn.mean", Tensor()),
                       "[params] the name 'bn.mean' is already taken", ConfigError);
  CHECK(store.size() == 3);
}

TEST_CASE(
    "entries stay in their place, and one that is not there is an error that names the nearest") {
  ParamStore store;
  const ParamId w = store.add("fc.weight", Tensor::filled({2}, 1.0f));
  const Tensor& value = store[w];
  for (int i = 0; i < 1000; ++i) store.add(concat("extra", i), Tensor());
  CHECK(&store[w] == &value);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(store.id("fc.wieght")),
      "[params] there is no 'fc.wieght' among 1001 entries; did you mean 'fc.weight'?",
      ConfigError);
  CHECK_THROWS_WITH_AS(static_cast<void>(store["stem"]),
                       "[params] there is no 'stem' among 1001 entries", ConfigError);
  for (const std::int32_t index : {-1, 1001}) {
    CHECK_THROWS_AS(static_cast<void>(store[ParamId{index}]), ConfigError);
    CHECK_THROWS_AS(static_cast<void>(store.entry({index})), ConfigError);
  }
}
