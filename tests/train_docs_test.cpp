#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <numeric>
#include <sstream>

#include "core/error.h"
#include "core/key.h"
#include "core/math.h"
#include "data/batches.h"
#include "data/graph.h"
#include "data/graph_batches.h"
#include "data/windows.h"
#include "layers/batch_norm.h"
#include "layers/functions.h"
#include "layers/init.h"
#include "layers/loss.h"
#include "optim/gradients.h"
#include "optim/optimizer.h"
#include "passes.h"
#include "quant/formats/grid.h"
#include "schedules/schedule.h"

using namespace ebb;

namespace {

/// A row of a table of worked values: what it says of what.
struct Row {
  std::string expression, value;
};

/// The rows of docs/PAGE behind the remark "worked values: NAME": two pieces of inline code each.
std::vector<Row> worked_values(const std::string& page, const std::string& name) {
  std::ifstream in(std::filesystem::path(__FILE__).parent_path().parent_path() / "docs" / page);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t first = text.find("<!-- worked values: " + name + " -->");
  REQUIRE(first != std::string::npos);
  const std::size_t last = text.find("<!-- end of worked values -->", first);
  REQUIRE(last != std::string::npos);
  std::vector<std::string> code;
  for (std::size_t at = first; (at = text.find('`', at)) < last;) {
    const std::size_t close = text.find('`', at + 1);
    code.push_back(text.substr(at + 1, close - at - 1));
    at = close + 1;
  }
  REQUIRE(code.size() % 2 == 0);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < code.size(); i += 2) rows.push_back({code[i], code[i + 1]});
  return rows;
}

template <class Bits>
std::string hex(Bits bits) {
  std::ostringstream out;
  out << "0x" << std::hex << std::setfill('0') << std::setw(2 * sizeof(Bits)) << bits;
  return out.str();
}
std::string text_of(std::uint32_t bits) { return hex(bits); }
std::string text_of(std::uint64_t bits) { return hex(bits); }
std::string text_of(std::int64_t n) { return std::to_string(n); }
std::string text_of(double x) { return hex(std::bit_cast<std::uint64_t>(x)); }
std::string text_of(float x) { return hex(std::bit_cast<std::uint32_t>(x)); }
std::string text_of(Key key) { return hex(key.value()); }

template <class Values>
std::string all_of(const Values& values) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? "" : " ") + text_of(value);
  return text;
}
std::string all_of(const Tensor& x) { return all_of(x.values()); }

/// n values of(0) .. of(n - 1).
template <class Of>
std::string listed(int n, const Of& of) {
  std::vector<std::int64_t> values;
  for (int i = 0; i < n; ++i)
    values.push_back(static_cast<std::int64_t>(of(static_cast<std::uint64_t>(i))));
  return all_of(values);
}

void check_page(const std::string& page, const std::string& name, const std::vector<Row>& code) {
  const std::vector<Row> rows = worked_values(page, name);
  CHECK(rows.size() == code.size());
  for (std::size_t i = 0; i < std::min(rows.size(), code.size()); ++i) {
    CHECK(rows[i].expression == code[i].expression);
    CAPTURE(code[i].expression);
    CHECK(rows[i].value == code[i].value);
  }
}

/// A set of n one-pixel images whose labels are their numbers.
ImageSet numbered_images(std::int64_t n) {
  ImageSet set{.name = "numbered",
               .shape = {1, 1, 1},
               .classes = static_cast<int>(n),
               .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(n)),
               .labels = std::vector<std::int32_t>(static_cast<std::size_t>(n)),
               .normalization = {{0.0f}, {1.0f}}};
  std::iota(set.labels.begin(), set.labels.end(), 0);
  return set;
}

