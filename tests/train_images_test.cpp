#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/shape_ops.h"
#include "optim/optimizer.h"
#include "train/tasks/images.h"

using namespace ebb;
using namespace ebb::train;

namespace {

Options default_options() { return Options(image_options(), {{"batch", "128"}}); }

std::shared_ptr<const ImageData> small_data() {
  ImageData data;
  data.set = {.name = "small",
              .train = synthetic_images(SyntheticKind::grey, 50, Key(1)),
              .test = synthetic_images(SyntheticKind::grey, 230, Key(2)),
              .augmentation = Augmentation::none()};
  data.set.test.normalization = data.set.train.normalization;
  return std::make_shared<const ImageData>(std::move(data));
}

struct Softmax {
  RunState state;
  ImageNetwork network;
};
Softmax softmax() {
  Softmax result{.state = {.optimizer = make_optimizer("sgd")}, .network = {}};
  const Linear layer = Linear::create(result.state.params, {"fc", {"first", "last"}},
                                      he_init({10, 784}, Key(3)), Tensor::zeros({10}));
  result.network = [layer](Pass& pass, Var images) { return layer(pass, flatten(pass, images)); };
  return result;
}

LoopSettings settings(std::int64_t iterations) {
  LoopSettings s{.iterations = iterations, .key = Key(4)};
  s.plan = [](std::int64_t) {
    return PrecisionPlan::uniform(Format::integer(6), Format::integer(8));
  };
  s.rate = [](std::int64_t) { return 0.05; };
  s.evaluation_plan = s.plan(0);
  s.eval_every = s.save_every = 100;
  return s;
}

}  // namespace

TEST_CASE("an image task scores every test image once, in pieces") {
  const auto data = small_data();
  Softmax model = softmax();
  Options options = default_options();
  options.set("batch", "16");
  const Task task = image_task(data, model.network, options);
  CHECK(task.steps_per_epoch == 4);
  CHECK(task.parts(0) == std::vector<std::int64_t>{16});
  CHECK(task.parts(3) == std::vector<std::int64_t>{2});
  REQUIRE(task.splits.size() == 1);
  CHECK(task.splits[0].pieces == 3);
  run_loop(task, model.state, settings(8), {});
  const EvalRow row = evaluate(task, task.splits[0], model.state, settings(8));

  // The whole test set in one pass: accuracy is a count, so it must agree; the loss up to the order
  // of its sum.
  const Batch all = batch_in_file_order(data->set.test, 0, 230);
  CostLedger ledger;
  Pass pass{.params = model.state.params,
            .plan = *settings(8).evaluation_plan,
            .ledger = ledger,
            .key = Key(0),
            .mode = Pass::Mode::evaluate};
  const Var logits = model.network(pass, pass.tape.constant(all.inputs));
  CHECK(row.score == static_cast<double>(count_correct(pass.tape[logits], all.labels)) / 230.0);
  CHECK(row.loss ==
        doctest::Approx(
            static_cast<double>(pass.tape[softmax_cross_entropy(pass, logits, all.labels)].item()))
            .epsilon(1e-6));
  CHECK(row.bit_ops == 230 * 784 * 10 * 36);
}

TEST_CASE("micro-batches and what was asked before never change what a step sees") {
  const auto data = small_data();
  std::vector<std::string> hashes;
  for (const bool asked : {false, true}) {
    Softmax model = softmax();
    Options options = default_options();
    options.set("batch", "20");
    options.set("accumulate", "3");
    const Task task = image_task(data, model.network, options);
    CHECK(task.parts(0) == std::vector<std::int64_t>{7, 7, 6});
    CHECK(task.parts(2) == std::vector<std::int64_t>{4, 3, 3});
    if (asked) {
      CostLedger ledger;
      ParamStore params = model.state.params;
      Pass pass{.params = params, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(0)};
      static_cast<void>(task.loss(pass, 5, 1));
    }
    run_loop(task, model.state, settings(7), {});
    hashes.push_back(weights_sha256(model.state.params));
  }
  CHECK(hashes[0] == hashes[1]);
}

TEST_CASE("a validation split comes from the training images and is scored first") {
  Options options = default_options();
  options.set("validation", "0.1");
  options.set("augment", "crop-flip");
  const ImageData data = open_images(options);
  CHECK(data.validation.count() > 0);
  CHECK(data.set.train.count() == 9 * data.validation.count());
  CHECK(data.set.augmentation == Augmentation::crop_and_flip());
  const Task task = image_task(std::make_shared<const ImageData>(data), softmax().network, options);
  REQUIRE(task.splits.size() == 2);
  CHECK(task.splits[0].name == "validation");
  CHECK(task.splits[1].name == "test");

  options.set("data", "/no/such/folder");
  CHECK_THROWS_AS(static_cast<void>(open_images(options)), DataError);
}
