// torch_export networks|quantizer: writes a safetensors file to stdout for parity.py to recompute.

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "layers/loss.h"
#include "models/classifier.h"
#include "quant/grid.h"
#include "train/safetensors.h"

namespace {

using ebb::CostLedger;
using ebb::Key;
using ebb::ParamStore;
using ebb::Tensor;
using ebb::train::SafeTensors;
using ebb::train::StoredTensor;

constexpr std::int64_t kBatch = 4;
constexpr int kClasses = 10;

Tensor random_tensor(const ebb::Shape& shape, Key key) {
  Tensor x = Tensor::uninitialized(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

/// One float32 forward and backward: parameters and state before, images, labels, logits, loss, gradients, state after.
void add_network(SafeTensors& file, const std::string& name, const ebb::Shape& image) {
  ParamStore params;
  const ebb::Classifier model = ebb::make_classifier(name, image, kClasses, params, Key(1));
  const auto add = [&](const std::string& what, const Tensor& value) {
    file.tensors.push_back(StoredTensor::of(name + "/" + what, value));
  };
  for (const ParamStore::Entry& entry : params.entries()) add("before/" + entry.name, entry.value);

  const Tensor images = random_tensor({kBatch, image[0], image[1], image[2]}, Key(2));
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < kBatch; ++i) labels.push_back(static_cast<std::int32_t>(3 * i % kClasses));
  add("images", images);
  const std::vector<std::int64_t> wide(labels.begin(), labels.end());
  file.tensors.push_back(StoredTensor::of(name + "/labels", wide));

  CostLedger ledger;
  ebb::Pass pass{.params = params, .plan = ebb::PrecisionPlan::fp32(), .ledger = ledger, .key = Key(3), .simd = ebb::best_simd()};
  const ebb::Var logits = model.forward(pass, pass.tape.constant(images));
  const ebb::Var loss = softmax_cross_entropy(pass, logits, labels);
  add("logits", pass.tape[logits]);
  add("loss", pass.tape[loss]);
  const ebb::Gradients gradients = pass.tape.backward(loss);
  for (std::size_t i = 0; i < params.size(); ++i) {
    const ParamStore::Entry& entry = params.entries()[i];
    if (entry.kind == ParamStore::Kind::parameter) add("gradient/" + entry.name, gradients[i]);
    if (entry.kind == ParamStore::Kind::state) add("after/" + entry.name, entry.value);
  }
}

/// Codes and decoded values of one array at every width of the affine grid.
void add_quantizer(SafeTensors& file) {
  const Tensor x = random_tensor({10000}, Key(4));
  file.tensors.push_back(StoredTensor::of("x", x));
  for (int bits = 1; bits <= 16; ++bits) {
    const ebb::Grid grid = ebb::Grid::fit(ebb::measure_range(x.matrix()), bits, ebb::GridStyle::affine);
    std::vector<std::int64_t> codes;
    Tensor values = Tensor::uninitialized(x.shape());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      codes.push_back(ebb::encode(x[i], grid));
      values[i] = ebb::decode(static_cast<int>(codes.back()), grid);
    }
    file.tensors.push_back(StoredTensor::of(ebb::concat("codes/", bits), codes));
    file.tensors.push_back(StoredTensor::of(ebb::concat("values/", bits), values));
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    SafeTensors file;
    if (argc == 2 && std::string_view(argv[1]) == "networks") {
      add_network(file, "lenet5", {28, 28, 1});
      add_network(file, "resnet8", {32, 32, 3});
    } else if (argc == 2 && std::string_view(argv[1]) == "quantizer") {
      add_quantizer(file);
    } else {
      std::cerr << "usage: torch_export networks|quantizer\n";
      return 2;
    }
    std::cout << to_safetensors(file);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
