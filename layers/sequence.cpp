#include "layers/sequence.h"

#include "layers/elementwise.h"
#include "layers/shape_ops.h"

namespace ebb {
namespace {

template <class Parametrised>
Var run(Pass& pass, const Parametrised& layer, Var x) {
  return layer(pass, x);
}
Var run(Pass& pass, const MaxPool& layer, Var x) { return max_pool(pass, x, layer.config); }
Var run(Pass& pass, const Relu&, Var x) { return relu(pass, x); }
Var run(Pass& pass, const Flatten&, Var x) { return flatten(pass, x); }

}  // namespace

Var forward(Pass& pass, const Layer& layer, Var x) {
  return std::visit([&](const auto& one) { return run(pass, one, x); }, layer);
}

Var forward(Pass& pass, std::span<const Layer> layers, Var x) {
  for (const Layer& layer : layers) x = forward(pass, layer, x);
  return x;
}

}  // namespace ebb
