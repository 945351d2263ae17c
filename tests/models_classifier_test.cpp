#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "models/classifier.h"
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
std::vector<double> overfit(Bench& bench, const Classifier& model, const PrecisionPlan& plan, std::int64_t batch, int steps,
                            double rate) {
  const Tensor images = random_tensor({batch, model.image[0], model.image[1], model.image[2]}, Key(21));
  const std::vector<std::int32_t> labels = cyclic_labels(batch, model.classes);
  Optimizer optimizer = make_optimizer("sgd", {});
  std::vector<double> losses;
  for (int t = 0; t < steps; ++t) {
    Pass pass = bench.pass(plan, static_cast<std::uint64_t>(t));
    const Var loss = softmax_cross_entropy(pass, model.forward(pass, pass.tape.constant(images)), labels);
    losses.push_back(double{pass.tape[loss].item()});
    optimizer.step(bench.params, pass.tape.backward(loss), rate);
  }
  return losses;
}

}  // namespace

TEST_CASE("one batch can be overfitted to near-zero loss, in float32 and with 8-bit codes") {
  struct Case {
    const char* why;
    PrecisionPlan plan;
  };
  const Case cases[] = {{"fp32", PrecisionPlan::fp32()}, {"int8", PrecisionPlan::uniform(Format::integer(8), Format::integer(8))}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Bench bench;
    const Classifier model = make_classifier("lenet5", {12, 12, 1}, 4, bench.params, Key(5));
    const std::vector<double> losses = overfit(bench, model, c.plan, 4, 50, 0.02);
    CHECK(losses.front() > 1.0);
    CHECK(losses.back() < 0.02);
  }
}

TEST_CASE("the ledger charges one image of the CIFAR ResNets the MACs that follow from their published shapes") {
  // cpt.md 5.3: convolutions and the classifier of 10 classes, one 32 x 32 image.
  struct Case {
    const char* name;
    std::int64_t macs;
  };
  const Case cases[] = {{"resnet20", 40813184},  {"resnet32", 69124736},   {"resnet38", 83280512},
                        {"resnet74", 168215168}, {"resnet110", 253149824}, {"resnet152", 352240256}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Bench bench;
    const Classifier model = make_classifier(c.name, {32, 32, 3}, 10, bench.params, Key(5));
    Pass pass = bench.pass(PrecisionPlan::fp32(), 0, Pass::Mode::evaluate);
    model.forward(pass, pass.tape.constant(Tensor::zeros({1, 32, 32, 3})));
    CHECK(bench.ledger.total_macs() == static_cast<uint128>(c.macs));
  }
}
