#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/detection.h"

namespace ebb {

/// What an annotation file says.
struct VocAnnotation {
  struct Object {
    std::string name{};
    Box box{};
    bool difficult = false, truncated = false;
  };
  std::int64_t width = 0, height = 0;
  std::vector<Object> objects{};
  std::int64_t dropped = 0;  ///< objects whose box has no area
};

/// Reads an annotation in the XML of Pascal VOC. The pixels of its boxes count from 1 and are all
/// inside, so that xmin .. xmax become the edges xmin - 1 and xmax. A box with xmin = xmax or ymin
/// = ymax has no area, as a slip of the annotator's hand leaves it, and is dropped and counted.
/// Entities other than the five of XML and numbered characters, and document types, are not
/// expanded. `name` is for messages.
/// @throws DataError naming the place, what was expected and what came when the text is not UTF-8
/// or not well-formed XML, or when a size, a name or a box is missing, no number, or a box turned
/// around or reaching outside the picture
VocAnnotation parse_voc(std::string_view xml, std::string_view name);

/// The folder with Annotations, JPEGImages and ImageSets/Main: `where` itself, the only such folder
/// in it, or in its VOCdevkit. @throws DataError if there are several
std::optional<std::filesystem::path> find_voc(const std::filesystem::path& where);

/// True if ImageSets/Main has that split.
bool has_voc_split(const std::filesystem::path& folder, std::string_view split);

/// Reads the pictures that ImageSets/Main/SPLIT.txt lists, one name a line. The picture NAME is
/// JPEGImages/NAME with the ending .jpg, .jpeg or .png, whose header must agree with the size in
/// Annotations/NAME.xml. Without `classes`, these are the 20 of Pascal VOC in alphabetical order if
/// every object is one of them, else those found, in alphabetical order.
/// @throws DataError for an empty list, a name listed twice or with a `/`, a file that is missing,
/// an object of no class of `classes`, a size that differs from the picture's, or as parse_voc
DetectionSet read_voc(const std::filesystem::path& folder, std::string_view split,
                      const std::vector<std::string>& classes = {});

}  // namespace ebb
