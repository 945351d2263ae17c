#pragma once

#include "models/classifier.h"

namespace ebb {

/// LeNet-5 with ReLU and max pooling: conv1 5x5 to 6, pool, conv2 5x5 to 16, pool, fc1 to 120, fc2
/// to 84, fc3 to the classes. Images lower or narrower than 32 pixels are padded by 2 before conv1,
/// as 28 x 28 digits are in the original. conv1 is tagged `first`, fc3 `last`. Weights start as He,
/// biases at zero. Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
/// document recognition", Proc. IEEE 86, 1998.
/// @throws ConfigError for images below 12 x 12
Classifier make_lenet5(const Shape& image, int classes, ParamStore& params, Key key);

}  // namespace ebb
