#include <ebb/ebb.h>

#include <cstdio>
#include <utility>

namespace {

using namespace ebb;

/// y = (x a^T + b) sigmoid(x c^T + d), the gated linear unit: x [..., in], y [..., out].
/// Source: Dauphin et al., arXiv 1612.08083.
struct GatedLinear {
  Linear value, gate;

  /// Adds the parameters of the sites "<name>.value" and "<name>.gate".
  static GatedLinear create(ParamStore& params, const std::string& name, std::int64_t in,
                            std::int64_t out, Key key) {
    const auto linear = [&](const char* part) {
      return Linear::create(params, Site{name + "." + part, {}},
                            glorot_uniform_init({out, in}, key.fold(part)), Tensor::zeros({out}));
    };
    return {.value = linear("value"), .gate = linear("gate")};
  }

  Var operator()(Pass& pass, Var x) const {
    return mul(pass, value(pass, x), sigmoid(pass, gate(pass, x)));
  }
};

}  // namespace

int main() {
  ParamStore params;
  const GatedLinear layer = GatedLinear::create(params, "glu", 6, 4, Key(1));
  Tensor x = Tensor::uninitialized({5, 6});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(2).normal(static_cast<std::uint64_t>(i)));

  // All gradients, of the input and of the four parameters, against difference quotients.
  const std::vector<CheckedGradient> wrong = wrong_gradients(
      params, {x}, 40,
      [&](Pass& pass, const std::vector<Var>& inputs) { return layer(pass, inputs[0]); });
  for (const CheckedGradient& gradient : wrong) std::printf("%s\n", to_text(gradient).c_str());

  // Both products are charged at the bits of their sites: 5 * 6 * 4 MACs each.
  CostLedger ledger;
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(4), Format::integer(8));
  plan.keep_fp32({"glu.gate"});
  Pass pass{.params = params, .plan = plan, .ledger = ledger, .key = Key(3)};
  static_cast<void>(layer(pass, pass.tape.constant(x)));
  const bool charged = ledger.total_bit_ops() == 120 * (4 * 4) + 120 * (32 * 32);
  std::printf("%zu wrong gradients; %s bit-operations\n", wrong.size(),
              to_text(ledger.total_bit_ops()).c_str());
  return wrong.empty() && charged ? 0 : 1;
}
