#include "core/tape.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <utility>

#include "core/error.h"
#include "core/fetch.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

/// Tells the tapes of a process apart: those that live at one time by their address, those that
/// follow each other at one address (the passes of a loop) by the time. It decides nothing but
/// errors.
std::uint32_t identity_of(const Tape* tape) {
  const auto now =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  const std::uint64_t mixed =
      (std::bit_cast<std::uintptr_t>(tape) ^ (now << 20)) * 0x9e3779b97f4a7c15u;
  return static_cast<std::uint32_t>(mixed >> 32) | 1u;  // 0 is a Var that no tape made
}

void pass_through(const GradientSink& sink, Tensor& g) {
  const ConstMatrix rows = g.matrix();
  parallel_for(
      rows.rows,
      [&](std::int64_t first, std::int64_t last) {
        sink(first, last, g.data() + first * rows.cols);
      },
      kSumBlock, kSumBlock);
}

void require_own(Var x, std::uint32_t identity, std::size_t size) {
  require<ConfigError>(
      x.tape == identity && x.index >= 0 && static_cast<std::size_t>(x.index) < size,
      x.index < 0
          ? "[tape] a Var that was never assigned was used: take it from an op or from constant()"
          : "[tape] a Var of another tape was used: a Var lives as long as its Pass; carry its "
            "value over, as "
            "constant(Tensor(pass.tape[x]))");
}

}  // namespace

const Adjoints::Sum& Adjoints::at(Var x) const {
  require_own(x, tape_, sums_.size());
  return sums_[static_cast<std::size_t>(x.index)];
}

void Adjoints::add(Var x, Tensor g) {
  Sum& sum = at(x);
  if (!sum.wanted) return;
  require<ShapeError>(g.shape() == sum.shape, "[backward] gradient ", g.shape(),
                      " for a value of shape ", sum.shape);
  assert(sum.uses > 0);
  --sum.uses;
  const bool more = sum.gradient.shape() == g.shape() && !sum.sunk;
  if (more && !g.has_elements()) return;
  if (more && sum.gradient.has_elements()) {
    add_into(sum.gradient, g);
  } else {
    sum.gradient = std::move(g);
  }
}

GradientSink Adjoints::sink(Var x) {
  Sum& sum = at(x);
  if (!sum.wanted || sum.uses != 1 || sum.sink == nullptr || !*sum.sink) return {};
  sum.sunk = true;
  const float* const earlier = sum.gradient.shape() == sum.shape ? sum.gradient.data() : nullptr;
  return [sink = sum.sink, earlier, cols = sum.shape[-1]](std::int64_t first, std::int64_t last,
                                                          float* rows) {
    if (earlier != nullptr) {
      const float* const more = earlier + first * cols;
      fetch_ahead(more, (last - first) * cols * 4);
      for (std::int64_t i = 0; i < (last - first) * cols; ++i) rows[i] = more[i] + rows[i];
    }
    (*sink)(first, last, rows);
  };
}

Tape::Tape(const ParamStore& params, std::function<void()> before_sweep, bool gradients)
    : params_(&params),
      before_sweep_(std::move(before_sweep)),
      identity_(identity_of(this)),
      gradients_(gradients) {}

Var Tape::add(Node node) {
  require<ConfigError>(!swept_,
                       "[tape] an op was recorded after backward(): build a new Pass for it");
  nodes_.push_back(std::move(node));
  return var(nodes_.size() - 1);
}

Var Tape::constant(Tensor value) {
  return add({.value = std::move(value), .param = {}, .backward = {}});
}

Var Tape::parameter(ParamId id) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].param == id) return var(i);
  }
  const ParamStore::Entry& entry = params_->entry(id);  // which refuses an id that is none
  require<ShapeError>(entry.value.shape() == entry.shape, "[params] '", entry.name,
                      "' was added with shape ", entry.shape, " and has ", entry.value.shape(),
                      " now: assign values of the same shape");
  return add({.value = {}, .param = id, .wanted = gradients_, .backward = {}});
}

Var Tape::variable(Tensor value) {
  const Var x = constant(std::move(value));
  nodes_.back().wanted = gradients_;
  nodes_.back().variable = true;
  return x;
}

Var Tape::record(Tensor value, std::span<const Var> inputs, Backward backward,
                 std::optional<Range> range) {
  bool wanted = false;
  for (const Var input : inputs) {
    wanted = wanted || node(input).wanted;
    ++node(input).uses;
  }
  const bool shape_only = !value.has_elements();
  return add({.value = std::move(value),
              .param = {},
              .wanted = wanted,
              .backward = wanted ? std::move(backward) : Backward{},
              .range = range,
              .shape_only = shape_only});
}

