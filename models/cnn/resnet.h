#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "models/classifier.h"

namespace ebb {

/// Depths of make_resnet that make_classifier offers by name: resnet8 .. resnet152.
inline constexpr std::array kResNetDepths{8, 14, 20, 32, 38, 74, 110, 152};

/// The CIFAR ResNet of depth 6 m + 2: a 3x3 stem to 16 channels, three stages of m basic blocks
/// with 16, 32 and 64 channels of which the second and third begin with stride 2, global average
/// pooling, and a linear classifier. Where a block changes the shape its shortcut is a 1x1
/// convolution with batch norm. Any image size is taken.
///
/// Sites: `stem` (tag first), `stage1.block1.conv1`, `stage1.block1.conv2`, ...,
/// `stage2.block1.shortcut` (tag shortcut), `classifier` (tag last). Convolutions start as N(0,
/// sqrt(2 / (taps out))), the classifier as N(0, sqrt(2 / (in out))) with biases at zero. Sources:
/// He, Zhang, Ren, Sun, "Deep residual learning", CVPR 2016; initial values and shortcuts as in
/// GATECH-EIC/CPT.
/// @throws ConfigError unless depth is 6 m + 2 with m >= 1
Classifier make_resnet(int depth, const Shape& image, int classes, ParamStore& params, Key key);

/// Depths of make_imagenet_resnet, which make_classifier offers by name: resnet18, resnet34,
/// resnet50, resnet101.
inline constexpr std::array kImageNetDepths{18, 34, 50, 101};

/// The ResNet for large images: a 7x7 stem of stride 2 to 64 channels, a 3x3 max pool of stride 2,
/// four stages of which all but the first begin with stride 2, global average pooling, and a linear
/// classifier. Stages have 64, 128, 256 and 512 channels of basic blocks, or from depth 50 on of
/// bottlenecks (1x1, 3x3 with the stride, 1x1 to four times the channels). Made for 224 x 224; any
/// image size is taken.
///
/// Sites, tags and shortcuts as in make_resnet; a bottleneck has conv1, conv2 and conv3.
/// Convolutions start as N(0, sqrt(2 / (taps out))), the classifier uniform over +-1 / sqrt(in)
/// with biases at zero. Source: He, Zhang, Ren, Sun, "Deep residual learning", CVPR 2016, with the
/// stride on the 3x3 convolution of a bottleneck, as in torchvision.
/// @throws ConfigError for another depth
Classifier make_imagenet_resnet(int depth, const Shape& image, int classes, ParamStore& params,
                                Key key);

/// The convolutions of a ResNet for large images.
struct TrunkConfig {
  bool bottlenecks = false;
  std::array<int, 4> blocks{2, 2, 2, 2};                  ///< of the stages
  std::array<std::int64_t, 4> widths{64, 128, 256, 512};  ///< bottlenecks give four times that
  bool frozen_norm = false;                               ///< BatchNorm::frozen everywhere

  [[nodiscard]] std::int64_t channels(std::size_t stage) const {
    return bottlenecks ? 4 * widths[stage] : widths[stage];
  }
};
/// That of make_imagenet_resnet. @throws ConfigError for another depth
TrunkConfig imagenet_trunk(int depth);

/// The results of the four stages, [batch, height / s, width / s, channels] with s = 4, 8, 16 and
/// 32, rounded up, of images [batch, height, width, channels].
using Trunk = std::function<std::array<Var, 4>(Pass& pass, Var images)>;

/// What make_imagenet_resnet has before the pooling, with the same sites, names and first values;
/// the stem has as many channels as the first stage is wide.
Trunk make_trunk(const TrunkConfig& config, std::int64_t image_channels, ParamStore& params,
                 Key key);

}  // namespace ebb
