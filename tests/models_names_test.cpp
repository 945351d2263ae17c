#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/text.h"
#include "models/classifier.h"
#include "models/gnn/network.h"
#include "models/lstm/network.h"
#include "models/mlp/network.h"
#include "models/transformer/network.h"
#include "optim/optimizer.h"
#include "train/loop.h"

using namespace ebb;
using namespace ebb::train;

namespace {

// Numbers become '#', and each name is listed once: "parameter/conv#.weight".
std::string pattern_of(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) pattern += c;
    if (digit && (pattern.empty() || pattern.back() != '#')) pattern += '#';
  }
  return pattern;
}

std::vector<std::string> sorted_patterns(const Checkpoint& checkpoint, std::string_view group) {
  std::vector<std::string> patterns;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    if (tensor.name.starts_with(concat(group, "/"))) {
      const std::string pattern = pattern_of(tensor.name.substr(group.size() + 1));
      if (std::ranges::find(patterns, pattern) == patterns.end()) patterns.push_back(pattern);
    }
  }
  std::ranges::sort(patterns);
  return patterns;
}

}  // namespace

TEST_CASE("checkpoints name the tensors of every network as they always have") {
  struct Case {
    const char* why;
    std::function<void(ParamStore&)> make;
    std::vector<std::string> parameters, state;
  };
  const auto classifier = [](const char* arch, const Shape& image) {
    return [=](ParamStore& params) { make_classifier(arch, image, 10, params, Key(1)); };
  };
  const Case cases[] = {
      {"mlp",
       [](ParamStore& params) {
         make_mlp({}, {28, 28, 1}, 10, params, Key(1));
       },
       {"fc#.bias", "fc#.weight"},
       {"fc#.input_range"}},
      {"lenet5",
       classifier("lenet5", {28, 28, 1}),
       {"conv#.bias", "conv#.weight", "fc#.bias", "fc#.weight"},
       {"conv#.input_range", "fc#.input_range"}},
      {"resnet20",
       classifier("resnet20", {32, 32, 3}),
       {"classifier.bias", "classifier.weight", "stage#.block#.bn#.scale",
        "stage#.block#.bn#.shift", "stage#.block#.conv#.weight", "stage#.block#.shortcut.weight",
        "stage#.block#.shortcut_bn.scale", "stage#.block#.shortcut_bn.shift", "stem.weight",
        "stem_bn.scale", "stem_bn.shift"},
       {"classifier.input_range", "stage#.block#.bn#.running_mean", "stage#.block#.bn#.running_var",
        "stage#.block#.conv#.input_range", "stage#.block#.shortcut.input_range",
        "stage#.block#.shortcut_bn.running_mean", "stage#.block#.shortcut_bn.running_var",
        "stem.input_range", "stem_bn.running_mean", "stem_bn.running_var"}},
      {"mobilenetv2",
       classifier("mobilenetv2", {32, 32, 3}),
       {"block#.depthwise.weight",
        "block#.depthwise_bn.scale",
        "block#.depthwise_bn.shift",
        "block#.expand.weight",
        "block#.expand_bn.scale",
        "block#.expand_bn.shift",
        "block#.project.weight",
        "block#.project_bn.scale",
        "block#.project_bn.shift",
        "block#.shortcut.weight",
        "block#.shortcut_bn.scale",
        "block#.shortcut_bn.shift",
        "classifier.bias",
        "classifier.weight",
        "head.weight",
        "head_bn.scale",
        "head_bn.shift",
        "stem.weight",
        "stem_bn.scale",
        "stem_bn.shift"},
       {"block#.depthwise.input_range", "block#.depthwise_bn.running_mean",
        "block#.depthwise_bn.running_var", "block#.expand.input_range",
        "block#.expand_bn.running_mean", "block#.expand_bn.running_var",
        "block#.project.input_range", "block#.project_bn.running_mean",
        "block#.project_bn.running_var", "block#.shortcut.input_range",
        "block#.shortcut_bn.running_mean", "block#.shortcut_bn.running_var",
        "classifier.input_range", "head.input_range", "head_bn.running_mean", "head_bn.running_var",
        "stem.input_range", "stem_bn.running_mean", "stem_bn.running_var"}},
      {"gcn",
       [](ParamStore& params) { make_gnn({}, 32, 3, params, Key(1)); },
       {"layer#.bias", "layer#.linear.weight"},
       {"layer#.linear.input_range"}},
      {"sage",
       [](ParamStore& params) {
         make_gnn({.arch = "sage", .layer_norm = true}, 8, 3, params, Key(1));
       },
       {"layer#.neighbour.weight", "layer#.norm.bias", "layer#.norm.weight", "layer#.self.bias",
        "layer#.self.weight"},
       {"layer#.neighbour.input_range", "layer#.self.input_range"}},
      {"lstm",
       [](ParamStore& params) { make_lstm({.layers = 2, .units = 8}, 16, params, Key(1)); },
       {"decoder.bias", "decoder.weight", "embedding.weight", "lstm#.hidden.weight",
        "lstm#.input.bias", "lstm#.input.weight"},
       {"decoder.input_range", "lstm#.hidden.input_range", "lstm#.input.input_range"}},
      {"transformer",
       [](ParamStore& params) {
         make_transformer({.layers = 1, .width = 8, .heads = 2}, 16, params, Key(1));
       },
       {"block#.attention.input.bias", "block#.attention.input.weight",
        "block#.attention.output.bias", "block#.attention.output.weight",
        "block#.attention_norm.bias", "block#.attention_norm.weight", "block#.mlp.down.bias",
        "block#.mlp.down.weight", "block#.mlp.up.bias", "block#.mlp.up.weight",
        "block#.mlp_norm.bias", "block#.mlp_norm.weight", "head.weight", "last_norm.bias",
        "last_norm.weight", "positions.weight", "tokens.weight"},
       {"block#.attention.input.input_range", "block#.attention.output.input_range",
        "block#.mlp.down.input_range", "block#.mlp.up.input_range", "head.input_range"}},
      {"encoder",
       [](ParamStore& params) {
         make_encoder({.layers = 1, .width = 8, .heads = 2}, 16, EncoderHead::classes, 3, params,
                      Key(1));
       },
       {"block#.attention.input.bias",
        "block#.attention.input.weight",
        "block#.attention.output.bias",
        "block#.attention.output.weight",
        "block#.attention_norm.bias",
        "block#.attention_norm.weight",
        "block#.mlp.down.bias",
        "block#.mlp.down.weight",
        "block#.mlp.up.bias",
        "block#.mlp.up.weight",
        "block#.mlp_norm.bias",
        "block#.mlp_norm.weight",
        "classifier.bias",
        "classifier.weight",
        "last_norm.bias",
        "last_norm.weight",
        "pooler.bias",
        "pooler.weight",
        "positions.weight",
        "segments.weight",
        "tokens.weight"},
       {"block#.attention.input.input_range", "block#.attention.output.input_range",
        "block#.mlp.down.input_range", "block#.mlp.up.input_range", "classifier.input_range",
        "pooler.input_range"}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    RunState state;
    c.make(state.params);
    const Checkpoint checkpoint = to_checkpoint(state, "{}");
    CHECK(sorted_patterns(checkpoint, "parameter") == c.parameters);
    CHECK(sorted_patterns(checkpoint, "state") == c.state);
  }
}

TEST_CASE("checkpoints name the state of optimizers as they always have") {
  struct Case {
    const char* optimizer;
    std::vector<std::string> state;
  };
  const Case cases[] = {
      {"sgd", {"steps", "velocity/w"}},
      {"adam", {"first/w", "second/w", "steps"}},
      {"adamw", {"first/w", "second/w", "steps"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.optimizer);
    RunState state;
    state.params.add("w", Tensor::filled({2}, 1.0f));
    state.optimizer = make_optimizer(c.optimizer, {});
    state.optimizer.step(state.params, {Tensor::filled({2}, 1.0f)}, 0.1);
    CHECK(sorted_patterns(to_checkpoint(state, "{}"), "optimizer") == c.state);
  }
}
