#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "models/classifier.h"
#include "optim/gradients.h"
#include "optim/optimizer.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

std::vector<std::int32_t> cyclic_labels(std::int64_t count, int classes) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(static_cast<std::int32_t>(i % classes));
  return labels;
}

/// Trains on one batch over and over; the losses of all steps.
std::vector<double> overfit(Bench& bench, const Classifier& model, const PrecisionPlan& plan,
                            std::int64_t batch, int steps, double rate) {
  const Tensor images =
      random_tensor({batch, model.image[0], model.image[1], model.image[2]}, Key(21));
  const std::vector<std::int32_t> labels = cyclic_labels(batch, model.classes);
  Optimizer optimizer = make_optimizer("sgd");
  std::vector<double> losses;
  for (int t = 0; t < steps; ++t) {
    Pass pass = bench.pass(plan, static_cast<std::uint64_t>(t));
    const Var loss =
        softmax_cross_entropy(pass, model.forward(pass, pass.tape.constant(images)), labels);
    losses.push_back(double{pass.tape[loss].item()});
    optimizer.step(bench.params, pass.tape.backward(loss), rate);
    pass.effects.apply_to(bench.params);
  }
  return losses;
}

}  // namespace

TEST_CASE("one batch can be overfitted to near-zero loss, in float32 and with 8-bit codes") {
  struct Case {
    const char* why;
    PrecisionPlan plan;
  };
  const Case cases[] = {{"fp32", PrecisionPlan::fp32()},
                        {"int8", PrecisionPlan::uniform(Format::integer(8), Format::integer(8))}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Bench bench;
    const Classifier model = make_classifier("lenet5", {12, 12, 1}, 4, bench.params, Key(5));
    const std::vector<double> losses = overfit(bench, model, c.plan, 4, 50, 0.02);
    CHECK(losses.front() > 1.0);
    CHECK(losses.back() < 0.02);
  }
}

TEST_CASE(
    "the ledger charges one image the MACs that follow from the published shapes, item by item" *
    doctest::test_suite("large")) {
  struct Item {
    const char* ending;  // of the sites' names
    std::int64_t macs;
  };
  struct Case {
    const char* name;
    std::int64_t side;
    int classes;
    std::int64_t macs;
    std::int64_t parameters;  // 0: known by another test, or to nobody
    std::vector<Item> items;
  };
  // Parameters of the large networks are those of torchvision's models of these names; those of
  // MobileNetV2 are convolutions 2,249,024
  // + batch norm 35,088 + classifier 12,810, by hand from its stages. MACs are of convolutions and
  // classifier. The stem of the large networks: 112 x 112 x 64 x 7 x 7 x 3.
  const std::vector<Item> basic{
      {"stem", 118013952}, {"shortcut", 19267584}, {"classifier", 512000}},
      bottleneck{{"stem", 118013952}, {"shortcut", 359661568}, {"classifier", 2048000}};
  const Case cases[] = {{"resnet20", 32, 10, 40813184, 0, {}},
                        {"resnet32", 32, 10, 69124736, 0, {}},
                        {"resnet38", 32, 10, 83280512, 0, {}},
                        {"resnet74", 32, 10, 168215168, 0, {}},
                        {"resnet110", 32, 10, 253149824, 0, {}},
                        {"resnet152", 32, 10, 352240256, 0, {}},
                        {"resnet152", 32, 100, 352240256 + 5760, 0, {}},
                        {"mobilenetv2",
                         32,
                         10,
                         91154944,
                         2296922,
                         {{"depthwise", 5879808}, {"stem", 884736}, {"classifier", 12800}}},
                        {"resnet18", 224, 1000, 1814073344, 11689512, basic},
                        {"resnet34", 224, 1000, 3663761408, 21797672, basic},
                        {"resnet50", 224, 1000, 4089184256, 25557032, bottleneck},
                        {"resnet101", 224, 1000, 7801405440, 44549160, bottleneck}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Bench bench;
    const Classifier model =
        make_classifier(c.name, {c.side, c.side, 3}, c.classes, bench.params, Key(5));
    if (c.parameters > 0) CHECK(bench.params.parameter_count() == c.parameters);
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)), 0,
                           Pass::Mode::evaluate);
    model.forward(pass, pass.tape.constant(Tensor::zeros({1, c.side, c.side, 3})));
    CHECK(bench.ledger.total_macs() == static_cast<uint128>(c.macs));
    for (const Item& item : c.items) {
      CAPTURE(item.ending);
      uint128 macs = 0;
      for (const CostLedger::Row& row : bench.ledger.rows()) {
        if (row.site.name.ends_with(item.ending))
          macs += row.cells[static_cast<std::size_t>(Product::forward)].macs;
      }
      CHECK(macs == static_cast<uint128>(item.macs));
    }
  }
}

