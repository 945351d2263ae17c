#pragma once

#include "core/key.h"
#include "core/tensor.h"

namespace ebb {

/// Initial values as pure functions of a key: element i draws counter i.

/// Normal with mean 0 and standard deviation `deviation`.
Tensor normal_init(const Shape& shape, double deviation, Key key);
/// Uniform over [-bound, bound).
Tensor uniform_init(const Shape& shape, double bound, Key key);

/// Uniform over +-1 / sqrt(fan_in), as torch.nn.Linear and Conv2d start; not Keras' lecun_uniform,
/// whose bound is sqrt(3) times as large. fan_in is the number of elements of one output's weights.
/// Source: LeCun, Bottou, Orr, Mueller, "Efficient backprop", 1998.
Tensor lecun_uniform_init(const Shape& shape, Key key);
/// Glorot initialisation for weights [out, in]: uniform over +-sqrt(6 / (in + out)), as graph
/// networks start. Source: Glorot, Bengio, "Understanding the difficulty of training deep
/// feedforward neural networks", AISTATS 2010.
/// @throws ShapeError unless the shape has rank 2
Tensor glorot_uniform_init(const Shape& shape, Key key);
/// He initialisation for a layer that a ReLU follows: normal with mean 0 and standard deviation
/// sqrt(2 / fan_in), fan_in being the elements of one output's weights. Source: He, Zhang, Ren,
/// Sun, "Delving deep into rectifiers", ICCV 2015.
Tensor he_init(const Shape& shape, Key key);
/// The same by fan-out, as the CIFAR ResNets start: standard deviation sqrt(2 / (taps_y taps_x
/// out)) for weights [out, taps_y, taps_x, in].
/// @throws ShapeError unless the shape has rank 4
Tensor he_fan_out_init(const Shape& shape, Key key);

}  // namespace ebb
