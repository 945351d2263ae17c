#include <ebb/ebb.h>

#include <cstdio>

// A perceptron with one hidden layer learns the embedded images. Every product runs on integer
// codes: forward on 3 to 8 bits that cycle four times through the run, backward on 8.
int main(int, char** argv) {
  using namespace ebb;
  start_tuned(argv);  // so that waiting threads do not take the processor from working ones
  constexpr std::int64_t kUpdates = 1000;
  const Key root(1);
  const DataSet data = open_data("synthetic");
  const BatchSource batches(data.train, {.batch = 64, .augmentation = data.augmentation},
                            root.fold("batches"));

  ParamStore params;
  const Linear hidden = Linear::create(params, "hidden", he_init({128, 784}, root.fold("hidden")),
                                       Tensor::zeros({128}));
  const Linear output = Linear::create(params, "output", he_init({10, 128}, root.fold("output")),
                                       Tensor::zeros({10}));
  const auto network = [&](Pass& pass, Var images) {
    return output(pass, relu(pass, hidden(pass, flatten(pass, images))));
  };

  const Bound bits = Schedule::parse("round(3->8 : cycle(4) cos)").bind(kUpdates);
  const Bound rate = Schedule::parse("0.02->0 : cos").bind(kUpdates);
  const PrecisionPlan static8 = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  Optimizer optimizer = make_optimizer("sgd");
  CostLedger ledger;
  for (std::int64_t t = 0; t < kUpdates; ++t) {
    const PrecisionPlan plan = PrecisionPlan::uniform(bits.value(t).format(), Format::integer(8));
    Pass pass{.params = params, .plan = plan, .ledger = ledger, .key = root.fold(t)};
    const Batch batch = batches.batch(t);
    const Var loss =
        softmax_cross_entropy(pass, network(pass, pass.tape.constant(batch.inputs)), batch.labels);
    optimizer.step(params, pass.tape.backward(loss), rate(t));
    pass.effects.apply_to(params);  // running ranges, for evaluations
  }

  CostLedger test_ledger;
  Pass pass{.params = params,
            .plan = static8,
            .ledger = test_ledger,
            .key = root,
            .mode = Pass::Mode::evaluate};
  const Batch test = batch_in_file_order(data.test, 0, data.test.count());
  const Var logits = network(pass, pass.tape.constant(test.inputs));
  const double accuracy = 100.0 *
                          static_cast<double>(count_correct(pass.tape[logits], test.labels)) /
                          static_cast<double>(test.size());
  const double cost = static_cast<double>(ledger.total_bit_ops()) /
                      static_cast<double>(ledger.bit_ops_under(static8));
  std::printf("test accuracy %.2f %%, at %.3f of the bit-operations of static 8 bits\n", accuracy,
              cost);
  return accuracy > 90 ? 0 : 1;
}