TEST_CASE("with 16-bit codes training follows float32 closely for 100 steps" *
          doctest::test_suite("large")) {
  // Codes of 16 bits move every operand by at most 2^-17 of its range. While both runs descend
  // smoothly they stay side by side; max pooling jumps where two values are nearly equal, and then
  // so do the losses.
  struct Case {
    const char* name;
    std::int64_t batch;
    double close;  // of the first loss
  };
  const Case cases[] = {
      {"lenet5", 4, 0.01},  // measured: 0.001
      {"mlp", 16, 1e-4}};   // measured: 1.4e-5; 12 bits would give 3e-4 and 8 bits 4e-3
  for (const Case& c : cases) {
    CAPTURE(c.name);
    std::vector<std::vector<double>> losses;
    for (const PrecisionPlan& plan :
         {PrecisionPlan::fp32(),
          PrecisionPlan::uniform(Format::integer(16), Format::integer(16))}) {
      Bench bench;
      const Classifier model = make_classifier(c.name, {12, 12, 1}, 4, bench.params, Key(5));
      losses.push_back(overfit(bench, model, plan, c.batch, 100, 0.005));
    }
    CHECK(losses[0].back() < 0.5 * losses[0].front());
    for (std::size_t t = 0; t < losses[0].size(); ++t) {
      CAPTURE(t);
      CHECK(std::abs(losses[1][t] - losses[0][t]) <= c.close * losses[0].front());
    }
  }
}

