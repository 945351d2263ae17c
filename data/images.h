#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/key.h"
#include "core/shape.h"

namespace ebb {

/// Per-channel mean and standard deviation of pixel values; a network sees (value - mean) / std,
/// computed in float32.
struct Normalization {
  std::vector<float> mean{}, std{};
  friend bool operator==(const Normalization&, const Normalization&) = default;
};

/// A labelled set of images of one shape, in file order.
///
/// Pixels are stored channels-last, [count, height, width, channels]. Sources of bytes stay bytes,
/// whose value is byte / 255; all other sources are float32 and are their own values.
struct ImageSet {
  std::string name{};
  Shape shape{};  ///< of one image: [height, width, channels]
  int classes = 0;
  std::variant<std::vector<std::uint8_t>, std::vector<float>> pixels{};
  std::vector<std::int32_t> labels{};  ///< 0 .. classes-1
  Normalization normalization{};  ///< that of the training set, also in a test or validation set

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
  /// SHA-256 of shape, number of classes, labels and pixels: equal for equal sets, whatever files
  /// they came from.
  [[nodiscard]] std::string fingerprint() const;
};

/// @throws DataError unless the set has images, its parts agree in size, every label is a class and
/// every pixel is finite
void require_consistent(const ImageSet& set);

/// Mean and (population) standard deviation of every channel. Bytes are summed exactly; floats in
/// file order, in double, in two passes.
/// @throws DataError when a channel has one value everywhere, which no scaling can normalise
Normalization measure_normalization(const ImageSet& set);

/// The images at the given indices, in that order. @throws ConfigError for an index outside the set
ImageSet subset(const ImageSet& set, std::span<const std::int64_t> indices);

/// A training set cut in two, both in file order.
struct ValidationSplit {
  ImageSet train{}, validation{};
};
/// Sets aside round(fraction * count) images, drawn without replacement by the key. Normalisation
/// stays that of the whole set.
/// @throws ConfigError unless 0 < fraction < 1 leaves images on both sides
ValidationSplit split_validation(const ImageSet& set, double fraction, Key key);

}  // namespace ebb
