#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "train/safetensors.h"

using namespace ebb;
using namespace ebb::train;

namespace {

// A file written by hand from the format's definition.
std::string file_of(const std::string& header, const std::string& data,
                    std::int64_t promised = -1) {
  const std::uint64_t length = promised < 0 ? header.size() : static_cast<std::uint64_t>(promised);
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string error_of(const std::string& bytes) {
  try {
    parse_safetensors(bytes);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("arrays of every type and metadata come back bit for bit") {
  const std::vector<double> doubles{0.1, -0.0, std::numeric_limits<double>::denorm_min(),
                                    std::numeric_limits<double>::infinity()};
  const std::vector<std::int64_t> integers{-1, std::numeric_limits<std::int64_t>::min()};
  const std::vector<std::uint64_t> words{0, ~std::uint64_t{0}};
  const Tensor tensor =
      Tensor::from(Shape{2, 1, 2}, std::vector<float>{1.5f, -0.0f, 3e-45f, 1e38f});
  SafeTensors file;
  file.metadata = {{"format", "ebb"}, {"text", "quotes \" and \n lines"}};
  file.tensors = {StoredTensor::of("doubles", doubles),
                  StoredTensor::of("integers", integers),
                  StoredTensor::of("words", words),
                  StoredTensor::of("a.tensor", tensor),
                  StoredTensor::of("empty", Tensor::zeros(Shape{0, 3})),
                  StoredTensor::of("scalar", Tensor::scalar(2.5f)),
                  StoredTensor::of("text", std::string_view("abc"))};
  const std::string bytes = to_safetensors(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK((8 + length) % 8 == 0);

  const SafeTensors read = parse_safetensors(bytes);
  CHECK(read == file);
  CHECK(std::memcmp(read.at("doubles").doubles().data(), doubles.data(), 32) == 0);
  CHECK(read.at("integers").integers() == integers);
  CHECK(read.at("words").words() == words);
  CHECK(read.at("a.tensor").tensor().shape() == tensor.shape());
  CHECK(std::memcmp(read.at("a.tensor").tensor().data(), tensor.data(), 16) == 0);
  CHECK(read.at("empty").tensor().shape() == Shape{0, 3});
  CHECK(read.at("scalar").tensor().item() == 2.5f);
  CHECK(read.at("text").text() == "abc");
  CHECK(read.find("none") == nullptr);
  CHECK_THROWS_WITH_AS(static_cast<void>(read.at("none")),
                       "[safetensors] expected a tensor 'none', the file has none", DataError);
  CHECK_THROWS_AS(static_cast<void>(read.at("words").doubles()), DataError);
  CHECK_THROWS_AS(static_cast<void>(read.at("words").tensor()), DataError);
  file.tensors.push_back(file.tensors[0]);
  CHECK_THROWS_WITH_AS(to_safetensors(file), "[safetensors] 'doubles' appears twice", DataError);
}

TEST_CASE("a file written by another program is read, its tensors in the order of their data") {
  const SafeTensors file = parse_safetensors(file_of(
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
      std::string("\x00\x00\x80\x3f", 4) + "xy"));
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].tensor().item() == 1.0f);
  CHECK(file.tensors[1].text() == "xy");
}

TEST_CASE("the reader trusts nothing and says what is wrong") {
  const auto one = [](const std::string& fields) { return R"({"x":{)" + fields + "}}"; };
  const std::string eight(8, 'd');
  struct Case {
    const char* why;
    std::string bytes;
    const char* expected;
  };
  const Case cases[] = {
      {"empty", "", "expected at least 8 bytes, got 0"},
      {"header longer than the file", file_of("{}", "", 1000), "promise a header of 1000 bytes"},
      {"header of 2^63 bytes", file_of("{}", "", std::numeric_limits<std::int64_t>::max()),
       "promise a header"},
      {"no object", file_of("[]", ""), "begin with '{'"},
      {"no JSON", file_of("{\"x\":", ""), "is not JSON"},
      {"no UTF-8", file_of("{\"\xff\":1}", ""), "is not JSON"},
      {"deep nesting", file_of(one(R"("shape":[[[[)"), ""), "nests deeper"},
      {"a name twice",
       file_of(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}})", ""),
       "'x' appears twice"},
      {"a field twice", file_of(one(R"("dtype":"U8","dtype":"U8")"), ""), "'dtype' appears twice"},
      {"a field missing", file_of(one(R"("dtype":"U8","shape":[8])"), eight),
       "expected dtype, shape and data_offsets"},
      {"a field too many",
       file_of(one(R"("dtype":"U8","shape":[8],"data_offsets":[0,8],"more":1)"), eight),
       "expected dtype"},
      {"unknown type", file_of(one(R"("dtype":"BF16","shape":[4],"data_offsets":[0,8])"), eight),
       "got 'BF16'"},
      {"negative extent", file_of(one(R"("dtype":"U8","shape":[-8],"data_offsets":[0,8])"), eight),
       "integers of 0 and more, got -8"},
      {"fraction", file_of(one(R"("dtype":"U8","shape":[8.0],"data_offsets":[0,8])"), eight),
       "got 8.0"},
      {"product beyond 64 bits",
       file_of(one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"), ""),
       "does not take"},
      {"product that wraps to 8",
       file_of(one(R"("dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8])"), eight),
       "does not take"},
      {"size mismatch", file_of(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), eight),
       "does not take the bytes [0,8]"},
      {"backward range", file_of(one(R"("dtype":"U8","shape":[8],"data_offsets":[8,0])"), eight),
       "does not take"},
      {"truncated data", file_of(one(R"("dtype":"F64","shape":[2],"data_offsets":[0,16])"), eight),
       "up to byte 16, the file has 8; it is truncated"},
      {"data left over", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), eight),
       "take 4 bytes, the file holds 8"},
      {"gap", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[4,8])"), eight),
       "to begin at byte 0, where those before end, got 4"},
      {"overlap",
       file_of(
           R"({"x":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"y":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
           eight),
       "'y': expected its data to begin at byte 5"},
      {"too many axes",
       file_of(
           one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,8],"data_offsets":[0,8])"),
           eight),
       "at most 16"},
      {"metadata of numbers", file_of(R"({"__metadata__":{"n":1}})", ""),
       "metadata 'n' to be a string"},
      {"a NUL behind the header", file_of("{}" + std::string(6, '\0'), ""),
       "byte 10 of the header is a NUL"},
      {"a NUL and what nobody reads", file_of("{}" + std::string(1, '\0') + "hello", ""),
       "only spaces may follow its JSON"},
      {"a line feed behind the header", file_of("{}\n     ", ""),
       "nothing but spaces behind the '}' of the header, byte 10"},
      {"garbage behind the header", file_of("{} x", ""), "the header is not JSON"},
      {"metadata no object", file_of(R"({"__metadata__":"x"})", ""), "metadata to be an object"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message = error_of(c.bytes);
    CAPTURE(message);
    CHECK(message.find(c.expected) != std::string::npos);
    CHECK(message.starts_with("[safetensors] "));
  }
}