TEST_CASE(
    "training gives the same bits for any number of threads, in float32 and with stochastic "
    "rounding") {
  const int threads = omp_get_max_threads();
  for (const char* name : {"resnet8", "mobilenetv2"}) {
    for (const PrecisionPlan& plan :
         {PrecisionPlan::fp32(), PrecisionPlan::uniform(Format::integer(5), Format::integer(6))}) {
      CAPTURE(std::string(name));
      CAPTURE(to_text(plan.base.weight.format));
      std::vector<ParamStore> results;
      for (const int count : {1, 2, 3}) {
        omp_set_num_threads(count);
        Bench bench;
        const Classifier model = make_classifier(name, {12, 13, 3}, 10, bench.params, Key(5));
        overfit(bench, model, plan, 8, 2, 0.05);
        results.push_back(bench.params);
      }
      for (std::size_t i = 0; i < results[0].size(); ++i) {
        CAPTURE(results[0].entries()[i].name);
        CHECK(results[1].entries()[i].value == results[0].entries()[i].value);
        CHECK(results[2].entries()[i].value == results[0].entries()[i].value);
      }
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE(
    "micro-batches, each swept with its share of the batch, add up to the gradient of the whole "
    "batch") {
  Bench bench;
  const Classifier model = make_classifier("mlp", {4, 4, 1}, 3, bench.params, Key(5));
  const Tensor images = random_tensor({7, 4, 4, 1}, Key(21));
  const std::vector<std::int32_t> labels = cyclic_labels(7, 3);
  const auto gradients_of = [&](std::int64_t first, std::int64_t count) {
    Pass pass = bench.pass();
    const Tensor part = Tensor::from({count, 4, 4, 1},
                                     images.values().subspan(static_cast<std::size_t>(first * 16),
                                                             static_cast<std::size_t>(count * 16)));
    const std::span<const std::int32_t> truth =
        std::span(labels).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const Var loss =
        softmax_cross_entropy(pass, model.forward(pass, pass.tape.constant(part)), truth);
    return pass.tape.backward(loss, static_cast<float>(count) / 7.0f);
  };
  const Gradients whole = gradients_of(0, 7);
  Gradients sum = gradients_of(0, 4);
  accumulate(sum, gradients_of(4, 3));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    REQUIRE(sum[i].size() == whole[i].size());
    // Every gradient passes three layers of chains of at most 256 fma; magnitudes stay below 10
    // times the largest gradient.
    const double allowed = 3 * 256 * 10 * kUnit * largest_magnitude(whole[i]);
    for (std::int64_t j = 0; j < whole[i].size(); ++j)
      REQUIRE(std::abs(double{sum[i][j]} - double{whole[i][j]}) <= allowed);
  }
}

TEST_CASE("every architecture takes images of every shape, and none that are too small") {
  struct Case {
    const char* name;
    Shape image;
    bool fits;
  };
  const Case cases[] = {{"lenet5", {28, 28, 1}, true},      {"lenet5", {32, 32, 3}, true},
                        {"lenet5", {12, 40, 2}, true},      {"lenet5", {11, 40, 1}, false},
                        {"lenet5-bn", {28, 28, 1}, true},   {"mlp-bn", {3, 2, 3}, true},
                        {"cnn-small", {32, 32, 3}, true},   {"cnn-small", {9, 10, 1}, false},
                        {"cnn7", {8, 9, 3}, true},          {"resnet8", {28, 28, 1}, true},
                        {"resnet8", {32, 32, 3}, true},     {"resnet8", {1, 1, 1}, true},
                        {"resnet14", {9, 5, 2}, true},      {"mobilenetv2", {9, 5, 2}, true},
                        {"mobilenetv2", {32, 32, 3}, true}, {"resnet18", {33, 40, 3}, true},
                        {"resnet50", {17, 16, 1}, true},    {"mlp", {28, 28, 1}, true},
                        {"mlp", {1, 2, 3}, true},           {"mlp", {28, 28}, false},
                        {"resnet8", {0, 4, 1}, false}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CAPTURE(to_text(c.image));
    Bench bench;
    if (!c.fits) {
      CHECK_THROWS_AS(make_classifier(c.name, c.image, 10, bench.params, Key(1)), ConfigError);
      continue;
    }
    const Classifier model = make_classifier(c.name, c.image, 10, bench.params, Key(1));
    Pass pass = bench.pass();
    const Var logits = model.forward(
        pass, pass.tape.constant(random_tensor({2, c.image[0], c.image[1], c.image[2]}, Key(2))));
    CHECK(pass.tape.shape(logits) == Shape{2, 10});
    CHECK(std::isfinite(largest_magnitude(pass.tape[logits])));
  }
}

TEST_CASE("architectures go by name and their sites carry the tags that exceptions use") {
  Bench bench;
  CHECK_THROWS_WITH_AS(make_classifier("lenet", {28, 28, 1}, 10, bench.params, Key(1)),
                       "[classifier] unknown architecture 'lenet'; did you mean 'lenet5'? Known: "
                       "mlp, mlp-bn, lenet5, lenet5-bn, cnn-small, cnn7, resnet8, resnet14, "
                       "resnet20, resnet32, "
                       "resnet38, resnet74, resnet110, resnet152, mobilenetv2, resnet18, resnet34, "
                       "resnet50, resnet101",
                       ConfigError);
  CHECK_THROWS_AS(make_classifier("mlp", {28, 28, 1}, 1, bench.params, Key(1)), ConfigError);
  struct Case {
    const char* name;
    std::vector<std::string> sites;  // with their tags
  };
  const Case cases[] = {
      {"mlp", {"fc1 first", "fc2", "fc3 last"}},
      {"lenet5", {"conv1 first", "conv2", "fc1", "fc2", "fc3 last"}},
      {"cnn-small", {"conv1 first", "conv2", "fc1", "fc2 last"}},
      {"resnet8",
       {"stem first", "stage1.block1.conv1", "stage1.block1.conv2", "stage2.block1.conv1",
        "stage2.block1.shortcut shortcut", "stage2.block1.conv2", "stage3.block1.conv1",
        "stage3.block1.shortcut shortcut", "stage3.block1.conv2", "classifier last"}}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Bench fresh;
    const Classifier model = make_classifier(c.name, {12, 12, 1}, 10, fresh.params, Key(1));
    CHECK(model.name == c.name);
    Pass pass = fresh.pass();
    model.forward(pass, pass.tape.constant(Tensor::zeros({2, 12, 12, 1})));
    std::vector<std::string> sites;
    for (const CostLedger::Row& row : fresh.ledger.rows()) {
      sites.push_back(row.site.name);
      for (const std::string& tag : row.site.tags) sites.back() += " " + tag;
    }
    CHECK(sites == c.sites);
  }
}

TEST_CASE("ResNet-20 has the published number of parameters") {
  // He et al. count 0.27 M; with 1x1 shortcuts and their batch norm it is 272,474 (fixed by hand:
  // convolutions 267,696 + shortcuts 2,560
  // + batch norm 1,568 + classifier 650).
  Bench bench;
  make_classifier("resnet20", {32, 32, 3}, 10, bench.params, Key(1));
  CHECK(bench.params.parameter_count() == 272474);
}
