// torch_export networks|quantizer: writes a safetensors file to stdout for parity.py to recompute.

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/key.h"
#include "data/graph_synthetic.h"
#include "layers/loss.h"
#include "models/classifier.h"
#include "models/gnn/network.h"
#include "models/lstm/network.h"
#include "models/transformer/network.h"
#include "quant/formats/grid.h"
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
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

std::vector<std::int32_t> random_ids(std::int64_t count, int below, Key key) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>(
        key.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(below))));
  }
  return ids;
}

/// What one network writes, under its name.
class Section {
 public:
  Section(SafeTensors& file, std::string name) : file_(file), name_(std::move(name)) {}

  void add(const std::string& what, const Tensor& value) {
    file_.tensors.push_back(StoredTensor::of(name_ + "/" + what, value));
  }
  void add(const std::string& what, const std::vector<std::int32_t>& ids) {
    const std::vector<std::int64_t> wide(ids.begin(), ids.end());
    file_.tensors.push_back(StoredTensor::of(name_ + "/" + what, wide));
  }

  /// One float32 forward and backward of logits(pass) against labels: parameters and state before,
  /// labels, logits, loss, gradients, state after.
  template <class Logits>
  void train(ParamStore& params, const std::vector<std::int32_t>& labels, const Logits& logits_of) {
    for (const ParamStore::Entry& entry : params.entries())
      add("before/" + entry.name, entry.value);
    add("labels", labels);
    CostLedger ledger;
    ebb::Pass pass{.params = params,
                   .plan = ebb::PrecisionPlan::fp32(),
                   .ledger = ledger,
                   .key = Key(3),
                   .simd = ebb::best_simd()};
    const ebb::Var logits = logits_of(pass);
    const ebb::Var loss = softmax_cross_entropy(pass, logits, labels);
    add("logits", pass.tape[logits]);
    add("loss", pass.tape[loss]);
    const ebb::Gradients gradients = pass.tape.backward(loss);
    pass.effects.apply_to(params);
    for (std::size_t i = 0; i < params.size(); ++i) {
      const ParamStore::Entry& entry = params.entries()[i];
      if (entry.kind == ParamStore::Kind::parameter) add("gradient/" + entry.name, gradients[i]);
      if (entry.kind == ParamStore::Kind::state) add("after/" + entry.name, entry.value);
    }
  }

 private:
  SafeTensors& file_;
  std::string name_;
};

void add_classifier(SafeTensors& file, const std::string& name, const ebb::Shape& image) {
  Section section(file, name);
  ParamStore params;
  const ebb::Classifier model = ebb::make_classifier(name, image, kClasses, params, Key(1));
  const Tensor images = random_tensor({kBatch, image[0], image[1], image[2]}, Key(2));
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < kBatch; ++i)
    labels.push_back(static_cast<std::int32_t>(3 * i % kClasses));
  section.add("images", images);
  section.train(params, labels,
                [&](ebb::Pass& pass) { return model.forward(pass, pass.tape.constant(images)); });
}

constexpr int kTokens = 20;  // in the vocabulary

/// A window of 7 tokens in 3 streams, whose state is not zero.
void add_lstm(SafeTensors& file, const std::string& name, std::int64_t layers) {
  Section section(file, name);
  ParamStore params;
  const auto network =
      ebb::make_lstm({.layers = layers, .units = 24, .embedding = 16}, kTokens, params, Key(1));
  std::vector<ebb::train::StreamState> states = network.begin(3);
  for (std::size_t i = 0; i < states.size(); ++i) {
    states[i].hidden = random_tensor({3, 24}, Key(10 + i));
    states[i].cell = random_tensor({3, 24}, Key(20 + i));
    section.add(ebb::concat("hidden", i), states[i].hidden);
    section.add(ebb::concat("cell", i), states[i].cell);
  }
  const std::vector<std::int32_t> tokens = random_ids(21, kTokens, Key(2));
  section.add("tokens", tokens);
  section.train(params, random_ids(21, kTokens, Key(4)),
                [&](ebb::Pass& pass) { return network.forward(pass, tokens, states); });
  for (std::size_t i = 0; i < states.size(); ++i) {
    section.add(ebb::concat("after/hidden", i), states[i].hidden);
    section.add(ebb::concat("after/cell", i), states[i].cell);
  }
}

