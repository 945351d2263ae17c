#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/key.h"
#include "data/detection.h"
#include "data/image_file.h"

namespace ebb {

/// The classes of generated scenes; a label is a place in this list.
inline constexpr std::array<std::string_view, 3> kSceneClasses{"disc", "square", "triangle"};

/// Size of every generated scene. Not square, so that nobody confuses its sides unnoticed.
inline constexpr std::int64_t kSceneHeight = 128, kSceneWidth = 160;

/// What is on scene `index`: 1 to 5 shapes, each turned by any angle and wholly inside, in the
/// order in which they are painted. Boxes are tight, between 19 and 60 pixels a side; a shape
/// that would share more than 0.3 of the smaller box with an earlier one is put elsewhere, or left
/// out after 20 tries. A pure function of (key, index).
std::vector<BoxLabel> scene_boxes(Key key, std::int64_t index);

/// The scene in pixels: the shapes, each of one colour, on a ground with two waves and grain; edges
/// are one pixel wide.
Picture scene(Key key, std::int64_t index);

/// A set of scenes 0 .. count-1. Pixels are made when a batch needs them. @throws ConfigError
/// unless count >= 1
DetectionSet scene_set(std::string name, std::int64_t count, Key key);

}  // namespace ebb
