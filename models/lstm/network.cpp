#include "models/lstm/network.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/lstm.h"

namespace ebb {

train::RecurrentNetwork make_lstm(const LstmConfig& config, std::int64_t vocabulary,
                                  ParamStore& params, Key key) {
  require<ConfigError>(config.layers >= 1 && config.units >= 1 && config.embedding >= 0,
                       "[lstm] expected layers and units, got ", config.layers, " and ",
                       config.units);
  require<ConfigError>(config.dropout >= 0 && config.dropout < 1,
                       "[lstm] expected a dropout of 0 to below 1, got ",
                       static_cast<double>(config.dropout));
  constexpr double kBound = 0.1;
  const std::int64_t width = config.embedding > 0 ? config.embedding : config.units;
  const ParamId table = params.add(
      "embedding.weight", uniform_init({vocabulary, width}, kBound, key.fold("embedding")));
  std::vector<Lstm> layers;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    layers.push_back(
        Lstm::create(params, concat("lstm", i), i == 0 ? width : config.units, config.units, key));
  }
  Tensor weight = uniform_init({vocabulary, config.units}, kBound, key.fold("decoder"));
  const Linear decoder =
      Linear::create(params, {"decoder", {"last"}}, std::move(weight), Tensor::zeros({vocabulary}));

  const auto forward = [=](Pass& pass, std::span<const std::int32_t> tokens,
                           std::vector<train::StreamState>& states) {
    Var x = dropout(pass, embedding(pass, table, tokens), config.dropout, "embedding");
    for (std::size_t i = 0; i < layers.size(); ++i) {
      LstmState state{pass.tape.constant(std::move(states[i].hidden)),
                      pass.tape.constant(std::move(states[i].cell))};
      x = dropout(pass, layers[i](pass, x, state), config.dropout, concat("lstm", i));
      states[i] = {pass.tape[state.hidden], pass.tape[state.cell]};
    }
    return decoder(pass, x);
  };
  const auto begin = [config](std::int64_t streams) {
    const train::StreamState zero{Tensor::zeros({streams, config.units}),
                                  Tensor::zeros({streams, config.units})};
    return std::vector<train::StreamState>(static_cast<std::size_t>(config.layers), zero);
  };
  return {forward, begin};
}

}  // namespace ebb
