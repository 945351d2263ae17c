#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

// What docs/YOUR_OWN_OP.md says of gradient_of.

TEST_CASE(
    "a step against the gradient of an input makes a network surer of its label, and one along it "
    "less") {
  Bench bench;
  const Linear hidden =
      Linear::create(bench.params, "hidden", he_init({16, 8}, Key(1)), Tensor::zeros({16}));
  const Linear output =
      Linear::create(bench.params, "output", he_init({3, 16}, Key(2)), Tensor::zeros({3}));
  const std::vector<std::int32_t> labels{0, 2};
  const auto loss_of = [&](Pass& pass, Var x) {
    return softmax_cross_entropy(pass, output(pass, relu(pass, hidden(pass, x))), labels);
  };
  for (const Format format : {Format::fp32(), Format::integer(8)}) {
    const PrecisionPlan plan = PrecisionPlan::uniform(format, format);
    const Tensor image = random_tensor({2, 8}, Key(3));
    Pass pass = bench.pass(plan, 0, Pass::Mode::evaluate);
    const Var x = pass.tape.variable(image);
    const Var loss = loss_of(pass, x);
    pass.tape.backward(loss);
    const Tensor& gradient = pass.tape.gradient_of(x);
    REQUIRE(gradient.shape() == image.shape());
    const auto moved = [&](float step) {  // the fast gradient sign method
      Tensor other = image;
      for (std::int64_t i = 0; i < other.size(); ++i) other[i] += gradient[i] < 0 ? -step : step;
      Pass again = bench.pass(plan, 0, Pass::Mode::evaluate);
      return again.tape[loss_of(again, again.tape.constant(std::move(other)))].item();
    };
    CHECK(moved(-0.1f) < pass.tape[loss].item());
    CHECK(moved(0.1f) > pass.tape[loss].item());
  }
}

TEST_CASE(
    "an input's gradient costs the grad_left product of the first layer, and moves no running "
    "range in evaluation") {
  for (const bool wanted : {false, true}) {
    Bench bench;
    const Linear layer =
        Linear::create(bench.params, "layer", he_init({3, 8}, Key(1)), std::nullopt);
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(4), Format::integer(4)), 0,
                           Pass::Mode::evaluate);
    const Var x = wanted ? pass.tape.variable(random_tensor({2, 8}, Key(3)))
                         : pass.tape.constant(random_tensor({2, 8}, Key(3)));
    pass.tape.backward(
        softmax_cross_entropy(pass, layer(pass, x), std::vector<std::int32_t>{0, 1}));
    CHECK(bench.ledger.total_bit_ops() == (wanted ? 3 : 2) * 2 * 8 * 3 * 4 * 4);
    pass.effects.apply_to(bench.params);
    CHECK(bench.params[layer.input_range] == Tensor::zeros({3}));
  }
}

TEST_CASE("an input that the loss does not depend on has a gradient of zeros") {
  Bench bench;
  Pass pass = bench.pass();
  const Var x = pass.tape.variable(Tensor::filled({2}, 1.0f)),
            unused = pass.tape.variable(Tensor::filled({3}, 1.0f));
  pass.tape.backward(mse_loss(pass, x, Tensor::zeros({2})));
  CHECK(pass.tape.gradient_of(unused) == Tensor::zeros({3}));
  CHECK(pass.tape.gradient_of(x) == Tensor::filled({2}, 1.0f));
}
