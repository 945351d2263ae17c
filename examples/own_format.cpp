#include <ebb/ebb.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace {

using namespace ebb;

/// The nearest of the numbers 0 and +-2^(k/2), k whole: a logarithmic format of base sqrt(2).
/// Source: Miyashita et al., arXiv 1603.01025.
float round_to_log(float x) {
  if (x == 0.0f || x != x) return x;
  int exponent = 0;
  const float m = 2.0f * std::frexp(std::abs(x), &exponent);  // 1 <= m < 2
  const float nearest = m < 1.2071068f ? 1.0f : m < 1.7071068f ? 1.4142135f : 2.0f;
  return std::copysign(std::ldexp(nearest, exponent - 1), x);
}

/// Rounds every element; gradients pass straight through. Products behind it run in float32.
Var fake_quantize(Pass& pass, Var x) {
  Tensor y = pass.tape[x];  // a copy
  for (float& v : y.values()) v = round_to_log(v);
  return pass.tape.record(std::move(y), {x},
                          [=](Tensor&& g, Adjoints& grads) { grads.add(x, std::move(g)); });
}

}  // namespace

int main() {
  struct Case {
    float x, rounded;
  };
  const Case cases[] = {{1.0f, 1.0f},
                        {1.2f, 1.0f},
                        {1.25f, 1.4142135f},
                        {1.75f, 2.0f},
                        {3.0f, 2.0f * 1.4142135f},
                        {-5.0f, -4.0f * 1.4142135f},
                        {0.0625f, 0.0625f},
                        {0.0f, 0.0f}};
  std::size_t wrong = 0;
  for (const Case& c : cases) wrong += round_to_log(c.x) == c.rounded ? 0 : 1;

  // A layer whose products are in float32 sees inputs and weights in that format.
  ParamStore params;
  const ParamId weight = params.add("fc.weight", he_init({10, 784}, Key(1)));
  const DataSet data = open_data("synthetic");
  const BatchSource batches(data.train, {.batch = 64, .augmentation = data.augmentation}, Key(2));
  Optimizer optimizer = make_optimizer("sgd", {});
  CostLedger ledger;
  float first = 0, last = 0;
  for (std::int64_t t = 0; t < 300; ++t) {
    Pass pass{.params = params,
              .plan = PrecisionPlan::fp32(),
              .ledger = ledger,
              .key = Key(3).fold(static_cast<std::uint64_t>(t))};
    const Batch batch = batches.batch(t);
    const Var x = fake_quantize(pass, flatten(pass, pass.tape.constant(batch.inputs)));
    const Var w = fake_quantize(pass, pass.tape.parameter(weight));
    const Var logits = matmul(pass, "fc", x, transpose(pass, w));
    const Var loss = softmax_cross_entropy(pass, logits, batch.labels);
    last = pass.tape[loss].item();
    if (t == 0) first = last;
    optimizer.step(params, pass.tape.backward(loss), 0.005);
  }
  std::printf("%zu wrong roundings; loss %.3f to %.3f with products of such numbers\n", wrong,
              static_cast<double>(first), static_cast<double>(last));
  return wrong == 0 && last < 0.5f * first ? 0 : 1;
}
