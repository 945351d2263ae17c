#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/params.h"
#include "core/tensor.h"
#include "scratch.h"
#include "train/app/import.h"
#include "train/files.h"
#include "train/safetensors.h"

using namespace ebb;
using namespace ebb::cli;
using train::SafeTensors;
using train::StoredTensor;

namespace {

Tensor counted(const Shape& shape) {
  Tensor tensor = Tensor::zeros(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor[i] = static_cast<float>(i);
  return tensor;
}

std::vector<float> values(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

ParamStore network() {
  ParamStore params;
  params.add("conv.weight", Tensor::zeros({2, 4, 3}));  // [out, taps, in]
  params.add("fc.weight", Tensor::zeros({2, 12}));
  params.add("fc.bias", Tensor::zeros({2}));
  params.add("fc.input_range", Tensor::zeros({2}), ParamStore::Kind::state);
  return params;
}

SafeTensors foreign() {
  return {.metadata = {},
          .tensors = {StoredTensor::of("features.0.weight", counted({2, 3, 2, 2})),
                      StoredTensor::of("classifier.weight", counted({2, 12})),
                      StoredTensor::of("fc.bias", std::vector<double>{0.5, -0.25}),
                      StoredTensor::of("steps", std::vector<std::int64_t>{7})}};
}

}  // namespace

TEST_CASE("weights from elsewhere are taken by name, and put into the order of this network") {
  ParamStore params = network();
  const Imported done = import_params(
      foreign(),
      {{"conv.weight", {"features.0.weight", {}}}, {"fc.weight", {"classifier.weight", {3, 2, 2}}}},
      params);
  CHECK(done.taken == std::vector<std::string>{"conv.weight", "fc.weight", "fc.bias"});
  CHECK(done.kept == std::vector<std::string>{"fc.input_range"});
  CHECK(done.unused == std::vector<std::string>{"steps"});
  // Element [o, y, x, c] is the file's [o, c, y, x], number 12 o + 4 c + 2 y + x.
  const std::vector<float> channels_last{0,  4,  8,  1,  5,  9,  2,  6,  10, 3,  7,  11,
                                         12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23};
  CHECK(values(params["conv.weight"]) == channels_last);
  CHECK(values(params["fc.weight"]) == channels_last);
  CHECK(values(params["fc.bias"]) == std::vector<float>{0.5f, -0.25f});
}

TEST_CASE("an import that does not fit is refused, and changes nothing") {
  struct Case {
    const char* why;
    NameMap names;
    const char* message;
  };
  const Case cases[] = {
      {"every unknown name is listed, with the nearest",
       {{"fc.wieght", {"classifier.weight", {}}}, {"fc.bias", {"clasifier.weight", {}}}},
       "'clasifier.weight' is not in the file (did you mean 'classifier.weight'?); 'fc.wieght' is "
       "not in the network (did you mean 'fc.weight'?)"},
      {"another shape",
       {{"fc.weight", {"features.0.weight", {}}}},
       "'fc.weight': expected [2, 12]"},
      {"an image of other extents",
       {{"fc.weight", {"classifier.weight", {2, 2, 2}}}},
       "whose columns are no [2, 2, 2]"},
      {"integers", {{"fc.bias", {"steps", {}}}}, "expected F32 or F64, got I64"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    ParamStore params = network();
    CHECK_THROWS_WITH_AS(import_params(foreign(), c.names, params), doctest::Contains(c.message),
                         DataError);
    CHECK(values(params["fc.bias"]) == std::vector<float>{0, 0});
  }
  ParamStore params = network();
  const std::vector<double> infinite{0, std::numeric_limits<double>::infinity()};
  CHECK_THROWS_WITH_AS(
      import_params({.metadata = {}, .tensors = {StoredTensor::of("fc.bias", infinite)}}, {},
                    params),
      doctest::Contains("an infinity or a NaN"), DataError);
  CHECK_THROWS_WITH_AS(import_params({}, {}, params), doctest::Contains("no tensor of the file"),
                       DataError);
}

TEST_CASE("a map of names is TOML, and says where it is wrong") {
  const Scratch scratch;
  const std::string path = scratch / "names.toml";
  train::write_file(
      path,
      "\"conv.weight\" = \"features.0.weight\"\n"
      "\"fc.weight\" = { name = \"classifier.weight\", channels-first = [3, 2, 2] }\n");
  const NameMap names = read_names(path);
  CHECK(names.at("conv.weight").name == "features.0.weight");
  CHECK(names.at("fc.weight").channels_first == std::vector<std::int64_t>{3, 2, 2});
  struct Case {
    const char *text, *message;
  };
  const Case cases[] = {{"a = ", "line 1"},
                        {"a = 3", "line 1, column 5: expected a name"},
                        {"\na = { channels-first = [1, 2, 3] }", "line 2"},
                        {"a = { name = \"b\", channels-first = [1, 2] }", "line 1"},
                        {"a = { name = \"b\", channels-first = [1, 0, 2] }", "line 1"},
                        {"a = { name = \"b\", transposed = true }", "line 1"},
                        {"fc.weight = \"b\"", "line 1"}};  // a table of tables without quotes
  for (const Case& c : cases) {
    CAPTURE(c.text);
    train::write_file(path, c.text);
    CHECK_THROWS_WITH_AS(static_cast<void>(read_names(path)), doctest::Contains(c.message),
                         ConfigError);
  }
}
