#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tape.h"
#include "data/batches.h"
#include "data/images.h"
#include "data/open.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// --data, --augment, --validation and --training-images.
std::vector<OptionSpec> image_options();

/// The images of a run: --data opened, --validation set aside, --augment settled.
struct ImageData {
  DataSet set{};          ///< its training images are those that are trained on
  ImageSet validation{};  ///< empty unless asked for
};

/// @throws DataError if the data cannot be had or are not what they claim; ConfigError for an
/// impossible --validation
ImageData open_images(const Options& options);

/// Logits [n, classes] of images [n, height, width, channels].
using ImageNetwork = std::function<Var(Pass&, Var images)>;

/// Micro-batch `part` of step t, valid until another step's is asked for.
using ImageBatches = std::function<const Batch&(std::int64_t t, std::int64_t part)>;
/// Those that --seed, --batch and --accumulate make of the images.
ImageBatches image_batches(const std::shared_ptr<const ImageData>& data, const Options& options);

/// Classification by softmax cross-entropy, scored by accuracy. Batches come from --seed, --batch
/// and --accumulate.
/// @throws ConfigError if the settings do not fit the data
Task image_task(const std::shared_ptr<const ImageData>& data, const ImageNetwork& network,
                const Options& options);

}  // namespace ebb::train
