#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "errors.h"
#include "train/packed_file.h"

using namespace ebb;
using namespace ebb::train;
using test::contains;
using test::data_error_of;

namespace {

Tensor normal(const Shape& shape) {
  Tensor x = Tensor::zeros(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(5).normal(static_cast<std::uint64_t>(i)));
  return x;
}

SafeTensors packed_file(const Tensor& x, Format format, GridStyle grid) {
  SafeTensors file;
  const std::int64_t rows = x.shape()[0], cols = x.size() / rows;
  file.tensors.push_back(StoredTensor::of("bias", Tensor::filled({2}, 0.5f)));
  add_packed(file, "conv.weight", x.shape(), pack({x.data(), rows, cols, cols, 1}, format, grid));
  finish_packed(file, format, grid);
  return file;
}

}  // namespace

TEST_CASE("a packed file reads back as the numbers of its codes, in every format") {
  const Tensor x = normal({3, 5, 7});
  for (const char* name : {"e4m3",
                           "e5m2",
                           "e3m2",
                           "e2m1",
                           "bf16",
                           "tf32",
                           "posit8",
                           "posit16",
                           "fixed8.6",
                           "int1",
                           "int4",
                           "int8",
                           "int13",
                           "mxfp8",
                           "mxfp6",
                           "mxfp4",
                           "mxint8",
                           "nvfp4",
                           "msfp12",
                           "e2m1(scale=absmax,block=7)",
                           "e3m2(scale=pow2,exponent=4,block=8)",
                           "mxfp4(block=2x16)"}) {
    for (const GridStyle grid : {GridStyle::affine, GridStyle::symmetric}) {
      if (std::string(name) == "int1" && grid == GridStyle::symmetric) continue;
      CAPTURE(name);
      const Format format = Format::parse(name);
      const SafeTensors file = packed_file(x, format, grid),
                        back = unpacked(parse_safetensors(to_safetensors(file)));
      REQUIRE(back.tensors.size() == 2);
      CHECK(back.at("bias") == file.at("bias"));
      const Tensor values = back.at("conv.weight").tensor();
      CHECK(values.shape() == x.shape());
      const std::vector<float> expected = unpack(pack({x.data(), 3, 35, 35, 1}, format, grid));
      CHECK(std::vector<float>(values.values().begin(), values.values().end()) == expected);
    }
  }
}

TEST_CASE("a file without packed matrices stays as it is") {
  SafeTensors file;
  file.metadata["format"] = "pt";
  file.tensors.push_back(StoredTensor::of("a.codes", Tensor::filled({2}, 1)));
  CHECK(unpacked(file) == file);
}

TEST_CASE("a packed file that lies is refused with the tensor's name") {
  const SafeTensors good = packed_file(normal({3, 35}), Format::parse("nvfp4"), GridStyle::affine),
                    grid = packed_file(normal({3, 35}), Format::integer(4), GridStyle::affine);
  struct Case {
    const char* why;
    const SafeTensors& file;
    void (*spoil)(SafeTensors&);
  };
  const auto find = [](SafeTensors& file, std::string_view name) -> StoredTensor& {
    return const_cast<StoredTensor&>(file.at(name));
  };
  static const auto at = find;
  using I = std::int64_t;
  const Case cases[] = {
      {"layout 2", good, [](SafeTensors& f) { f.metadata["packed"] = "2"; }},
      {"unknown format", good, [](SafeTensors& f) { f.metadata["format"] = "e4m4z"; }},
      {"expected a format", good, [](SafeTensors& f) { f.metadata.erase("format"); }},
      {"e8m0 is a format of scales", good, [](SafeTensors& f) { f.metadata["format"] = "e8m0"; }},
      {"grid", grid, [](SafeTensors& f) { f.metadata.erase("grid"); }},
      {"codes do not fit", good, [](SafeTensors& f) { f.metadata["format"] = "mxfp8"; }},
      {"no tensor 'conv.weight.shape'|expected a tensor 'conv.weight.shape'", good,
       [](SafeTensors& f) { at(f, "conv.weight.shape").name = "x"; }},
      {"'conv.weight': codes do not fit", good,
       [](SafeTensors& f) {
         at(f, "conv.weight.shape") = StoredTensor::of("conv.weight.shape", std::vector<I>{2, 35});
       }},
      {"extents do not fit", good,
       [](SafeTensors& f) {
         at(f, "conv.weight.shape") = StoredTensor::of(
             "conv.weight.shape", std::vector<I>{3, I{1} << 40, I{1} << 40, I{1} << 40});
       }},
      {"extents do not fit", good,
       [](SafeTensors& f) {
         at(f, "conv.weight.shape") = StoredTensor::of("conv.weight.shape", std::vector<I>{3, -35});
       }},
      {"scales do not fit", good,
       [](SafeTensors& f) {
         at(f, "conv.weight.scales").shape = {9, 1};
       }},
      {"scales do not fit", good,
       [](SafeTensors& f) {
         at(f, "conv.weight.tensor_scale") =
             StoredTensor::of("conv.weight.tensor_scale", Tensor::filled({2}, 1));
       }},
      {"offsets do not fit", grid, [](SafeTensors& f) {
         at(f, "conv.weight.offsets") =
             StoredTensor::of("conv.weight.offsets", Tensor::filled({2}, 1));
       }}};
  for (const Case& c : cases) {
    SafeTensors file = c.file;
    c.spoil(file);
    const std::string said = data_error_of([&] { static_cast<void>(unpacked(file)); });
    CAPTURE(c.why);
    CAPTURE(said);
    const std::string why = c.why;
    CHECK(contains(said, why.substr(why.find('|') + 1)));
  }
}
