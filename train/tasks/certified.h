#pragma once

#include <memory>
#include <vector>

#include "core/key.h"
#include "core/params.h"
#include "layers/sequence.h"
#include "train/tasks/images.h"

namespace ebb::train {

/// --certify and the options that it has.
std::vector<OptionSpec> certified_options();

/// Begins with the weights that --certify-init asks for. @throws ConfigError unless the network is
/// a sequence of layers that ends in a linear one
void init_certified(ParamStore& params, const std::vector<Layer>& layers, const Options& options,
                    Key key);

/// Classification that no change of every pixel by up to epsilon can alter: trained on the
/// worst-case logits of interval bounds (layers/interval.h), scored by the share of images that are
/// not verified at the last epsilon of the schedule. Images, batches and options as of image_task.
/// @throws ConfigError if the settings do not fit; DataError for pixels outside 0 .. 1
Task certified_task(const std::shared_ptr<const ImageData>& data, const std::vector<Layer>& layers,
                    const Options& options);

}  // namespace ebb::train