/// Two windows of 9 tokens.
void add_decoder(SafeTensors& file, const std::string& name, ebb::TransformerConfig config) {
  Section section(file, name);
  ParamStore params;
  config.layers = 2, config.width = 32, config.heads = 4, config.length = 9;
  const auto network = ebb::make_transformer(config, kTokens, params, Key(1));
  // The usual small initial values leave attention nearly uniform; these do not.
  for (const ParamStore::Entry& entry : params.entries()) {
    if (entry.value.shape().rank() == 2)
      params[entry.name] = random_tensor(entry.value.shape(), Key(5).fold(entry.name));
  }
  const std::vector<std::int32_t> tokens = random_ids(18, kTokens, Key(2));
  section.add("tokens", tokens);
  section.train(params, random_ids(18, kTokens, Key(4)),
                [&](ebb::Pass& pass) { return network(pass, tokens, 2); });
}

/// A small graph whose nodes are all trained on.
void add_graph(SafeTensors& file, const std::string& name, const ebb::GnnConfig& config) {
  Section section(file, name);
  ParamStore params;
  const ebb::Graph graph = ebb::synthetic_graph(
      {.name = "small", .nodes = 120, .edges = 200, .features = 12, .classes = 5, .signal = 0.5});
  const auto network = ebb::make_gnn(config, 12, 5, params, Key(1));
  std::vector<std::int64_t> degrees;
  std::vector<std::int32_t> starts;
  for (std::int64_t i = 0; i < graph.nodes(); ++i) degrees.push_back(graph.neighbours.count(i));
  for (const std::int64_t start : graph.neighbours.starts)
    starts.push_back(static_cast<std::int32_t>(start));
  const ebb::train::Neighbourhoods hoods(static_cast<std::size_t>(config.layers),
                                         network.neighbourhood(graph.neighbours, degrees));
  section.add("starts", starts);
  section.add("columns", graph.neighbours.columns);
  section.add("features", graph.features);
  section.train(params, graph.labels, [&](ebb::Pass& pass) {
    return network.forward(pass, pass.tape.constant(graph.features), hoods);
  });
}

/// Codes and decoded values of one array at every width of the affine grid.
void add_quantizer(SafeTensors& file) {
  const Tensor x = random_tensor({10000}, Key(4));
  file.tensors.push_back(StoredTensor::of("x", x));
  for (int bits = 1; bits <= 16; ++bits) {
    const ebb::Grid grid =
        ebb::Grid::fit(ebb::measure_range(x.matrix()), bits, ebb::GridStyle::affine);
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
      using Config = ebb::TransformerConfig;
      add_classifier(file, "lenet5", {28, 28, 1});
      add_classifier(file, "resnet8", {32, 32, 3});
      add_lstm(file, "lstm of 1 layer", 1);
      add_lstm(file, "lstm of 2 layers", 2);
      add_decoder(file, "decoder with learned positions", {});
      add_decoder(file, "decoder with rotary positions",
                  {.positions = Config::Positions::rotary,
                   .activation = Config::Activation::swiglu,
                   .tied = true});
      // One layer sums before its product, the others after it.
      add_graph(file, "gcn",
                {.arch = "gcn",
                 .layers = 3,
                 .hidden = 16,
                 .input_dropout = 0,
                 .dropout = 0,
                 .layer_norm = true});
      add_graph(file, "sage",
                {.arch = "sage", .layers = 2, .hidden = 16, .input_dropout = 0, .dropout = 0});
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