Var Tape::record_shape(const Shape& shape, std::span<const Var> inputs) {
  std::vector<std::pair<Var, Shape>> shapes;
  for (const Var input : inputs) shapes.emplace_back(input, this->shape(input));
  return record(Tensor::shape_only(shape), inputs,
                [shapes = std::move(shapes)](const Tensor&, Adjoints& grads) {
                  for (const auto& [input, of] : shapes) grads.add(input, Tensor::shape_only(of));
                });
}

Var Tape::record_lazy(const Shape& shape, LazyValue value, std::span<const Var> inputs,
                      Backward backward, std::optional<Range> range) {
  const Var x = record(Tensor{}, inputs, std::move(backward), range);
  nodes_.back().lazy = std::move(value);
  nodes_.back().lazy_shape = shape;
  return x;
}

Tape::Node& Tape::node(Var x) const {
  require_own(x, identity_, nodes_.size());
  return nodes_[static_cast<std::size_t>(x.index)];
}

const Tensor& Tape::operator[](Var x) const {
  Node& n = node(x);
  require<ConfigError>(
      !n.swept,
      "[tape] a value was read after backward(), which releases all but the loss: read it before");
  if (n.param.index >= 0) return (*params_)[n.param];
  if (!n.value.has_elements()) n.value = Tensor::zeros(n.value.shape());
  if (n.lazy) {
    if (n.lazy->ready) {
      n.value = *std::move(n.lazy->ready);
    } else {
      Tensor value = Tensor::uninitialized(n.lazy_shape);
      const ConstMatrix rows = value.matrix();
      parallel_rows(rows.rows, rows.cols, [&](std::int64_t first, std::int64_t last) {
        n.lazy->write(first, last, value.data() + first * rows.cols);
      });
      n.value = std::move(value);
    }
    n.lazy.reset();
  }
  return n.value;
}

const Shape& Tape::shape(Var x) const {
  if (!node(x).value.has_elements()) return node(x).value.shape();
  return lazy(x) ? node(x).lazy_shape : (*this)[x].shape();
}

std::optional<Tensor> Tape::take(Var x) {
  Node& n = node(x);
  return n.lazy ? std::exchange(n.lazy->ready, std::nullopt) : std::nullopt;
}

void Tape::read_rows(Var x, std::int64_t first, std::int64_t last, float* out) const {
  const LazyValue* const computed_now = lazy(x);
  if (computed_now != nullptr && !computed_now->ready) return computed_now->write(first, last, out);
  const Tensor& value = computed_now != nullptr ? *computed_now->ready : (*this)[x];
  const std::int64_t cols = value.shape()[-1];
  std::copy(value.data() + first * cols, value.data() + last * cols, out);
}

Gradients Tape::backward(Var loss, float scale) {
  require<ConfigError>(!swept_,
                       "[backward] a tape is swept once, and this one has been: build a new Pass "
                       "for another sweep, or add the "
                       "losses up first");
  require<ConfigError>(gradients_,
                       "[backward] this tape records no gradients: build the Pass without "
                       ".gradients = false");
  require<ShapeError>((*this)[loss].size() == 1, "[backward] the loss must be a scalar, got shape ",
                      shape(loss));
  require<ConfigError>(node(loss).wanted,
                       "[backward] the loss depends on no parameter or variable of this tape: "
                       "nothing has a gradient");
  if (before_sweep_) before_sweep_();
  swept_ = true;
  Adjoints grads(nodes_.size(), identity_);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Adjoints::Sum& sum = grads.sums_[i];
    sum.wanted = nodes_[i].wanted;
    sum.shape = shape(var(i));
    sum.uses = nodes_[i].uses;
    sum.sink = &nodes_[i].sink;
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
    if (!g.has_elements() && !n.shape_only && n.param.index < 0) g = Tensor::zeros(sum.shape);
    if (n.param.index >= 0) {
      if (reached) result[static_cast<std::size_t>(n.param.index)] = std::move(g);
    } else if (n.variable) {
      variable_gradients_[i] = reached ? std::move(g) : Tensor::zeros(sum.shape);
    } else {
      if (reached && n.sink && !sum.sunk) pass_through(n.sink, g);
      if (reached && n.backward) n.backward(std::move(g), grads);
      n.backward = nullptr;
      n.sink = nullptr;
      n.lazy.reset();
      if (i == static_cast<std::size_t>(loss.index)) continue;
      n.value = Tensor{};
      n.swept = true;
    }
  }
  return result;
}

const Tensor& Tape::gradient_of(Var x) const {
  const Node& n = node(x);
  require<ConfigError>(swept_, "[gradient_of] there are no gradients before backward()");
  require<ConfigError>(
      n.param.index < 0,
      "[gradient_of] the gradient of a parameter is in what backward() returned, by ParamId");
  require<ConfigError>(n.variable,
                       "[gradient_of] only a variable() keeps its gradient, not a constant or an "
                       "op's result: make x with "
                       "tape.variable(value)");
  return variable_gradients_[static_cast<std::size_t>(x.index)];
}

}  // namespace ebb
