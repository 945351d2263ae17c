#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/key.h"
#include "core/shape.h"
#include "data/detection.h"
#include "data/epoch_order.h"

namespace ebb {

/// Most bytes of pictures, scaled, that a source keeps; those beyond are decoded again each time.
inline constexpr std::int64_t kPictureCache = std::int64_t{1} << 30;

/// Random change of colours: each factor is uniform in [1 - x, 1 + x]; 0 changes nothing.
struct ColourJitter {
  double brightness = 0, contrast = 0, saturation = 0;

  [[nodiscard]] bool any() const { return brightness > 0 || contrast > 0 || saturation > 0; }
  friend bool operator==(const ColourJitter&, const ColourJitter&) = default;
};

struct DetectionBatchOptions {
  std::int64_t batch = 8;
  Resizing resizing{};
  bool mirror = true;  ///< left to right with probability 1/2
  ColourJitter jitter{};
  std::int64_t cache_bytes = kPictureCache;  ///< never changes a batch
};

/// Where a picture of width x height comes to lie: sides in the ratio shorter / min(width, height),
/// or longest / max(width, height) if that is less, each rounded half up, at least 1 pixel.
/// @throws ConfigError unless 1 <= shorter <= longest <= 2^14 and 1 <= multiple <= longest
PictureFrame frame_of(std::int64_t picture, std::int64_t width, std::int64_t height,
                      const Resizing& resizing);

/// The batches of a set of pictures with boxes, a pure function of (key, iteration): asking twice,
/// in any order or from any thread, gives the same batch. An epoch visits every picture once, in an
/// order of its own; its last batch holds what is left, so it may be smaller.
///
/// Pictures are scaled as frame_of says (see `resized`), changed, normalised, and padded with zeros
/// right and below to the least multiple of Resizing::multiple that has room for every picture of
/// the batch. Boxes follow. With colour jitter the values v of R, G, B in 0 .. 1 become, one after
/// the other, each held to 0 .. 1, with grey = 0.299 R + 0.587 G + 0.114 B,
///   v brightness;  m + (v - m) contrast, m the mean of grey;  grey + (v - grey) saturation.
///
/// Epoch e takes its order from key.fold("order").fold(e); picture i of the set then draws counters
/// 4i .. 4i+3 of key.fold("augment").fold(e) for mirroring and the three factors.
class DetectionBatches {
 public:
  /// The set must outlive the source. @throws ConfigError unless batch >= 1, Resizing is as
  /// frame_of says and jitter is within 0 .. 1; DataError when the set has no pictures or no
  /// normalisation of 3 channels
  DetectionBatches(const DetectionSet& set, DetectionBatchOptions options, Key key);
  DetectionBatches(DetectionSet&&, DetectionBatchOptions, Key) = delete;
  DetectionBatches(DetectionBatches&&) noexcept;
  ~DetectionBatches();

  [[nodiscard]] std::int64_t batches_per_epoch() const { return order_.batches_per_epoch(); }
  [[nodiscard]] std::int64_t epoch(std::int64_t iteration) const { return order_.epoch(iteration); }
  /// Number of pictures in the batch of an iteration, without making it.
  [[nodiscard]] std::int64_t batch_size(std::int64_t iteration) const {
    return order_.batch_size(iteration);
  }
  /// The indices of the pictures in the batch of an iteration >= 0.
  [[nodiscard]] std::vector<std::int64_t> indices(std::int64_t iteration) const {
    return order_.indices(iteration);
  }
  /// Shape of the images of a batch, without decoding any.
  [[nodiscard]] Shape shape(std::int64_t iteration) const { return shape_of(indices(iteration)); }
  /// @throws DataError if a file cannot be decoded or changed its size. May be called from several
  /// threads.
  [[nodiscard]] DetectionBatch batch(std::int64_t iteration) const;

  /// Pictures first .. first+count-1 in the order of the set, neither mirrored nor of other
  /// colours: for evaluation. @throws ConfigError unless they are in the set; as batch
  [[nodiscard]] DetectionBatch in_order(std::int64_t first, std::int64_t count) const;
  [[nodiscard]] Shape shape_in_order(std::int64_t first, std::int64_t count) const;

 private:
  class Cache;
  struct Change;

  [[nodiscard]] Shape shape_of(std::span<const std::int64_t> pictures) const;
  [[nodiscard]] std::vector<std::int64_t> range(std::int64_t first, std::int64_t count) const;
  [[nodiscard]] Change draw_change(Key key, std::int64_t picture) const;
  [[nodiscard]] DetectionBatch gather(std::span<const std::int64_t> pictures,
                                      std::span<const Change> changes) const;

  const DetectionSet* set_;
  DetectionBatchOptions options_;
  Key key_;
  EpochOrder order_;
  std::vector<PictureFrame> frames_;  // of every picture of the set
  std::unique_ptr<Cache> cache_;
};

/// Cuts a batch into min(parts, size) consecutive micro-batches whose sizes differ by one at the
/// most, larger ones first; each keeps the height and width of the whole batch. @throws ConfigError
/// unless parts >= 1
std::vector<DetectionBatch> micro_batches(DetectionBatch batch, std::int64_t parts);

}  // namespace ebb
