#pragma once

#include <cstdint>
#include <string_view>

#include "core/key.h"
#include "core/params.h"
#include "data/anchors.h"
#include "models/cnn/resnet.h"
#include "train/tasks/detection.h"

namespace ebb {

/// RetinaNet: a ResNet, a feature pyramid and two heads of convolutions that every level shares.
struct RetinaNetConfig {
  TrunkConfig trunk{};
  std::int64_t width = 256;  ///< channels of the pyramid and of the heads
  int head_convs = 4;        ///< of each head, before the one that gives its result
  AnchorConfig anchors{};    ///< its strides: 8, 16 and 32, and with `extra` 64 and 128
  bool extra = true;         ///< levels P6 and P7
  /// The running ranges of the heads' inputs move once for each level, one after the other, and not
  /// once for the union of the levels.
  bool ranges_by_level = false;
};

/// Of the names retinanet-r18, retinanet-r34, retinanet-r50 and retinanet-r101, and of `tiny`: one
/// basic block a stage of 16, 32, 64 and 128 channels, P3 to P5 with 64, and heads of 2
/// convolutions. @throws ConfigError for another name
RetinaNetConfig retinanet_config(std::string_view arch);

/// P3, P4 and P5 come of the results of the trunk's last three stages: a 1x1 convolution each
/// (`fpn.lateral3`, ...), from the second coarsest on plus the coarser one upsampled by two, then a
/// 3x3 convolution (`fpn.output3`, ...); where sides are odd the last upsampled row or column is
/// left out. P6 is a 3x3 convolution of stride 2 of the trunk's result, P7 one of relu(P6)
/// (`fpn.level6`, `fpn.level7`). On each level run `head.class.conv1`, ..., `head.class.output` and
/// `head.box.conv1`, ..., `head.box.output`, 3x3 convolutions with ReLUs between them; the outputs
/// are tagged `last`, the trunk's tags are as in make_imagenet_resnet. Only the trunk has batch
/// norm.
///
/// Convolutions of the pyramid start as N(0, 1 / sqrt(taps in)), the heads' as He, their outputs as
/// N(0, 0.01); biases at zero, that of the class scores at -log 99, so that every class has a
/// probability of 1 % at first. Sources: Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense
/// object detection", ICCV 2017; Lin, Dollar, Girshick, He, Hariharan, Belongie, "Feature pyramid
/// networks", CVPR 2017.
/// @throws ConfigError unless there is a class
train::DetectionNetwork make_retinanet(const RetinaNetConfig& config, int classes,
                                       ParamStore& params, Key key);

}  // namespace ebb
