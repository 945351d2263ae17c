#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/detection.h"

namespace ebb {

/// Reads COCO's instances: `images` (id, file_name, width, height), `annotations` (image_id,
/// category_id, bbox [x, y, width, height], iscrowd) and `categories` (id, name), which are
/// numbered 0 .. in the order of their ids. Other members are not read, and segmentations not kept.
/// Pictures come in the order of `images`, each with its annotations in their order; `path` is
/// file_name as it stands. Boxes without area are dropped and counted. `name` is for messages.
/// @throws DataError with the byte for what is not JSON, with the place for a member that is
/// missing or of another kind, ids that are twice or unknown, a box with a negative or infinite
/// number or more than 1 pixel outside its picture
DetectionSet parse_coco(std::string_view json, std::string_view name);

/// The same of a file, plain, .gz or .xz, with its pictures: `folder`/file_name, whose header must
/// agree with the size. @throws DataError as parse_coco, or when a picture is missing, has another
/// size, or its name leads out of the folder
DetectionSet read_coco(const std::filesystem::path& file, const std::filesystem::path& folder);

/// What was found in the pictures of a set, in COCO's format of results: a list of image_id,
/// category_id, bbox and score, picture after picture. Ids that are no numbers are written as
/// strings. @throws ConfigError unless there is a list for each picture
std::string coco_results(const DetectionSet& set, const std::vector<std::vector<Detection>>& found);

/// Reads such a list; gives one for each picture of the set, in the order of the file. @throws
/// DataError with byte or place for what is not such a list, an unknown image or category, a number
/// that is not finite, or a negative size
std::vector<std::vector<Detection>> parse_coco_results(std::string_view json, std::string_view name,
                                                       const DetectionSet& set);

}  // namespace ebb