TEST_CASE("a header of many entries is read whole") {
  constexpr std::int64_t kEntries = 40'000;
  SafeTensors file;
  for (std::int64_t i = 0; i < kEntries; ++i)
    file.tensors.push_back(StoredTensor::of(concat('t', i), std::vector<std::int64_t>{i}));
  const SafeTensors read = parse_safetensors(to_safetensors(file));
  REQUIRE(std::ssize(read.tensors) == kEntries);
  CHECK(read.tensors.back().name == concat('t', kEntries - 1));
  CHECK(read.tensors.back().integers() == std::vector<std::int64_t>{kEntries - 1});
}

TEST_CASE("no cut and no changed byte makes the reader do anything but read or throw DataError") {
  SafeTensors file;
  file.metadata = {{"k", "v"}};
  file.tensors = {StoredTensor::of("x", Tensor::zeros(Shape{2, 3})),
                  StoredTensor::of("t", std::string_view("abcde"))};
  const std::string good = to_safetensors(file);
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(error_of(good.substr(0, size)).empty());
  const Key key(7);
  for (std::uint64_t trial = 0; trial < 20000; ++trial) {
    std::string bytes = good;
    for (std::uint64_t change = 0; change <= trial % 3; ++change) {
      bytes[key.below(trial * 8 + change, bytes.size())] =
          static_cast<char>(key.fold(trial).below(change, 256));
    }
    error_of(bytes);
  }
}
