#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/sha256.h"
#include "errors.h"
#include "train/checkpoint.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;

namespace {

ParamStore network() {
  ParamStore params;
  params.add("stem.weight",
             Tensor::from(Shape{2, 2}, std::vector<float>{1.5f, -0.0f, 1e-45f, 3.0f}));
  params.add("stem.running_mean", Tensor::filled(Shape{3}, 0.1f), ParamStore::Kind::state);
  params.add("fc.bias", Tensor::zeros(Shape{1}));
  return params;
}

Checkpoint sample() {
  Checkpoint checkpoint{.iteration = 123456789012345,
                        .config = "{\"arch\": \"lenet5\", \"note\": \"zz_sha256\"}"};
  add_params(checkpoint, network());
  const double momenta[] = {0.1, -1e-310};
  checkpoint.add_group(
      "ledger",
      {StoredTensor::of("train", std::string_view("340282366920938463463374607431768211455"))});
  checkpoint.add_group("controller", {StoredTensor::of("plateau/best", momenta)});
  return checkpoint;
}

}  // namespace

TEST_CASE("a network takes what fits of another's checkpoint") {
  const Checkpoint saved = parse_checkpoint(to_bytes(sample()));
  CHECK(weights_sha256(saved) == weights_sha256(network()));
  ParamStore params;
  params.add("fc.bias", Tensor::filled(Shape{2}, 7.0f));          // another shape
  params.add("stem.running_mean", Tensor::zeros(Shape{3}));       // another kind
  params.add("stem.weight", Tensor::zeros(Shape{2, 2}));          // fits
  params.add("head.weight", Tensor::filled(Shape{2, 2}, -1.0f));  // another name
  const TakenParams result = take_params(saved, params);
  CHECK(result.taken == std::vector<std::string>{"stem.weight"});
  CHECK(result.kept == std::vector<std::string>{"fc.bias", "stem.running_mean", "head.weight"});
  CHECK(std::ranges::equal(params[ParamId{2}].values(), network()[ParamId{0}].values()));
  CHECK(params[ParamId{0}].values()[1] == 7.0f);
  CHECK(params[ParamId{1}].values()[0] == 0.0f);
  CHECK(params[ParamId{3}].values()[0] == -1.0f);
  ParamStore foreign;
  foreign.add("stem.weight", Tensor::zeros(Shape{4}));
  CHECK_THROWS_AS(static_cast<void>(take_params(saved, foreign)), DataError);
}

TEST_CASE("a checkpoint comes back bit for bit, doubles and long counters included") {
  const Checkpoint saved = sample();
  const Checkpoint read = parse_checkpoint(to_bytes(saved));
  CHECK(read.iteration == saved.iteration);
  CHECK(read.config == saved.config);
  REQUIRE(read.tensors.size() == saved.tensors.size());
  for (const StoredTensor& tensor : saved.tensors)
    CHECK(std::count(read.tensors.begin(), read.tensors.end(), tensor) == 1);
  CHECK(to_bytes(read) == to_bytes(saved));

  const std::vector<StoredTensor> ledger = read.group("ledger");
  REQUIRE(ledger.size() == 1);
  CHECK(ledger[0].text() == "340282366920938463463374607431768211455");
  CHECK(read.group("controller")[0].doubles()[1] == -1e-310);
  CHECK(read.group("control").empty());

  ParamStore params = network();
  for (std::int32_t i = 0; i < 3; ++i)
    params[ParamId{i}] = Tensor::filled(params[ParamId{i}].shape(), 9.0f);
  restore_params(read, params);
  const ParamStore expected = network();
  for (std::int32_t i = 0; i < 3; ++i) {
    const Tensor &got = params[ParamId{i}], &want = expected[ParamId{i}];
    CHECK(got.shape() == want.shape());
    CHECK(std::memcmp(got.data(), want.data(), got.values().size_bytes()) == 0);
  }
}

TEST_CASE("weights_sha256 is the hash of all values in store order, signs of zero included") {
  const float values[] = {1.5f, -0.0f, 1e-45f, 3.0f, 0.1f, 0.1f, 0.1f, 0.0f};
  CHECK(weights_sha256(network()) == sha256_hex(std::as_bytes(std::span(values))));
}

TEST_CASE("every altered byte and every cut of a checkpoint is noticed") {
  const std::string good = to_bytes(sample());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    CAPTURE(i);
    CHECK_FALSE(data_error_of([&] { parse_checkpoint(bad); }).empty());
    CHECK_FALSE(data_error_of([&] { parse_checkpoint(good.substr(0, i)); }).empty());
  }
  CHECK(contains(data_error_of([&] { parse_checkpoint(good + "x"); }), "the file holds"));
}

TEST_CASE("foreign files and other networks are refused by name") {
  CHECK(contains(data_error_of([] { parse_checkpoint(to_safetensors({})); }),
                 "a safetensors file without one; this file is no checkpoint"));
  SafeTensors other;
  other.metadata["format"] = "ebb-checkpoint-2";
  CHECK(contains(data_error_of([&] { parse_checkpoint(to_safetensors(other)); }),
                 "expected the format 'ebb-checkpoint-1', got 'ebb-checkpoint-2'"));
  CHECK(contains(data_error_of([] { parse_checkpoint("\x1f\x8b not a checkpoint"); }),
                 "no safetensors file"));

  struct Case {
    const char* why;
    std::function<void(ParamStore&)> change;
    const char* expected;
  };
  const Case cases[] = {
      {"one more", [](ParamStore& p) { p.add("extra", Tensor::zeros(Shape{1})); },
       "expected 'parameter/extra', the file has none"},
      {"one fewer",
       [](ParamStore& p) {
         ParamStore fewer;
         fewer.add("stem.weight", p[ParamId{0}]);
         p = fewer;
       },
       "the network has no 'state/stem.running_mean'"},
      {"another shape", [](ParamStore& p) { p[ParamId{0}] = Tensor::zeros(Shape{4}); },
       "'parameter/stem.weight': expected shape [4], got [2, 2]"},
      {"another kind",
       [](ParamStore& p) {
         ParamStore changed;
         changed.add("stem.weight", p[ParamId{0}], ParamStore::Kind::state);
         p = changed;
       },
       "expected 'state/stem.weight'"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    ParamStore params = network();
    c.change(params);
    const std::string before = weights_sha256(params);
    const std::string message = data_error_of([&] { restore_params(sample(), params); });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
    CHECK(weights_sha256(params) == before);
  }
}
