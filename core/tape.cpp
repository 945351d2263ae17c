#include "core/tape.h"

#include <cassert>
#include <utility>

#include "core/error.h"

namespace ebb {

void Adjoints::add(Var x, Tensor g) {
  const auto index = static_cast<std::size_t>(x.index);
  if (!wanted_[index]) return;
  require<ShapeError>(g.shape() == shapes_[index], "[backward] gradient ", g.shape(), " for a value of shape ", shapes_[index]);
  Tensor& sum = gradients_[index];
  if (sum.shape() == g.shape()) {
    add_into(sum, g);
  } else {
    sum = std::move(g);
  }
}

Var Tape::constant(Tensor value) {
  nodes_.push_back({.value = std::move(value), .param = {}, .backward = {}});
  return {static_cast<std::int32_t>(nodes_.size() - 1)};
}

Var Tape::parameter(ParamId id) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].param == id) return {static_cast<std::int32_t>(i)};
  }
  nodes_.push_back({.value = {}, .param = id, .wanted = true, .backward = {}});
  return {static_cast<std::int32_t>(nodes_.size() - 1)};
}

Var Tape::variable(Tensor value) {
  const Var x = constant(std::move(value));
  nodes_.back().wanted = nodes_.back().variable = true;
  return x;
}

Var Tape::record(Tensor value, std::initializer_list<Var> inputs, Backward backward) {
  bool wanted = false;
  for (const Var input : inputs) wanted = wanted || nodes_[static_cast<std::size_t>(input.index)].wanted;
  nodes_.push_back(
      {.value = std::move(value), .param = {}, .wanted = wanted, .backward = wanted ? std::move(backward) : Backward{}});
  return {static_cast<std::int32_t>(nodes_.size() - 1)};
}

const Tensor& Tape::operator[](Var x) const {
  assert(x.index >= 0 && static_cast<std::size_t>(x.index) < nodes_.size());
  const Node& node = nodes_[static_cast<std::size_t>(x.index)];
  return node.param.index >= 0 ? (*params_)[node.param] : node.value;
}

Gradients Tape::backward(Var loss, float scale) {
  require<ShapeError>((*this)[loss].size() == 1, "[backward] the loss must be a scalar, got shape ", shape(loss));
  Adjoints grads(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    grads.wanted_[i] = nodes_[i].wanted;
    grads.shapes_[i] = shape({static_cast<std::int32_t>(i)});
  }
  grads.add(loss, Tensor::filled(shape(loss), scale));
  Gradients result(params_->size());
  variable_gradients_.assign(nodes_.size(), Tensor{});
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    Tensor g = std::exchange(grads.gradients_[i], Tensor{});
    const bool reached = g.shape() == grads.shapes_[i];
    if (node.param.index >= 0) {
      if (reached) result[static_cast<std::size_t>(node.param.index)] = std::move(g);
    } else if (node.variable) {
      variable_gradients_[i] = reached ? std::move(g) : Tensor::zeros(grads.shapes_[i]);
    } else {
      if (reached && node.backward) node.backward(std::move(g), grads);
      node.backward = nullptr;
      if (i != static_cast<std::size_t>(loss.index)) node.value = Tensor{};
    }
  }
  return result;
}

const Tensor& Tape::gradient_of(Var x) const { return variable_gradients_[static_cast<std::size_t>(x.index)]; }

}  // namespace ebb
