#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/detection.h"

namespace ebb {

/// Pictures with boxes to train on and to be scored on, all of the same classes.
struct DetectionData {
  std::string name{};
  DetectionSet train{}, validation{}, test{};  ///< validation may be empty
};

/// "bccd: 205 training, 87 validation and 42 test pictures, 3 classes, 4519 boxes"
std::string describe(const DetectionData& data);

enum class TrainingSplit : bool { train, trainval };

/// Opens what `--data` names: `synthetic`, 1,000 generated training scenes, 100 to validate and 200
/// to test (always the same ones; see scene_boxes), or a folder, in which it finds
///
/// | files | set |
/// |---|---|
/// | `Annotations`, `JPEGImages`, `ImageSets/Main`, or a `VOCdevkit` of one such folder, or a folder with that | Pascal VOC, see read_voc |
/// | `annotations/instances_train*.json`, `annotations/instances_val*.json` | COCO, see read_coco |
///
/// The test set is `test`; without it `val`, and then nothing is left to validate on. With
/// TrainingSplit::trainval training takes both `train` and `val`, and `test` must be there. The
/// pictures of VOC and COCO are normalised with ImageNet's mean and standard deviation.
/// @throws DataError when the folder is missing, holds neither or both, a part is missing or empty,
/// a picture is in training and in test or validation, or a file is not what it should be
DetectionData open_detection(std::string_view where, TrainingSplit training = TrainingSplit::train);

/// A JPEG or PNG picture, or those of a folder, without boxes, for a network that was trained on a
/// set like `like`. @throws DataError if there is no picture or one is neither
DetectionSet read_unlabelled_pictures(const DetectionSet& like, const std::string& path);

}  // namespace ebb