/// Where crop and mirror read image `image` of a set in an epoch: the pixels of a one-image batch
/// tell. Pixel (y, x) of every image is y * 16 + x + 1, so that the padding shows as 0.
std::string placement(std::int64_t image, std::int64_t epoch) {
  constexpr std::int64_t side = 12, images = 8;
  ImageSet set{.name = "placed",
               .shape = {side, side, 1},
               .classes = images,
               .pixels = {},
               .labels = {},
               .normalization = {{0.0f}, {1.0f}}};
  std::vector<float> pixels;
  for (std::int32_t i = 0; i < images; ++i) {
    set.labels.push_back(i);
    for (std::int64_t y = 0; y < side; ++y) {
      for (std::int64_t x = 0; x < side; ++x) pixels.push_back(static_cast<float>(y * 16 + x + 1));
    }
  }
  set.pixels = std::move(pixels);
  const BatchSource source(set, {.batch = 1, .augmentation = Augmentation::crop_and_flip()},
                           Key(1).fold("batches"));
  for (std::int64_t t = epoch * images; t < (epoch + 1) * images; ++t) {
    const Batch batch = source.batch(t);
    if (batch.labels[0] != image) continue;
    const auto at = [&](std::int64_t y, std::int64_t x) {
      return static_cast<std::int64_t>(batch.inputs[y * side + x]) - 1;
    };
    const std::int64_t middle = at(5, 5),
                       beside = at(5, 6);  // at most 4 away from the middle: inside
    const std::int64_t mirrored = beside < middle ? 1 : 0,
                       column = mirrored != 0 ? side - 1 - 5 : 5;
    return all_of(std::vector<std::int64_t>{middle / 16 - 5, middle % 16 - column, mirrored});
  }
  return "not found";
}

std::string heard_places() {
  constexpr std::int64_t nodes = 64;
  Graph graph;
  std::vector<Edge> edges;
  for (std::int64_t i = 0; i < 41; ++i) {
    if (i != 5)
      edges.push_back({5, i});  // node 5 hears 40: place p is node p below 5, p + 1 from there on
  }
  graph.neighbours = undirected(nodes, edges);
  graph.features = Tensor::zeros({nodes, 1});
  graph.labels.assign(nodes, 0);
  graph.classes = 2;
  graph.split.train = {5};
  const GraphBatchSource source(graph, 1, {4}, Key(1).fold("batches"));
  std::vector<std::int64_t> places;
  const GraphBatch batch = source.batch(2);
  for (const std::int32_t neighbour : batch.hops[0].adjacency.row(0)) {
    const std::int64_t node = batch.hops[0].nodes[static_cast<std::size_t>(neighbour)];
    places.push_back(node < 5 ? node : node - 1);
  }
  return all_of(places);
}

double function_of(const std::string& name, double x) {
  if (name == "exp") return math::exp(x);
  if (name == "log") return math::log(x);
  if (name == "cos_pi") return math::cos_pi(x);
  if (name == "sin_pi") return math::sin_pi(x);
  REQUIRE(name == "tanh");
  return math::tanh(x);
}

float float_function_of(const std::string& name, float x) {
  float y = 0;
  if (name == "exp") {
    exp_rows(&x, 1, 0.0f, &y, Simd::scalar);
  } else if (name == "logistic") {
    sigmoid_rows(&x, 1, &y, Simd::scalar);
  } else {
    REQUIRE(name == "tanh");
    tanh_rows(&x, 1, &y, Simd::scalar);
  }
  return y;
}

/// One parameter moved by three gradients.
float moved(const char* optimizer, double rate) {
  ParamStore params;
  const ParamId w = params.add("w", Tensor::filled({1}, 1.0f));
  Optimizer moving = make_optimizer(optimizer, {{"weight_decay", 0.01}});
  for (const float g : {0.5f, -0.25f, 0.125f}) {
    Gradients gradients;
    gradients.push_back(Tensor::filled({1}, g));
    moving.step(params, gradients, rate);
  }
  return params[w][0];
}

}  // namespace

