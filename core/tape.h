#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/params.h"
#include "core/range.h"
#include "core/tensor.h"

namespace ebb {

/// A value on a Tape. Every use checks that the Var is of the tape at hand; any other is an error.
struct Var {
  std::int32_t index = -1;
  std::uint32_t tape = 0;  ///< identity of its tape
  friend bool operator==(Var, Var) = default;
};

/// Writes rows first .. last of a matrix to out; callable from any thread.
using RowWriter = std::function<void(std::int64_t first, std::int64_t last, float* out)>;

/// A value that can be computed at any time until the backward sweep reaches its op, so that it
/// need not be in memory: an op that only encodes it reads it row by row.
struct LazyValue {
  RowWriter write;
  /// All of it, if it had to be computed already. An op that needs memory of this size may take
  /// that over, see Tape::take.
  std::optional<Tensor> ready = std::nullopt;
};

/// Receives rows first .. last of a gradient, which it may change, while they are in cache. Calls
/// are disjoint, cover all rows, begin at multiples of kSumBlock and come from any thread.
using GradientSink = std::function<void(std::int64_t first, std::int64_t last, float* rows)>;

/// Gradients of the parameters, by ParamId; a parameter that the loss does not depend on has an
/// empty tensor.
using Gradients = std::vector<Tensor>;

/// What a backward function adds its results to.
class Adjoints {
 public:
  /// False when nothing upstream of x needs its gradient (a constant input), so that the work can
  /// be left out.
  [[nodiscard]] bool wants(Var x) const { return at(x).wanted; }
  /// Adds g to the gradient of x; contributions are added in the order of the backward sweep.
  /// Ignored unless wanted. An op adds at most once for each time that it recorded x as an input.
  /// @throws ShapeError unless g has the shape of x
  void add(Var x, Tensor g);

  /// For an op that produces its contribution to x's gradient row by row, and is about to add() it.
  /// If no other op will contribute after it and x's op has a sink, returns what each range of
  /// finished rows must go through first: it adds earlier contributions and calls the sink.
  /// Otherwise empty.
  [[nodiscard]] GradientSink sink(Var x);

 private:
  friend class Tape;
  struct Sum {
    Tensor gradient;
    Shape shape;
    bool wanted = false;
    std::int32_t uses = 0;  ///< contributions that may still come
    const GradientSink* sink = nullptr;
    bool sunk = false;  ///< the contribution to come has all earlier ones in it
  };
  Adjoints(std::size_t size, std::uint32_t tape) : sums_(size), tape_(tape) {}
  [[nodiscard]] const Sum& at(Var x) const;
  Sum& at(Var x) { return const_cast<Sum&>(std::as_const(*this).at(x)); }

  std::vector<Sum> sums_;
  std::uint32_t tape_;
};

/// Define-by-run record of one forward pass. Values are written once; backward() sweeps the record
/// in reverse, once. A tape stays where it was made, since backward functions refer to it.
class Tape {
 public:
  /// Receives the gradient of the node's output, which nobody reads afterwards: it may be changed
  /// in place and passed on.
  using Backward = std::function<void(Tensor&& g, Adjoints& grads)>;

  /// `before_sweep` is called once, when backward() begins: what it throws ends that before
  /// anything was done. Without `gradients` the tape records values alone: nothing is wanted, so
  /// every backward function is dropped, with all that it holds, and backward() is an error.
  explicit Tape(const ParamStore& params, std::function<void()> before_sweep = {},
                bool gradients = true);
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A value without gradient.
  Var constant(Tensor value);
  /// A leaf whose gradient backward() returns; the tape refers to the store's tensor. The same id
  /// always gives the same Var.
  Var parameter(ParamId id);
  /// A leaf that is not a parameter but whose gradient can be asked for with gradient_of: an input
  /// whose gradient is wanted.
  Var variable(Tensor value);
  /// The result of an op on the inputs. `backward` is dropped when none of them needs a gradient;
  /// `range` is that of all elements, if the op came to know it.
  Var record(Tensor value, std::initializer_list<Var> inputs, Backward backward,
             std::optional<Range> range = {}) {
    return record(std::move(value), std::span(inputs.begin(), inputs.size()), std::move(backward),
                  range);
  }
  Var record(Tensor value, std::span<const Var> inputs, Backward backward,
             std::optional<Range> range = {});
  /// The same for a value that is computed when somebody reads it, and again after take().
  Var record_lazy(const Shape& shape, LazyValue value, std::span<const Var> inputs,
                  Backward backward, std::optional<Range> range = {});
  /// Has all rows of x's gradient pass through the sink before x's backward function gets them: in
  /// cache, if the op that completes them offers that (Adjoints::sink).
  void sink_gradient(Var x, GradientSink sink) { node(x).sink = std::move(sink); }

