#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
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

struct PictureSize {
  std::int64_t height = 0, width = 0;
  friend bool operator==(const PictureSize&, const PictureSize&) = default;
};

/// The size that the header of a JPEG or PNG file states; no pixel is decoded.
/// @throws DataError when the file is missing, neither, ends before it says so, or is larger than
/// kMaxPicturePixels
PictureSize picture_size(const std::filesystem::path& path);

}  // namespace ebb
