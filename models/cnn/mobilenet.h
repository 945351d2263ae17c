#pragma once

#include "models/classifier.h"

namespace ebb {

/// MobileNetV2 as it is trained on CIFAR: a 3x3 stem to 32 channels, 17 inverted residual blocks, a
/// 1x1 convolution to 1,280 channels, global average pooling (4x4 on 32 x 32 images) and a linear
/// classifier. A block expands by a 1x1 convolution, filters every channel by a 3x3 depthwise one
/// and projects by a 1x1 one, with ReLU (not ReLU6) after the first two; blocks of stride 1 always
/// add their input, through a 1x1 convolution with batch norm where the channels differ. Only three
/// blocks have stride 2. Any image size is taken.
///
/// Sites: `stem` (tag first), `block1.expand`, `block1.depthwise`, `block1.project`,
/// `block1.shortcut` (tag shortcut), ..., `head`, `classifier` (tag last). Everything starts
/// uniform over +-1 / sqrt(fan_in), as common frameworks do. Sources: Sandler, Howard, Zhu,
/// Zhmoginov, Chen, "MobileNetV2", CVPR 2018; strides, shortcuts and activations as in
/// GATECH-EIC/CPT.
Classifier make_mobilenet_v2(const Shape& image, int classes, ParamStore& params, Key key);

}  // namespace ebb
