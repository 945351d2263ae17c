#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ebb {

/// Most pixels of one picture: what claims more is taken for a corrupt file.
inline constexpr std::int64_t kMaxPicturePixels = std::int64_t{1} << 26;

/// A decoded picture, [height, width, 3] bytes of R, G, B.
struct Picture {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels{};
};

/// Decodes a JPEG or PNG file, which the content decides and not the name. Numbers are taken as
/// they are stored, as image libraries for training do: gAMA, cHRM, sRGB and iCCP chunks and an
/// EXIF orientation change nothing. Grey becomes R = G = B; of 16 bits the high 8 stay; what is
/// transparent lies on black, each channel c alpha / 255 of the stored numbers, rounded half up.
/// `name` is for messages.
/// @throws DataError when the content is neither, truncated or corrupt, CMYK, or larger than
/// kMaxPicturePixels
Picture decode_picture(std::span<const std::byte> file, std::string_view name);

/// The largest centred square of a picture (the middle line is the upper or left one), scaled to
/// side x side: each pixel is the mean of the area that it covers, in exact integers, rounded half
/// up. [side, side, 3].
/// @throws ConfigError unless side >= 1
std::vector<std::uint8_t> centred_square(const Picture& picture, std::int64_t side);

}  // namespace ebb
