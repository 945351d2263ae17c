#pragma once

#include <cstdint>
#include <vector>

#include "data/image_file.h"

namespace ebb {

/// The largest centred square of a picture (the middle line is the upper or left one), scaled to
/// side x side: each pixel is the mean of the area that it covers, in exact integers, rounded half
/// up. [side, side, 3].
/// @throws ConfigError unless side >= 1
std::vector<std::uint8_t> centred_square(const Picture& picture, std::int64_t side);

/// A picture at another size, bilinear: with s = size / new size along an axis, the pixel t looks
/// at the place (t + 1/2) s and sees a source pixel x in proportion to max(0, 1 - |x + 1/2 - place|
/// / max(1, s)), so that a smaller picture leaves no source pixel out. Weights, which add to 1 also
/// at the edges, are exact fractions, and so are the sums over both axes; rounded half up once.
/// @throws ConfigError unless both sizes are 1 .. 2^14
Picture resized(const Picture& picture, std::int64_t height, std::int64_t width);

}  // namespace ebb
