#include "layers/batch_norm.h"

#include "layers/normalisation.h"

namespace ebb {

BatchNorm BatchNorm::create(ParamStore& params, const std::string& name, std::int64_t channels) {
  BatchNorm norm;
  norm.weight = params.add(name + ".scale", Tensor::filled({channels}, 1.0f));
  norm.bias = params.add(name + ".shift", Tensor::zeros({channels}));
  norm.running_mean =
      params.add(name + ".running_mean", Tensor::zeros({channels}), ParamStore::Kind::state);
  norm.running_var =
      params.add(name + ".running_var", Tensor::filled({channels}, 1.0f), ParamStore::Kind::state);
  return norm;
}

Var BatchNorm::operator()(Pass& pass, Var x, const Then& then) const {
  const Tensor& value = pass.tape[x];
  return normalise(pass, *this, then,
                   {.shape = value.shape(),
                    .data = value.data(),
                    .inputs = {x},
                    .backward = [x](Tensor&& g, const std::optional<Range>&, Adjoints& grads) {
                      grads.add(x, std::move(g));
                    }});
}

}  // namespace ebb
