#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/params.h"
#include "core/range.h"
#include "core/sums.h"
#include "core/tensor.h"

namespace ebb {

/// A value on a Tape. A Var that no tape made, or another one, is an error wherever it is used.
struct Var {
  std::int32_t index = -1;
  std::uint32_t tape = 0;  ///< identity of its tape
  friend bool operator==(Var, Var) = default;
};

/// Statistics computed by the producer of a matrix while the data was in cache.
struct Statistics {
  std::optional<Range> range = std::nullopt;              ///< of all elements
  std::shared_ptr<const ColumnBlocks> columns = nullptr;  ///< summarised
};

/// Writes rows first .. last of a matrix to out; callable from any thread.
using RowWriter = std::function<void(std::int64_t first, std::int64_t last, float* out)>;
/// Receives rows first .. last of a gradient, which it may change, while they are in cache. Calls
/// are disjoint, cover all rows, begin at multiples of kSumBlock and come from any thread.
using RowWatcher = std::function<void(std::int64_t first, std::int64_t last, float* rows)>;

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
  void add(Var x, Tensor g, Statistics facts = {});

  /// For an op that produces its contribution to x's gradient row by row. If no other op will
  /// contribute after it and somebody watches the gradient, returns what each range of finished
  /// rows must go through: it adds earlier contributions and calls the watcher. Then add_complete()
  /// takes the result. Otherwise empty: use add().
  [[nodiscard]] RowWatcher completing(Var x) const;
  void add_complete(Var x, Tensor g);

  /// Of the gradient that a backward function just received.
  [[nodiscard]] const Statistics& facts() const { return current_->facts; }
  /// The gradient just received went through the watcher.
  [[nodiscard]] bool watched() const { return current_->complete; }

 private:
  friend class Tape;
  struct Sum {
    Tensor gradient;
    Statistics facts;
    Shape shape;
    bool wanted = false, complete = false;
    std::int32_t uses = 0;  ///< contributions that may still come
    const RowWatcher* watcher = nullptr;
  };
  Adjoints(std::size_t size, std::uint32_t tape) : sums_(size), tape_(tape) {}
  [[nodiscard]] const Sum& at(Var x) const;
  Sum& at(Var x) { return const_cast<Sum&>(std::as_const(*this).at(x)); }

  std::vector<Sum> sums_;
  std::uint32_t tape_;
  const Sum* current_ = nullptr;
};

/// Define-by-run record of one forward pass. Values are written once; backward() sweeps the record
/// in reverse, once. A tape stays where it was made, since backward functions refer to it.
class Tape {
 public:
  /// Receives the gradient of the node's output, which nobody reads afterwards: it may be changed
  /// in place and passed on.
  using Backward = std::function<void(Tensor&& g, Adjoints& grads)>;

  /// `before_sweep` is called once, when backward() begins: what it throws ends that before
  /// anything was done.
  explicit Tape(const ParamStore& params, std::function<void()> before_sweep = {});
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
  /// The result of an op on the inputs. `backward` is dropped when none of them needs a gradient.
  Var record(Tensor value, std::initializer_list<Var> inputs, Backward backward,
             Statistics facts = {}) {
    return record(std::move(value), std::span(inputs.begin(), inputs.size()), std::move(backward),
                  std::move(facts));
  }
  Var record(Tensor value, std::span<const Var> inputs, Backward backward, Statistics facts = {});
  /// The same for a value that is computed when it is read: whole by operator[], or row by row
  /// through deferred(). What nobody reads whole is never in memory.
  Var record_deferred(const Shape& shape, RowWriter writer, std::initializer_list<Var> inputs,
                      Backward backward, Statistics facts = {});
  /// Has the rows of x's gradient shown to the watcher if an op completes them in cache
  /// (Adjoints::completing).
  void watch_gradient(Var x, RowWatcher watcher);

  /// Memory of x's value is referred to until backward(): nobody may take it.
  void keep(Var x) const { node(x).kept = true; }
  /// The value of x for an op that is its last reader and puts its own result in its place. Empty
  /// if its memory must stay: that of a parameter, or one that is kept. Reading x afterwards is an
  /// error.
  std::optional<Tensor> take(Var x);

  /// The Var that the next record() will return, for backward functions that read their own op's
  /// result.
  [[nodiscard]] Var next() const { return var(nodes_.size()); }

  /// The value, computed now if it was deferred. The reference holds while ops are recorded, until
  /// take() or backward() releases the value. For one thread at a time. @throws ConfigError if it
  /// was released, or if x is no value of this tape
  [[nodiscard]] const Tensor& operator[](Var x) const;
  [[nodiscard]] const Shape& shape(Var x) const;
  [[nodiscard]] const Statistics& facts(Var x) const { return node(x).facts; }
  /// The rows of a deferred value that nobody has read whole yet, else null.
  [[nodiscard]] const RowWriter* deferred(Var x) const {
    return node(x).writer ? &node(x).writer : nullptr;
  }

  /// Gradients of a scalar by every parameter on the tape, each multiplied by `scale` (the seed of
  /// the sweep). A tape is swept once: nodes' values, but the loss's, and backward functions are
  /// released on the way, and nothing can be recorded afterwards.
  /// @throws ShapeError unless loss is a scalar; ConfigError for a second sweep, or if the loss
  /// depends on no parameter
  Gradients backward(Var loss, float scale = 1.0f);
  /// After backward(): the gradient of a variable(). @throws ConfigError for anything else
  [[nodiscard]] const Tensor& gradient_of(Var x) const;

 private:
  struct Node {
    Tensor value;
    ParamId param;
    bool wanted = false, variable = false;
    Backward backward;
    Statistics facts = {};
    std::int32_t uses = 0;  ///< how often ops took it as an input
    bool kept = false, taken = false, swept = false;
    Shape absent_shape = {};  ///< of a value that is deferred or taken
    RowWriter writer = {};    ///< until the value is computed
    RowWatcher watcher = {};
  };
  Var add(Node node);
  [[nodiscard]] Node& node(Var x) const;
  [[nodiscard]] Var var(std::size_t index) const {
    return {static_cast<std::int32_t>(index), identity_};
  }

  const ParamStore* params_;
  std::function<void()> before_sweep_;
  std::uint32_t identity_;
  bool swept_ = false;
  mutable std::deque<Node>
      nodes_;  ///< mutable for deferred values; a deque, so that values stay where they are
  std::vector<Tensor> variable_gradients_;
};

}  // namespace ebb