TEST_CASE("the worked values of RANDOMNESS.md are what keys give") {
  const Key root(1);
  std::vector<std::int64_t> order(10);
  std::iota(order.begin(), order.end(), 0);
  shuffle_indices(root, order);
  check_page(
      "RANDOMNESS.md", "keys",
      {{"Philox of counter (1, 2, 3, 4), key (5, 6)", all_of(philox4x32({1, 2, 3, 4}, {5, 6}))},
       {"hash(\"weight\")", text_of(name_hash("weight"))},
       {"Key(1).fold(0)", text_of(root.fold(0))},
       {"Key(1).fold(7).fold(\"conv1\")", text_of(root.fold(7).fold("conv1"))},
       {"Key(1).bits(0)", text_of(root.bits(0))},
       {"Key(1).bits(4294967297)", text_of(root.bits(4294967297))},
       {"Key(1).uniform(3)", text_of(root.uniform(3))},
       {"Key(1).below(0 .. 7, 10)", listed(8, [&](std::uint64_t i) { return root.below(i, 10); })},
       {"Key(1).normal(0)", text_of(root.normal(0))},
       {"Key(1).normal(1)", text_of(root.normal(1))},
       {"Key(1).normal(2)", text_of(root.normal(2))},
       {"shuffle(Key(1), 0 .. 9)", all_of(order)}});

  const Key steps = root.fold("steps"), fc1 = root.fold("initial values").fold("fc1");
  const std::vector<std::uint64_t> elements{0, 1, 16, 64, 127, 128};
  check_page("RANDOMNESS.md", "paths",
             {{R"(Key(1).fold("initial values").fold("fc1"))", text_of(fc1)},
              {R"(Key(1).fold("steps").fold(0).fold(0))", text_of(steps.fold(0).fold(0))},
              {R"(Key(1).fold("steps").fold(5).fold(1).fold("stage2.block1.conv2").fold(2))",
               text_of(steps.fold(5)
                           .fold(1)
                           .fold("stage2.block1.conv2")
                           .fold(static_cast<std::uint64_t>(Role::gradient)))},
              {R"(Key(1).fold("steps").fold(5).fold(0).fold("layer1").fold("dropout"))",
               text_of(steps.fold(5).fold(0).fold("layer1").fold("dropout"))},
              {R"(Key(1).fold("batches").fold("order").fold(2))",
               text_of(root.fold("batches").fold("order").fold(2))},
              {R"(Key(1).fold("batches").fold("augment").fold(2))",
               text_of(root.fold("batches").fold("augment").fold(2))},
              {R"(Key(1).fold("windows").fold(3))", text_of(root.fold("windows").fold(3))},
              {R"(normal(0.5) of Key(1).fold("initial values").fold("fc1"), elements 0 .. 3)",
               all_of(normal_init({4}, 0.5, fc1))},
              {"uniform(0.5) of the same", all_of(uniform_init({4}, 0.5, fc1))},
              {"rounding bits of Key(1), elements 0, 1, 16, 64, 127, 128",
               listed(6, [&](std::uint64_t i) { return rounding_bits(root, elements[i]); })}});
}

