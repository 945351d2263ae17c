#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/boxes.h"
#include "data/image_file.h"

namespace ebb {

/// Draws what was found over a picture, the best last: frames in the colour of their class, with
/// its name and the score ("RBC 0.93") on a ground of that colour, in capitals; what the font lacks
/// is a `?`. The boxes that were to be found are thin white frames below them. What lies outside
/// the picture is cut off. @throws ConfigError for a label that is no class
void draw_detections(Picture& picture, std::span<const Detection> found,
                     std::span<const BoxLabel> truth, std::span<const std::string> classes);

/// A picture as PNG.
std::vector<std::byte> encode_png(const Picture& picture);
/// @throws DataError if the file cannot be written whole
void write_png(const Picture& picture, const std::filesystem::path& path);

}  // namespace ebb
