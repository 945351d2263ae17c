#include <ebb/ebb.h>

#include <cstdio>
#include <filesystem>

namespace {

using namespace ebb;

constexpr std::int64_t kUpdates = 200;

/// A network and all that a training of it changes.
struct Training {
  train::RunState state;  // parameters, optimizer, ledger, iteration
  Linear hidden, output;
  float mean_loss = 0;  // a running mean: something of our own that a resumed run needs too

  Training() {
    const Key init = Key(1).fold("initial values");
    hidden = Linear::create(state.params, "hidden", he_init({64, 784}, init.fold("hidden")),
                            Tensor::zeros({64}));
    output = Linear::create(state.params, "output", he_init({10, 64}, init.fold("output")),
                            Tensor::zeros({10}));
    state.optimizer = make_optimizer("adamw", {{"weight_decay", 0.01}});
  }
  Var logits(Pass& pass, const Tensor& images) const {
    return output(pass, relu(pass, hidden(pass, flatten(pass, pass.tape.constant(images)))));
  }
};

/// Goes on up to, but not including, update `end`.
void train_until(Training& t, const DataSet& data, std::int64_t end) {
  const Key root(1);
  const BatchSource batches(data.train, {.batch = 64, .augmentation = data.augmentation},
                            root.fold("batches"));
  const Bound bits = Schedule::parse("round(3->8 : cycle(2) cos)").bind(kUpdates);
  const Bound rate = Schedule::parse("0.003->0 : cos").bind(kUpdates);
  while (t.state.iteration < end) {
    const std::int64_t now =
        t.state.iteration;  // batch, bits, rate and random bits are functions of it alone
    Pass pass{.params = t.state.params,
              .plan = PrecisionPlan::uniform(bits.value(now).format(), Format::integer(8)),
              .ledger = t.state.ledger,
              .key = root.fold("steps").fold(static_cast<std::uint64_t>(now))};
    const Batch batch = batches.batch(now);
    const Var loss = softmax_cross_entropy(pass, t.logits(pass, batch.inputs), batch.labels);
    t.mean_loss = 0.9f * t.mean_loss + 0.1f * pass.tape[loss].item();
    t.state.optimizer.step(t.state.params, pass.tape.backward(loss), rate(now));
    pass.effects.apply_to(t.state.params);  // running ranges, for evaluations
    ++t.state.iteration;
  }
}

void save(const Training& t, const std::string& path) {
  train::save_state(path, t.state, {{"mean_loss", Tensor::scalar(t.mean_loss)}});
}
void load(Training& t, const std::string& path) {
  t.mean_loss = train::load_state(path, t.state).at("mean_loss").item();
}

}  // namespace

int main(int, char** argv) {
  start_tuned(argv);
  const DataSet data = open_data("synthetic");
  const std::string path =
      (std::filesystem::temp_directory_path() / "own_loop.safetensors").string();

  Training whole;
  train_until(whole, data, kUpdates);

  Training first;
  train_until(first, data, kUpdates / 2);
  save(first, path);
  Training second;  // as another process would begin
  load(second, path);
  train_until(second, data, kUpdates);
  std::filesystem::remove(path);

  const bool same =
      train::weights_sha256(whole.state.params) == train::weights_sha256(second.state.params) &&
      whole.state.ledger.total_bit_ops() == second.state.ledger.total_bit_ops();
  std::printf("mean loss %.3f; in one run and in two: %s\n", static_cast<double>(second.mean_loss),
              same ? "the same bits" : "DIFFERENT");
  return same && second.mean_loss == whole.mean_loss ? 0 : 1;
}
