#include <ebb/ebb.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace {

using namespace ebb;

/// y = x / (1 + |x|), element by element. Nothing is multiplied as a matrix, so it runs in float32
/// and costs no bit-operations.
Var softsign(Pass& pass, Var x) {
  Tensor y = pass.tape[x];  // a copy
  for (float& v : y.values()) v /= 1.0f + std::abs(v);
  return pass.tape.record(std::move(y), {x}, [=, &pass](Tensor&& g, Adjoints& grads) {
    const Tensor& in = pass.tape[x];
    for (std::int64_t i = 0; i < g.size(); ++i) {
      const float d = 1.0f + std::abs(in[i]);
      g[i] /= d * d;
    }
    grads.add(x, std::move(g));
  });
}

/// y = x w^T for x [m, k] and w [n, k]: an op with products, each on the codes that the pass's plan
/// has for the site.
Var product(Pass& pass, const Site& site, Var x, Var w) {
  using enum Product;
  const Site here = pass.visit(site);  // this use of it: used again, it draws other random bits
  const Quantized qx = pass.quantize(x, here, Role::activation),
                  qw = pass.quantize(w, here, Role::weight);
  Tensor y = pass.multiply(qx.along(1, forward), qw.along(1, forward).transposed(), here, forward);
  return pass.tape.record(std::move(y), {x, w}, [=, &pass](const Tensor& g, Adjoints& grads) {
    const Quantized qg = pass.quantize(g, here, Role::gradient);
    if (grads.wants(x))  // contracts n
      grads.add(x, pass.multiply(qg.along(1, grad_left), qw.along(0, grad_left), here, grad_left));
    grads.add(w, pass.multiply(qg.along(0, grad_right).transposed(), qx.along(0, grad_right), here,
                               grad_right));  // contracts m
  });
}

Tensor normals(const Shape& shape, Key key) {
  Tensor x = Tensor::uninitialized(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

}  // namespace

int main() {
  const Site site{"own"};
  const auto op = [&](Pass& pass, const std::vector<Var>& inputs) {
    return softsign(pass, product(pass, site, inputs[0], inputs[1]));
  };
  const std::vector<Tensor> inputs = {normals({5, 4}, Key(1)), normals({3, 4}, Key(2))};

  // In float32 each gradient is held against difference quotients; 20 is generous for the roundings
  // behind one output.
  ParamStore params;
  const std::vector<CheckedGradient> wrong = wrong_gradients(params, inputs, 20, op);
  for (const CheckedGradient& gradient : wrong) std::printf("%s\n", to_text(gradient).c_str());

  // The same op on 4-bit codes, charged to a ledger: 5 * 3 * 4 multiplications, three times.
  CostLedger ledger;
  Pass pass{.params = params,
            .plan = PrecisionPlan::uniform(Format::integer(4), Format::integer(8)),
            .ledger = ledger,
            .key = Key(3)};
  const Var x = pass.tape.variable(inputs[0]), w = pass.tape.variable(inputs[1]),
            y = op(pass, {x, w});
  const Var loss = softmax_cross_entropy(pass, y, std::vector<std::int32_t>{0, 1, 2, 0, 1});
  pass.tape.backward(loss);
  const bool charged = ledger.total_bit_ops() == 60 * (4 * 4 + 8 * 4 + 4 * 8);
  std::printf("%zu wrong gradients; %s bit-operations\n", wrong.size(),
              to_text(ledger.total_bit_ops()).c_str());
  return wrong.empty() && charged ? 0 : 1;
}