  /// The result of an op without products in a pass that only counts: it and the gradients of the
  /// inputs are shapes without elements. Ops that ignore counting still work: a shape becomes zeros
  /// when it is read, and so does a gradient for an op that recorded numbers.
  Var record_shape(const Shape& shape, std::span<const Var> inputs);
  Var record_shape(const Shape& shape, std::initializer_list<Var> inputs) {
    return record_shape(shape, std::span(inputs.begin(), inputs.size()));
  }

  /// False if nothing recorded here will ever be swept.
  [[nodiscard]] bool gradients() const { return gradients_; }

  /// The Var that the next record() will return, for backward functions that read their own op's
  /// result.
  [[nodiscard]] Var next() const { return var(nodes_.size()); }

  /// The value; a lazy one is in memory from now on. The reference holds while ops are recorded,
  /// until backward() releases the value. For one thread at a time. @throws ConfigError if it was
  /// released, or if x is no value of this tape
  [[nodiscard]] const Tensor& operator[](Var x) const;
  [[nodiscard]] const Shape& shape(Var x) const;
  /// The range of all elements, if known.
  [[nodiscard]] const std::optional<Range>& range(Var x) const { return node(x).range; }
  /// A lazy value that nobody has read by operator[] yet, so that nobody refers to its memory; else
  /// null.
  [[nodiscard]] const LazyValue* lazy(Var x) const {
    return node(x).lazy ? &*node(x).lazy : nullptr;
  }
  /// The memory, with the value in it, of a lazy value that is ready; empty otherwise.
  [[nodiscard]] std::optional<Tensor> take(Var x);
  /// Rows first .. last of any value; from any thread, as long as nothing else is done to the tape.
  void read_rows(Var x, std::int64_t first, std::int64_t last, float* out) const;

  /// Gradients of a scalar by every parameter on the tape, each multiplied by `scale` (the seed of
  /// the sweep). A tape is swept once: nodes' values, but the loss's, and backward functions are
  /// released on the way, and nothing can be recorded afterwards.
  /// @throws ShapeError unless loss is a scalar; ConfigError for a second sweep, if the loss
  /// depends on no parameter, or if the tape records no gradients
  Gradients backward(Var loss, float scale = 1.0f);
  /// After backward(): the gradient of a variable(). @throws ConfigError for anything else
  [[nodiscard]] const Tensor& gradient_of(Var x) const;

 private:
  struct Node {
    Tensor value;
    ParamId param;
    bool wanted = false, variable = false;
    Backward backward;
    std::optional<Range> range = {};
    bool shape_only = false;  ///< its op recorded a shape, and takes a shape as its gradient
    std::int32_t uses = 0;    ///< how often ops took it as an input
    bool swept = false;
    std::optional<LazyValue> lazy = {};  ///< until it is read whole
    Shape lazy_shape = {};
    GradientSink sink = {};
  };
  Var add(Node node);
  [[nodiscard]] Node& node(Var x) const;
  [[nodiscard]] Var var(std::size_t index) const {
    return {static_cast<std::int32_t>(index), identity_};
  }

  const ParamStore* params_;
  std::function<void()> before_sweep_;
  std::uint32_t identity_;
  bool gradients_, swept_ = false;
  mutable std::deque<Node>
      nodes_;  ///< mutable for lazy values; a deque, so that values stay where they are
  std::vector<Tensor> variable_gradients_;
};

}  // namespace ebb