TEST_CASE("the worked values of RANDOMNESS.md are the order of the data") {
  const Key root(1);
  const ImageSet images = numbered_images(1000), hundred = numbered_images(100);
  const BatchSource source(images, {.batch = 8, .augmentation = {}}, root.fold("batches"));
  TokenIds text(10'000);
  std::iota(text.begin(), text.end(), 0);
  const TokenBatch windows = random_windows(text, 4, 64, root.fold("windows").fold(3));
  const std::vector<std::int32_t> aside =
      split_validation(hundred, 0.1, root.fold("validation")).validation.labels;
  check_page(
      "RANDOMNESS.md", "order",
      {{"batch of iteration 0: 1000 images, batch 8, seed 1", all_of(source.indices(0))},
       {"batch of iteration 130, in epoch 1", all_of(source.indices(130))},
       {"down, right, mirrored of image 0 in epoch 0", placement(0, 0)},
       {"down, right, mirrored of image 7 in epoch 3", placement(7, 3)},
       {"held out: 0.1 of 100 images", listed(10, [&](std::uint64_t i) { return aside[i]; })},
       {"starts at iteration 3: 4 windows of 64 of 10000 tokens",
        listed(4, [&](std::uint64_t r) { return windows.inputs[64 * r]; })},
       {"random split of 20 nodes: test nodes", all_of(random_split(20, root.fold("split")).test)},
       {"indices sampled for node 5 of 40 neighbours, fanout 4, iteration 2, layer 0",
        heard_places()}});
}

TEST_CASE("the worked values of FUNCTIONS.md are what the functions give") {
  std::vector<Row> code;
  for (const Row& row : worked_values("FUNCTIONS.md", "functions")) {
    const std::size_t open = row.expression.find('(');
    const std::string name = row.expression.substr(0, open),
                      inside = row.expression.substr(open + 1);
    if (name == "pow") {
      const double base = std::stod(inside),
                   exponent = std::stod(inside.substr(inside.find(',') + 1));
      const auto whole = static_cast<std::int64_t>(exponent);
      const bool squares = whole >= 0 && static_cast<double>(whole) == exponent;
      code.push_back(
          {row.expression, text_of(squares ? math::pow(base, whole) : math::pow(base, exponent))});
    } else if (name.starts_with("float ")) {
      code.push_back(
          {row.expression, text_of(float_function_of(name.substr(6), std::stof(inside)))});
    } else {
      code.push_back(
          {row.expression, text_of(function_of(name, std::strtod(inside.c_str(), nullptr)))});
    }
  }
  CHECK(code.size() >= 30);
  check_page("FUNCTIONS.md", "functions", code);
}

TEST_CASE("the worked values of TRAINING.md are what a step does") {
  Gradients gradients;
  gradients.push_back(Tensor::from({2}, std::vector<float>{3, 4}));
  gradients.push_back(Tensor::filled({1}, 1.5f));
  clip_global_norm(gradients, 2);

  ParamStore store;
  CostLedger ledger;
  const BatchNorm norm = BatchNorm::create(store, "norm", 1);
  store[norm.weight][0] = 1.5f;
  store[norm.bias][0] = 0.25f;
  Pass pass{.params = store, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(1)};
  const Var logits = pass.tape.variable(
      Tensor::from({3, 3}, std::vector<float>{1, 2, 0.5f, -1, 0, 3.25f, 0.1f, 0.2f, 0.3f}));
  const std::vector<std::int32_t> labels{1, 0, 2};
  const Var loss = softmax_cross_entropy(pass, logits, labels);
  const float value = pass.tape[loss].item();
  static_cast<void>(pass.tape.backward(loss));

  Pass normed{.params = store, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(1)};
  const Var x = normed.tape.variable(Tensor::from({4, 1}, std::vector<float>{1, 2, 3, 6}));
  const Var y = norm(normed, x, {});
  const std::string outputs = all_of(normed.tape[y]);
  const Var scalar =
      test::dot(normed, y, Tensor::from({4, 1}, std::vector<float>{0.5f, -0.25f, 1, 0.125f}));
  const Gradients of_norm = normed.tape.backward(scalar);
  normed.effects.apply_to(store);

  check_page(
      "TRAINING.md", "steps",
      {{"SGD: w = 1, momentum 0.9, decay 0.01, rate 0.1, gradients 0.5, -0.25, 0.125",
        text_of(moved("sgd", 0.1))},
       {"Adam: the same w, gradients and decay, rate 0.003", text_of(moved("adam", 0.003))},
       {"AdamW: the same", text_of(moved("adamw", 0.003))},
       {"gradients (3, 4), (1.5) clipped to 2", all_of(gradients[0]) + ' ' + all_of(gradients[1])},
       {"loss of the rows (1, 2, 0.5), (-1, 0, 3.25), (0.1, 0.2, 0.3) with labels 1, 0, 2",
        text_of(value)},
       {"its gradient", all_of(pass.tape.gradient_of(logits))},
       {"batch norm of 1, 2, 3, 6 with weight 1.5, shift 0.25", outputs},
       {"its running mean and variance after the first step",
        all_of(store[norm.running_mean]) + ' ' + all_of(store[norm.running_var])},
       {"its gradient for 0.5, -0.25, 1, 0.125", all_of(normed.tape.gradient_of(x))},
       {"gradients of its weight and shift", all_of(of_norm[0]) + ' ' + all_of(of_norm[1])}});
}
