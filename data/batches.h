#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/key.h"
#include "core/tensor.h"
#include "data/epoch_order.h"
#include "data/images.h"

namespace ebb {

/// What a network is fed: normalised images [n, height, width, channels] and their n classes.
struct Batch {
  Tensor inputs{};
  std::vector<std::int32_t> labels{};

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Random change of training images. Each image is padded with `pad` pixels of value 0 on all
/// sides, before normalisation, cut back to its size at a uniformly random place, and then mirrored
/// left to right with probability 1/2 if `flip`.
struct Augmentation {
  int pad = 0;
  bool flip = false;

  static constexpr Augmentation none() { return {}; }
  /// What the CIFAR experiments use.
  static constexpr Augmentation crop_and_flip() { return {.pad = 4, .flip = true}; }
  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

struct BatchOptions {
  std::int64_t batch = 128;
  Augmentation augmentation{};
};

/// The training batches of a set, a pure function of (key, iteration): asking twice, in any order
/// or from any thread, gives the same batch. An epoch visits every image once in an order of its
/// own; its last batch holds what is left, so it may be smaller.
///
/// Epoch e takes its order from key.fold("order").fold(e); image i of the set then draws counters
/// 3i .. 3i+2 of key.fold("augment").fold(e) for the vertical place, the horizontal place and the
/// mirroring.
class BatchSource {
 public:
  /// The set must outlive the source. @throws ConfigError unless batch >= 1 and pad >= 0; DataError
  /// when the set has no images or no normalisation for each of its channels
  BatchSource(const ImageSet& set, BatchOptions options, Key key);
  BatchSource(ImageSet&&, BatchOptions, Key) = delete;

  [[nodiscard]] std::int64_t batches_per_epoch() const { return order_.batches_per_epoch(); }
  [[nodiscard]] std::int64_t epoch(std::int64_t iteration) const { return order_.epoch(iteration); }
  /// Number of images in the batch of an iteration, without making it.
  [[nodiscard]] std::int64_t batch_size(std::int64_t iteration) const {
    return order_.batch_size(iteration);
  }
  /// The indices of the images in the batch of an iteration >= 0.
  [[nodiscard]] std::vector<std::int64_t> indices(std::int64_t iteration) const {
    return order_.indices(iteration);
  }
  /// The batch of an iteration >= 0. May be called from several threads.
  [[nodiscard]] Batch batch(std::int64_t iteration) const;

 private:
  const ImageSet* set_;
  BatchOptions options_;
  Key key_;
  EpochOrder order_;
};

/// Images first .. first+count-1 in file order, unchanged but normalised: for evaluation.
/// @throws ConfigError unless the images are in the set
Batch batch_in_file_order(const ImageSet& set, std::int64_t first, std::int64_t count);

/// Cuts a batch into min(parts, size) consecutive micro-batches whose sizes differ by one at the
/// most, larger ones first, so that their gradients can be accumulated. @throws ConfigError unless
/// parts >= 1
std::vector<Batch> micro_batches(Batch batch, std::int64_t parts);

}  // namespace ebb
