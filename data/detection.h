#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/tensor.h"
#include "data/boxes.h"
#include "data/image_file.h"
#include "data/images.h"

namespace ebb {

/// A picture with labelled boxes. Pixels stay compressed until a batch needs them.
struct LabelledPicture {
  std::string id{};    ///< name of the file without extension, or COCO's image id
  std::string path{};  ///< "" for a generated picture
  std::int64_t width = 0, height = 0;
  std::vector<BoxLabel> boxes{};
};

/// Pictures of one split, in the order of its list.
struct DetectionSet {
  std::string name{};
  std::vector<std::string> classes{};
  std::vector<LabelledPicture> pictures{};
  Normalization normalization{};
  std::int64_t dropped = 0;                  ///< boxes without area, left out
  std::vector<std::int64_t> category_ids{};  ///< COCO's number of each class; empty: label + 1
  Key scenes{0};                             ///< of generated pictures, see scene

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(pictures.size()); }
  /// COCO's number of a class.
  [[nodiscard]] std::int64_t category_id(std::int32_t label) const;
  /// SHA-256 of classes, pictures (the bytes of their files, or the key of what is generated), ids,
  /// sizes and boxes, for the record. Reads every file. @throws DataError if one cannot be read
  [[nodiscard]] std::string fingerprint() const;
};

/// The pixels of a picture of a set, decoded or generated. @throws DataError if the file cannot be
/// decoded or has another size than the set says
Picture read_picture(const DetectionSet& set, std::int64_t index);

/// What the pictures of a network trained on ImageNet are normalised with.
Normalization imagenet_normalization();

/// How a picture comes to the size that a network sees.
struct Resizing {
  std::int64_t shorter = 320, longest = 512;  ///< the shorter side, unless the longer exceeds that
  std::int64_t multiple = 32;                 ///< both sides are padded with zeros, right and below
};

/// Where a picture of a batch came from: a box of the batch divided by scale is one of the picture.
struct PictureFrame {
  std::int64_t picture = 0;            ///< its index in the set
  double scale_x = 1, scale_y = 1;     ///< size in the batch, without padding, over its own
  std::int64_t width = 0, height = 0;  ///< in the batch, without padding
};

/// Normalised pictures [n, height, width, 3], zero where padded, and their boxes in pixels of the
/// batch.
struct DetectionBatch {
  Tensor images{};
  std::vector<std::vector<BoxLabel>> boxes{};
  std::vector<PictureFrame> frames{};

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(boxes.size()); }
};

}  // namespace ebb
