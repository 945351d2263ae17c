#pragma once

#include <span>
#include <variant>
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/pool.h"

namespace ebb {

struct MaxPool {
  PoolConfig config{};
};
struct Relu {};
struct Flatten {};

/// A layer of a network that is a plain sequence, as a value that says what it is: whoever walks
/// the network can do something else with it than run it, such as propagate bounds.
using Layer = std::variant<Conv2d, Linear, BatchNorm, MaxPool, Relu, Flatten>;

/// One layer after the other.
Var forward(Pass& pass, const Layer& layer, Var x);
Var forward(Pass& pass, std::span<const Layer> layers, Var x);

}  // namespace ebb
