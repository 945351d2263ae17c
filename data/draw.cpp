#include "data/draw.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string_view>

#include "core/error.h"

namespace ebb {
namespace {

using Colour = std::array<std::uint8_t, 3>;

// Far apart in hue; white text is legible on each.
constexpr std::array<Colour, 10> kColours{{{214, 39, 40},
                                           {31, 119, 180},
                                           {44, 140, 44},
                                           {148, 80, 189},
                                           {200, 100, 10},
                                           {140, 86, 75},
                                           {205, 90, 170},
                                           {100, 100, 100},
                                           {140, 140, 20},
                                           {20, 140, 160}}};
constexpr Colour kWhite{255, 255, 255};

constexpr std::int64_t kGlyphWidth = 5, kGlyphHeight = 7, kMargin = 1, kThickness = 2;

struct Glyph {
  char character;
  std::string_view rows;  // seven, with a blank between
};
constexpr Glyph kFont[] = {{'A', ".###. #...# #...# ##### #...# #...# #...#"},
                           {'B', "####. #...# #...# ####. #...# #...# ####."},
                           {'C', ".###. #...# #.... #.... #.... #...# .###."},
                           {'D', "####. #...# #...# #...# #...# #...# ####."},
                           {'E', "##### #.... #.... ####. #.... #.... #####"},
                           {'F', "##### #.... #.... ####. #.... #.... #...."},
                           {'G', ".###. #...# #.... #.### #...# #...# .####"},
                           {'H', "#...# #...# #...# ##### #...# #...# #...#"},
                           {'I', ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###."},
                           {'J', "..### ...#. ...#. ...#. ...#. #..#. .##.."},
                           {'K', "#...# #..#. #.#.. ##... #.#.. #..#. #...#"},
                           {'L', "#.... #.... #.... #.... #.... #.... #####"},
                           {'M', "#...# ##.## #.#.# #.#.# #...# #...# #...#"},
                           {'N', "#...# ##..# #.#.# #..## #...# #...# #...#"},
                           {'O', ".###. #...# #...# #...# #...# #...# .###."},
                           {'P', "####. #...# #...# ####. #.... #.... #...."},
                           {'Q', ".###. #...# #...# #...# #.#.# #..#. .##.#"},
                           {'R', "####. #...# #...# ####. #.#.. #..#. #...#"},
                           {'S', ".#### #.... #.... .###. ....# ....# ####."},
                           {'T', "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.."},
                           {'U', "#...# #...# #...# #...# #...# #...# .###."},
                           {'V', "#...# #...# #...# #...# #...# .#.#. ..#.."},
                           {'W', "#...# #...# #...# #.#.# #.#.# ##.## #...#"},
                           {'X', "#...# #...# .#.#. ..#.. .#.#. #...# #...#"},
                           {'Y', "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#.."},
                           {'Z', "##### ....# ...#. ..#.. .#... #.... #####"},
                           {'0', ".###. #...# #..## #.#.# ##..# #...# .###."},
                           {'1', "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###."},
                           {'2', ".###. #...# ....# ..##. .#... #.... #####"},
                           {'3', ".###. #...# ....# ..##. ....# #...# .###."},
                           {'4', "...#. ..##. .#.#. #..#. ##### ...#. ...#."},
                           {'5', "##### #.... ####. ....# ....# #...# .###."},
                           {'6', ".###. #.... #.... ####. #...# #...# .###."},
                           {'7', "##### ....# ...#. ..#.. ..#.. .#... .#..."},
                           {'8', ".###. #...# #...# .###. #...# #...# .###."},
                           {'9', ".###. #...# #...# .#### ....# ....# .###."},
                           {'.', "..... ..... ..... ..... ..... .##.. .##.."},
                           {',', "..... ..... ..... ..... .##.. ..#.. .#..."},
                           {'-', "..... ..... ..... ##### ..... ..... ....."},
                           {'+', "..... ..#.. ..#.. ##### ..#.. ..#.. ....."},
                           {'_', "..... ..... ..... ..... ..... ..... #####"},
                           {'/', "....# ....# ...#. ..#.. .#... #.... #...."},
                           {':', "..... .##.. .##.. ..... .##.. .##.. ....."},
                           {' ', "..... ..... ..... ..... ..... ..... ....."},
                           {'?', ".###. #...# ....# ..##. ..#.. ..... ..#.."}};

std::string_view rows_of(char character) {
  const auto upper = static_cast<char>(std::toupper(static_cast<unsigned char>(character)));
  const Glyph* const at = std::ranges::find(kFont, upper, &Glyph::character);
  return at == std::end(kFont) ? std::end(kFont)[-1].rows : at->rows;
}

void fill(Picture& picture, std::int64_t left, std::int64_t top, std::int64_t right,
          std::int64_t bottom, const Colour& colour) {
  for (std::int64_t y = std::max<std::int64_t>(0, top); y < std::min(picture.height, bottom); ++y) {
    for (std::int64_t x = std::max<std::int64_t>(0, left); x < std::min(picture.width, right); ++x)
      std::ranges::copy(colour, picture.pixels.begin() + (y * picture.width + x) * 3);
  }
}

std::int64_t pixel_of(float edge, std::int64_t size) {
  return static_cast<std::int64_t>(
      std::lround(std::clamp(double{edge}, 0.0, static_cast<double>(size))));
}

struct Frame {
  std::int64_t left, top, right, bottom;
};
Frame frame_in(const Picture& picture, const Box& box) {
  return {pixel_of(box.left, picture.width), pixel_of(box.top, picture.height),
          pixel_of(box.right, picture.width), pixel_of(box.bottom, picture.height)};
}

void draw_frame(Picture& picture, const Frame& f, std::int64_t thickness, const Colour& colour) {
  fill(picture, f.left, f.top, f.right, std::min(f.bottom, f.top + thickness), colour);
  fill(picture, f.left, std::max(f.top, f.bottom - thickness), f.right, f.bottom, colour);
  fill(picture, f.left, f.top, std::min(f.right, f.left + thickness), f.bottom, colour);
  fill(picture, std::max(f.left, f.right - thickness), f.top, f.right, f.bottom, colour);
}

/// On a ground of its own above the frame, or inside where there is no room.
void draw_text(Picture& picture, const Frame& frame, std::string_view text, const Colour& ground) {
  const std::int64_t width = std::ssize(text) * (kGlyphWidth + 1) - 1 + 2 * kMargin,
                     height = kGlyphHeight + 2 * kMargin;
  const std::int64_t top = frame.top >= height ? frame.top - height : frame.top,
                     left = std::max<std::int64_t>(0, std::min(frame.left, picture.width - width));
  fill(picture, left, top, left + width, top + height, ground);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rows = rows_of(text[i]);
    const std::int64_t x = left + kMargin + static_cast<std::int64_t>(i) * (kGlyphWidth + 1),
                       y = top + kMargin;
    for (std::int64_t r = 0; r < kGlyphHeight; ++r) {
      for (std::int64_t c = 0; c < kGlyphWidth; ++c) {
        if (rows[static_cast<std::size_t>(r * (kGlyphWidth + 1) + c)] == '#')
          fill(picture, x + c, y + r, x + c + 1, y + r + 1, kWhite);
      }
    }
  }
}

/// Two decimals, rounded half up.
std::string score_text(float score) {
  const auto hundredths =
      static_cast<std::int64_t>(std::floor(std::clamp(double{score}, 0.0, 1.0) * 100 + 0.5));
  return concat(hundredths / 100, '.', hundredths / 10 % 10, hundredths % 10);
}

}  // namespace

void draw_detections(Picture& picture, std::span<const Detection> found,
                     std::span<const BoxLabel> truth, std::span<const std::string> classes) {
  for (const BoxLabel& each : truth) draw_frame(picture, frame_in(picture, each.box), 1, kWhite);
  std::vector<std::size_t> order(found.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return found[a].score < found[b].score; });
  for (const std::size_t i : order) {
    const Detection& each = found[i];
    require<ConfigError>(each.label >= 0 && each.label < std::ssize(classes),
                         "[draw] expected labels 0 .. ", std::ssize(classes) - 1, ", got ",
                         each.label);
    const auto label = static_cast<std::size_t>(each.label);
    const Colour& colour = kColours[label % kColours.size()];
    const Frame frame = frame_in(picture, each.box);
    draw_frame(picture, frame, kThickness, colour);
    draw_text(picture, frame, concat(classes[label], ' ', score_text(each.score)), colour);
  }
}

std::vector<std::byte> encode_png(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(picture.height);
  image.width = static_cast<png_uint_32>(picture.width);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  const auto encode = [&](std::byte* to) {
    require<DataError>(
        png_image_write_to_memory(&image, to, &size, 0, picture.pixels.data(), 0, nullptr) != 0,
        "[draw] libpng cannot encode a picture of ", picture.width, " x ", picture.height, ": ",
        static_cast<const char*>(image.message));
  };
  encode(nullptr);
  std::vector<std::byte> bytes(size);
  encode(bytes.data());
  bytes.resize(size);
  return bytes;
}

void write_png(const Picture& picture, const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = encode_png(picture);
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  require<DataError>(out.good(), "[draw] ", path.string(),
                     ": cannot be written; is the disk full, or the folder missing?");
}

}  // namespace ebb
