#include <ebb/ebb.h>

#include <cmath>
#include <cstdio>
#include <limits>

namespace {

using namespace ebb;

/// Lion: c = b1 m + (1 - b1) g;  w = w - rate (sign(c) + weight_decay w);  m = b2 m + (1 - b2) g.
/// Source: Chen et al., arXiv 2302.06675.
constexpr Hyperparameter kLionSettings[] = {Hyperparameter::share("beta1", 0.9),
                                            Hyperparameter::share("beta2", 0.99),
                                            Hyperparameter::amount("weight_decay", 0)};
constexpr Slot kLionSlots[] = {{"exp_avg"}};

bool step_lion(const NamedNumbers& settings, const Update& update) {
  const auto b1 = static_cast<float>(number_of(settings, "beta1")),
             b2 = static_cast<float>(number_of(settings, "beta2")),
             decay = static_cast<float>(number_of(settings, "weight_decay")),
             rate = static_cast<float>(update.rate);
  float *const m = update.slots[0], *const w = update.w;
  bool finite = true;
  for (std::int64_t i = 0; i < update.size; ++i) {
    const float g = update.g[i], c = b1 * m[i] + (1 - b1) * g;
    w[i] -= rate * (static_cast<float>((c > 0) - (c < 0)) + decay * w[i]);
    m[i] = b2 * m[i] + (1 - b2) * g;
    finite = finite && std::isfinite(w[i]) && std::isfinite(m[i]);
  }
  return finite;
}

constexpr OptimizerRule kLion{
    .name = "lion", .hyperparameters = kLionSettings, .slots = kLionSlots, .step = step_lion};

/// Halves the rate for good after `patience` updates without a new low of the loss.
constexpr Hyperparameter kPatienceSettings[] = {Hyperparameter::positive("patience", 10)};
constexpr ControllerState kPatienceState[] = {
    {"lowest", std::numeric_limits<double>::infinity()}, {"waited", 0, true}, {"factor", 1}};

void observe(Controller& it, const Observation& seen) {
  if (seen.event != Observation::Event::update) return;
  const double loss = number_of(seen.numbers, "loss");
  double &lowest = number_of(it.state, "lowest"), &waited = number_of(it.state, "waited");
  waited = loss < lowest ? 0 : waited + 1;
  lowest = std::fmin(loss, lowest);
  if (waited < number_of(it.hyperparameters, "patience")) return;
  number_of(it.state, "factor") *= 0.5;
  waited = 0;
}

constexpr ControllerRule kPatience{
    .name = "patience",
    .option = "lr-patience",
    .help = "halve the rate after so many updates without a low",
    .hyperparameters = kPatienceSettings,
    .state = kPatienceState,
    .observe = observe,
    .value = [](const Controller& it) { return number_of(it.state, "factor"); }};

}  // namespace

int main() {
  train::RunState state{.optimizer = Optimizer(kLion, {{"weight_decay", 0.01}}),
                        .controllers = {Controller(kPatience)}};
  const Linear line =
      Linear::create(state.params, "line", Tensor::zeros({1, 4}), Tensor::zeros({1}));
  Tensor x = Tensor::uninitialized({32, 4}), y = Tensor::uninitialized({32, 1});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(1).normal(static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < y.size(); ++i) y[i] = x[4 * i] - 0.5f * x[4 * i + 2];

  double first = 0, last = 0;
  for (; state.iteration < 300; ++state.iteration) {
    Pass pass{.params = state.params,
              .plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8)),
              .ledger = state.ledger,
              .key = Key(2).fold(static_cast<std::uint64_t>(state.iteration))};
    const Var loss = mse_loss(pass, line(pass, pass.tape.constant(x)), y);
    last = static_cast<double>(pass.tape[loss].item());
    if (state.iteration == 0) first = last;
    Controller& controller = state.controllers[0];
    const Gradients gradients = pass.tape.backward(loss);
    state.optimizer.step(state.params, gradients, 0.01 * controller.value());
    controller.observe({.updates = state.iteration + 1, .numbers = {{"loss", last}}});
  }
  const double factor = state.controllers[0].value();
  std::printf("loss %.4f, then %.6f; the rate was halved %.0f times\n", first, last,
              -std::log2(factor));
  return last < 0.1 * first && factor < 1 ? 0 : 1;
}
