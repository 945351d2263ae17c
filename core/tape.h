#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <vector>

#include "core/params.h"
#include "core/tensor.h"

namespace ebb {

/// A value on a Tape.
struct Var {
  std::int32_t index = -1;
  friend bool operator==(Var, Var) = default;
};

/// Gradients of the parameters, by ParamId; a parameter that the loss does not depend on has an empty tensor.
using Gradients = std::vector<Tensor>;

/// What a backward function adds its results to.
class Adjoints {
 public:
  /// False when nothing upstream of x needs its gradient (a constant input), so that the work can be left out.
  [[nodiscard]] bool wants(Var x) const { return wanted_[static_cast<std::size_t>(x.index)]; }
  /// Adds g to the gradient of x; contributions are added in the order of the backward sweep. Ignored unless wanted.
  /// @throws ShapeError unless g has the shape of x
  void add(Var x, Tensor g);

 private:
  friend class Tape;
  explicit Adjoints(std::size_t size) : gradients_(size), wanted_(size, false), shapes_(size) {}
  std::vector<Tensor> gradients_;
  std::vector<bool> wanted_;
  std::vector<Shape> shapes_;
};

/// Define-by-run record of one forward pass. Values are written once; backward() sweeps the record in reverse.
class Tape {
 public:
  /// Receives the gradient of the node's output, which nobody reads afterwards: it may be changed in place and passed on.
  using Backward = std::function<void(Tensor&& g, Adjoints& grads)>;

  explicit Tape(const ParamStore& params) : params_(&params) {}

  /// A value without gradient.
  Var constant(Tensor value);
  /// A leaf whose gradient backward() returns; the tape refers to the store's tensor. The same id always gives the same Var.
  Var parameter(ParamId id);
  /// A leaf that is not a parameter but whose gradient can be asked for with gradient_of (for tests and input gradients).
  Var variable(Tensor value);
  /// The result of an op on the inputs. `backward` is dropped when none of them needs a gradient.
  Var record(Tensor value, std::initializer_list<Var> inputs, Backward backward);

  /// The Var that the next record() will return, for backward functions that read their own op's result.
  [[nodiscard]] Var next() const { return {static_cast<std::int32_t>(nodes_.size())}; }

  [[nodiscard]] const Tensor& operator[](Var x) const;
  [[nodiscard]] const Shape& shape(Var x) const { return (*this)[x].shape(); }

  /// Gradients of a scalar by every parameter on the tape, each multiplied by `scale` (the seed of the sweep). A tape is swept
  /// once: nodes' values and backward functions are released on the way.
  /// @throws ShapeError unless loss is a scalar
  Gradients backward(Var loss, float scale = 1.0f);
  /// After backward(): the gradient of a variable().
  [[nodiscard]] const Tensor& gradient_of(Var x) const;

 private:
  struct Node {
    Tensor value;
    ParamId param;
    bool wanted = false, variable = false;
    Backward backward;
  };

  const ParamStore* params_;
  std::vector<Node> nodes_;
  std::vector<Tensor> variable_gradients_;
};

}  // namespace ebb
