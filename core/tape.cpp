#include "core/tape.h"

#include <cassert>
#include <utility>

#include "core/error.h"
#include "core/fetch.h"
#include "core/parallel.h"

namespace ebb {

void Adjoints::add(Var x, Tensor g, Facts facts) {
  Sum& sum = at(x);
  if (!sum.wanted) return;
  require<ShapeError>(g.shape() == sum.shape, "[backward] gradient ", g.shape(), " for a value of shape ", sum.shape);
  assert(sum.uses > 0 && !sum.complete);
  --sum.uses;
  if (sum.gradient.shape() == g.shape()) {
    add_into(sum.gradient, g);
    sum.facts = {};
  } else {
    sum.gradient = std::move(g);
    sum.facts = std::move(facts);
  }
}

RowWatcher Adjoints::completing(Var x) const {
  const Sum& sum = at(x);
  if (!sum.wanted || sum.uses != 1 || sum.watcher == nullptr || !*sum.watcher) return {};
  const float* const earlier = sum.gradient.shape() == sum.shape ? sum.gradient.data() : nullptr;
  return [watcher = sum.watcher, earlier, cols = sum.shape[-1]](std::int64_t first, std::int64_t last, float* rows) {
    if (earlier != nullptr) {
      const float* const more = earlier + first * cols;
      fetch_ahead(more, (last - first) * cols * 4);
      for (std::int64_t i = 0; i < (last - first) * cols; ++i) rows[i] = more[i] + rows[i];
    }
    (*watcher)(first, last, rows);
  };
}

void Adjoints::add_complete(Var x, Tensor g) {
  Sum& sum = at(x);
  require<ShapeError>(g.shape() == sum.shape, "[backward] gradient ", g.shape(), " for a value of shape ", sum.shape);
  assert(sum.uses == 1);
  --sum.uses;
  sum.gradient = std::move(g);
  sum.facts = {};
  sum.complete = true;
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

Var Tape::record(Tensor value, std::initializer_list<Var> inputs, Backward backward, Facts facts) {
  bool wanted = false;
  for (const Var input : inputs) {
    wanted = wanted || node(input).wanted;
    ++node(input).uses;
  }
  nodes_.push_back({.value = std::move(value),
                    .param = {},
                    .wanted = wanted,
                    .backward = wanted ? std::move(backward) : Backward{},
                    .facts = std::move(facts)});
  return {static_cast<std::int32_t>(nodes_.size() - 1)};
}

Var Tape::record_deferred(const Shape& shape, RowWriter writer, std::initializer_list<Var> inputs, Backward backward, Facts facts) {
  const Var x = record(Tensor{}, inputs, std::move(backward), std::move(facts));
  nodes_.back().absent_shape = shape;
  nodes_.back().writer = std::move(writer);
  return x;
}

void Tape::watch_gradient(Var x, RowWatcher watcher) { node(x).watcher = std::move(watcher); }

Tape::Node& Tape::node(Var x) const {
  assert(x.index >= 0 && static_cast<std::size_t>(x.index) < nodes_.size());
  return nodes_[static_cast<std::size_t>(x.index)];
}

const Tensor& Tape::operator[](Var x) const {
  Node& n = node(x);
  require<ConfigError>(!n.taken, "[tape] a value was read after its last reader took its memory: see Tape::take");
  if (n.param.index >= 0) return (*params_)[n.param];
  if (n.writer) {
    Tensor value = Tensor::uninitialized(n.absent_shape);
    const ConstMatrix rows = value.matrix();
    parallel_rows(rows.rows, rows.cols,
                  [&](std::int64_t first, std::int64_t last) { n.writer(first, last, value.data() + first * rows.cols); });
    n.value = std::move(value);
    n.writer = nullptr;
  }
  return n.value;
}

const Shape& Tape::shape(Var x) const { return node(x).taken || deferred(x) ? node(x).absent_shape : (*this)[x].shape(); }

std::optional<Tensor> Tape::take(Var x) {
  Node& n = node(x);
  if (n.kept || n.param.index >= 0) return {};
  n.absent_shape = (*this)[x].shape();  // computes what was deferred
  n.taken = true;
  return std::exchange(n.value, Tensor{});
}

Gradients Tape::backward(Var loss, float scale) {
  require<ShapeError>((*this)[loss].size() == 1, "[backward] the loss must be a scalar, got shape ", shape(loss));
  Adjoints grads(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Adjoints::Sum& sum = grads.sums_[i];
    sum.wanted = nodes_[i].wanted;
    sum.shape = shape({static_cast<std::int32_t>(i)});
    sum.uses = nodes_[i].uses;
    sum.watcher = &nodes_[i].watcher;
  }
  ++grads.at(loss).uses;
  grads.add(loss, Tensor::filled(shape(loss), scale));
  Gradients result(params_->size());
  variable_gradients_.assign(nodes_.size(), Tensor{});
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    Node& n = nodes_[i];
    Adjoints::Sum& sum = grads.sums_[i];
    Tensor g = std::exchange(sum.gradient, Tensor{});
    const bool reached = g.shape() == sum.shape;
    if (n.param.index >= 0) {
      if (reached) result[static_cast<std::size_t>(n.param.index)] = std::move(g);
    } else if (n.variable) {
      variable_gradients_[i] = reached ? std::move(g) : Tensor::zeros(sum.shape);
    } else {
      grads.current_ = &sum;
      if (reached && n.backward) n.backward(std::move(g), grads);
      n.backward = nullptr;
      n.watcher = nullptr;
      n.facts = {};
      n.writer = nullptr;
      if (i != static_cast<std::size_t>(loss.index)) n.value = Tensor{};
    }
  }
  return result;
}

const Tensor& Tape::gradient_of(Var x) const { return variable_gradients_[static_cast<std::size_t>(x.index)]; }

}  // namespace ebb
