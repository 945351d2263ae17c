#pragma once

#include "models/classifier.h"

namespace ebb {

/// LeNet-5 with ReLU and max pooling: conv1 5x5 to 6, pool, conv2 5x5 to 16, pool, fc1 to 120, fc2
/// to 84, fc3 to the classes. Images lower or narrower than 32 pixels are padded by 2 before conv1,
/// as 28 x 28 digits are in the original. conv1 is tagged `first`, fc3 `last`. Weights start as He,
/// biases at zero. Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
/// document recognition", Proc. IEEE 86, 1998. With `norm`, as lenet5-bn, batch norm follows every
/// layer but the last, in place of its bias.
/// @throws ConfigError for images below 12 x 12
Classifier make_lenet5(const Shape& image, int classes, ParamStore& params, Key key,
                       bool norm = false);

/// The small network of the literature on certified training: conv1 4x4 to 16 with stride 2, conv2
/// 4x4 to 32, fc1 to 100, fc2 to the classes, with batch norm. Source: Gowal et al., 2018
/// ("small").
/// @throws ConfigError for images below 10 x 10
Classifier make_cnn_small(const Shape& image, int classes, ParamStore& params, Key key);
/// CNN-7: five 3x3 convolutions to 64, 64, 128, 128 and 128, the third of stride 2, fc1 to 512, fc2
/// to the classes, with batch norm. Source: Shi et al., arXiv 2103.17268.
Classifier make_cnn7(const Shape& image, int classes, ParamStore& params, Key key);

}  // namespace ebb
