#include <doctest/doctest.h>

// clang-format off
#include <cstdio>  // jpeglib.h needs FILE and size_t
#include <jpeglib.h>
#include <png.h>
// clang-format on

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/key.h"
#include "data/image_file.h"
#include "data/image_folder.h"
#include "data/image_scale.h"
#include "data/open.h"
#include "data_files.h"
#include "scratch.h"

using namespace ebb;
using namespace data_test;

namespace {

namespace fs = std::filesystem;

Picture random_picture(std::int64_t height, std::int64_t width, Key key) {
  Picture picture{.height = height, .width = width, .pixels = {}};
  for (std::int64_t i = 0; i < height * width * 3; ++i)
    picture.pixels.push_back(
        static_cast<std::uint8_t>(key.below(static_cast<std::uint64_t>(i), 256)));
  return picture;
}

Picture flat_picture(std::int64_t height, std::int64_t width, std::uint8_t value) {
  return {.height = height,
          .width = width,
          .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), value)};
}

/// `format` as libpng names it: RGB, or what `pixels` hold else.
Bytes png_of(std::int64_t height, std::int64_t width, const std::uint8_t* pixels,
             std::uint32_t format = PNG_FORMAT_RGB, const std::uint8_t* colours = nullptr) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(height);
  image.width = static_cast<png_uint_32>(width);
  image.format = format;
  image.colormap_entries = colours == nullptr ? 0 : 2;
  png_alloc_size_t size = 0;
  REQUIRE(png_image_write_to_memory(&image, nullptr, &size, 0, pixels, 0, colours) != 0);
  Bytes bytes(size);
  REQUIRE(png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels, 0, colours) != 0);
  return bytes;
}
Bytes png_of(const Picture& picture) {
  return png_of(picture.height, picture.width, picture.pixels.data());
}

/// "Exif", then a little-endian TIFF header and one entry: orientation 6, to be turned by a
/// quarter.
std::vector<std::uint8_t> sideways() {
  return {'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
          0x12, 1,   3,   0,   1, 0, 0,   0,   6,  0, 0, 0, 0, 0, 0, 0};
}

/// A PNG of one row of samples, those of 16 bits as numbers, with chunks of its own.
Bytes png_row(int bits, int type, int interlace,
              const std::function<void(png_structp, png_infop)>& chunks,
              const std::vector<int>& samples) {
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const auto write = [](png_structp p, png_bytep from, std::size_t count) {
    auto* const to = static_cast<Bytes*>(png_get_io_ptr(p));
    const auto* const first = reinterpret_cast<const std::byte*>(from);
    to->insert(to->end(), first, first + count);
  };
  png_set_write_fn(png, &bytes, write, [](png_structp) {});
  const int channels = type == PNG_COLOR_TYPE_RGB    ? 3
                       : type == PNG_COLOR_TYPE_RGBA ? 4
                       : type == PNG_COLOR_TYPE_GRAY ? 1
                                                     : 2;
  const auto width =
      static_cast<png_uint_32>(bits == 1 ? 2 : samples.size() / static_cast<std::size_t>(channels));
  png_set_IHDR(png, info, width, 1, bits, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  chunks(png, info);
  png_write_info(png, info);
  std::vector<std::uint8_t> row;
  for (const int sample : samples) {
    if (bits == 16) row.push_back(static_cast<std::uint8_t>(sample >> 8));
    row.push_back(static_cast<std::uint8_t>(sample & 255));
  }
  png_bytep rows[] = {row.data()};
  png_write_image(png, rows);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

Bytes jpeg_of(std::int64_t height, std::int64_t width, const std::uint8_t* pixels,
              J_COLOR_SPACE space = JCS_RGB) {
  const int channels = space == JCS_RGB ? 3 : space == JCS_CMYK ? 4 : 1;
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_height = static_cast<JDIMENSION>(height);
  info.image_width = static_cast<JDIMENSION>(width);
  info.input_components = channels;
  info.in_color_space = space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(pixels + info.next_scanline *
                                                  static_cast<std::size_t>(width * channels));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  const auto* const first = reinterpret_cast<const std::byte*>(memory);
  Bytes bytes(first, first + size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return bytes;
}
Bytes jpeg_of(const Picture& picture) {
  return jpeg_of(picture.height, picture.width, picture.pixels.data());
}

std::string decoding_error(const Bytes& file) {
  return message_of<DataError>([&] { decode_picture(file, "x"); });
}

fs::path put(const Scratch& folder, const std::string& name, const Bytes& bytes) {
  const fs::path path = folder / name;
  fs::create_directories(path.parent_path());
  return write_file(path, bytes);
}

}  // namespace

TEST_CASE("PNG files give their pixels, grey ones three times, transparent ones on black") {
  const Picture picture = random_picture(7, 5, Key(1));
  const Picture read = decode_picture(png_of(picture), "x");
  CHECK(read.height == 7);
  CHECK(read.width == 5);
  CHECK(read.pixels == picture.pixels);
  const std::uint8_t grey[] = {0, 9, 200, 255};
  CHECK(decode_picture(png_of(2, 2, grey, PNG_FORMAT_GRAY), "x").pixels ==
        std::vector<std::uint8_t>{0, 0, 0, 9, 9, 9, 200, 200, 200, 255, 255, 255});
  const std::uint8_t index[] = {1, 0}, colours[] = {9, 8, 7, 255, 0, 1};
  CHECK(decode_picture(png_of(1, 2, index, PNG_FORMAT_RGB_COLORMAP, colours), "x").pixels ==
        std::vector<std::uint8_t>{255, 0, 1, 9, 8, 7});
  Bytes followed = png_of(picture);
  followed.push_back(std::byte{1});  // what follows a picture's end is not read
  CHECK(decode_picture(followed, "x").pixels == picture.pixels);
  const std::uint8_t glass[] = {255, 10, 20, 0, 30, 40, 50, 255};
  CHECK(decode_picture(png_of(1, 2, glass, PNG_FORMAT_RGBA), "x").pixels ==
        std::vector<std::uint8_t>{0, 0, 0, 30, 40, 50});
}

TEST_CASE(
    "PNG numbers are taken as they are stored, whatever bits and colour chunks say, and mixed with "
    "black as they are") {
  using Chunks = std::function<void(png_structp, png_infop)>;
  const Chunks none = [](png_structp, png_infop) {},
               linear = [](png_structp p, png_infop i) { png_set_gAMA(p, i, 1.0); },
               screen = [](png_structp p, png_infop i) { png_set_gAMA(p, i, 0.45455); },
               srgb =
                   [](png_structp p, png_infop i) {
                     png_set_sRGB_gAMA_and_cHRM(p, i, PNG_sRGB_INTENT_PERCEPTUAL);
                   },
               rotated = [](png_structp p, png_infop i) {
                 std::vector<std::uint8_t> exif = sideways();
                 png_set_eXIf_1(p, i, static_cast<png_uint_32>(exif.size() - 6), exif.data() + 6);
               };
  const auto key = [](png_uint_16 value) -> Chunks {
    return [value](png_structp p, png_infop i) {
      const png_color_16 colour{
          .index = 0, .red = value, .green = value, .blue = value, .gray = value};
      png_set_tRNS(p, i, nullptr, 0, &colour);
    };
  };
  struct Case {
    const char* why;
    int bits, type, interlace;
    Chunks chunks;
    std::vector<int> stored;  // one row of samples
    std::vector<std::uint8_t> want;
  };
  constexpr int rgb = PNG_COLOR_TYPE_RGB, rgba = PNG_COLOR_TYPE_RGBA, grey = PNG_COLOR_TYPE_GRAY,
                both = PNG_COLOR_TYPE_GRAY_ALPHA;
  const Case cases[] = {
      {"8 bits", 8, rgb, 0, none, {40, 128, 255}, {40, 128, 255}},
      {"16 bits, the same picture", 16, rgb, 0, none, {40 * 257, 128 * 257, 65535}, {40, 128, 255}},
      {"16 bits, low bytes that do not count",
       16,
       rgb,
       0,
       none,
       {40 * 256 + 255, 128 * 256, 255},
       {40, 128, 0}},
      {"16 bits that say they are linear",
       16,
       rgb,
       0,
       linear,
       {40 * 257, 128 * 257, 65535},
       {40, 128, 255}},
      {"8 bits that say they are linear", 8, rgb, 0, linear, {40, 128, 255}, {40, 128, 255}},
      {"the usual gamma", 16, rgb, 0, screen, {40 * 257, 128 * 257, 65535}, {40, 128, 255}},
      {"sRGB in 8 bits", 8, rgb, 0, srgb, {40, 128, 255}, {40, 128, 255}},
      {"sRGB in 16 bits", 16, rgb, 0, srgb, {40 * 257, 128 * 257, 65535}, {40, 128, 255}},
      {"turned by its EXIF", 8, rgb, 0, rotated, {1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}},
      {"grey of 16 bits", 16, grey, 0, none, {40 * 257}, {40, 40, 40}},
      {"grey of 1 bit", 1, grey, 0, none, {0x40}, {0, 0, 0, 255, 255, 255}},
      {"half transparent: 200 128 / 255 is 100.4, 3 128 / 255 is 1.506",
       8,
       rgba,
       0,
       none,
       {200, 3, 0, 128},
       {100, 2, 0}},
      {"the same in 16 bits", 16, rgba, 0, none, {200 * 257, 3 * 257, 0, 128 * 257}, {100, 2, 0}},
      {"the same, linear", 16, rgba, 0, linear, {200 * 257, 3 * 257, 0, 128 * 257}, {100, 2, 0}},
      {"grey with alpha", 8, both, 0, srgb, {200, 128, 9, 255}, {100, 100, 100, 9, 9, 9}},
      {"a colour that stands for transparent",
       8,
       rgb,
       0,
       key(7),
       {7, 7, 7, 7, 7, 8},
       {0, 0, 0, 7, 7, 8}},
      {"a grey of 16 bits that does, and its neighbour",
       16,
       grey,
       0,
       key(7 * 257),
       {7 * 257, 7 * 257 + 1},
       {0, 0, 0, 7, 7, 7}},
      {"interlaced",
       8,
       rgb,
       PNG_INTERLACE_ADAM7,
       none,
       {1, 2, 3, 4, 5, 6, 7, 8, 9},
       {1, 2, 3, 4, 5, 6, 7, 8, 9}}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.why));
    CHECK(decode_picture(png_row(c.bits, c.type, c.interlace, c.chunks, c.stored), "x").pixels ==
          c.want);
  }
}

TEST_CASE("a JPEG that says which way to turn it keeps the rows that it stores") {
  const Bytes plain = jpeg_of(random_picture(8, 16, Key(2)));
  std::vector<std::uint8_t> segment = sideways();
  segment.insert(
      segment.begin(),
      {0xff, 0xe1, 0, static_cast<std::uint8_t>(segment.size() + 2)});  // APP1 and its length
  Bytes turned(plain.begin(), plain.begin() + 2);                       // the start of the image
  for (const std::uint8_t byte : segment) turned.push_back(std::byte{byte});
  turned.insert(turned.end(), plain.begin() + 2, plain.end());
  const Picture read = decode_picture(turned, "x");
  CHECK(read.height == 8);
  CHECK(read.width == 16);
  CHECK(read.pixels == decode_picture(plain, "x").pixels);
}

TEST_CASE("JPEG files give their size and nearly their pixels, grey ones three times") {
  // Flat areas survive: the mean of a block is quantized in steps of 1/8 at quality 100, colours
  // turn in 8 bits and back.
  const Picture read = decode_picture(jpeg_of(flat_picture(19, 33, 77)), "x");
  CHECK(read.height == 19);
  CHECK(read.width == 33);
  REQUIRE(read.pixels.size() == 19 * 33 * 3);
  for (const std::uint8_t value : read.pixels) CHECK(std::abs(value - 77) <= 2);
  const std::vector<std::uint8_t> grey(64, 130);
  for (const std::uint8_t value :
       decode_picture(jpeg_of(8, 8, grey.data(), JCS_GRAYSCALE), "x").pixels)
    CHECK(std::abs(value - 130) <= 1);
}

TEST_CASE("scaling takes the mean of the area under each pixel of the centred square") {
  struct Case {
    std::int64_t height, width, side;
  };
  const Case cases[] = {{8, 8, 4}, {8, 8, 8}, {7, 10, 3}, {10, 7, 5},
                        {3, 4, 7}, {1, 1, 2}, {6, 31, 4}, {33, 32, 1}};
  for (const Case& c : cases) {
    CAPTURE(c.height);
    CAPTURE(c.width);
    CAPTURE(c.side);
    const Picture picture =
        random_picture(c.height, c.width, Key(2).fold(static_cast<std::uint64_t>(c.side)));
    const std::vector<std::uint8_t> square = centred_square(picture, c.side);
    REQUIRE(static_cast<std::int64_t>(square.size()) == c.side * c.side * 3);
    const std::int64_t extent = std::min(c.height, c.width), top = (c.height - extent) / 2,
                       left = (c.width - extent) / 2;
    const double step = static_cast<double>(extent) / static_cast<double>(c.side);
    const auto overlap = [&](std::int64_t target, std::int64_t source) {
      const double begin =
          std::max(static_cast<double>(target) * step, static_cast<double>(source));
      return std::max(
          0.0, std::min(static_cast<double>(target + 1) * step, static_cast<double>(source + 1)) -
                   begin);
    };
    for (std::int64_t y = 0; y < c.side; ++y) {
      for (std::int64_t x = 0; x < c.side; ++x) {
        for (std::int64_t channel = 0; channel < 3; ++channel) {
          double sum = 0;
          for (std::int64_t sy = 0; sy < extent; ++sy) {
            for (std::int64_t sx = 0; sx < extent; ++sx) {
              sum += overlap(y, sy) * overlap(x, sx) *
                     picture.pixels[static_cast<std::size_t>(
                         ((top + sy) * c.width + left + sx) * 3 + channel)];
            }
          }
          // A tie may be seen on either side by the sums in double: 1,089 terms of up to 255.
          CHECK(std::abs(sum / (step * step) -
                         square[static_cast<std::size_t>((y * c.side + x) * 3 + channel)]) <=
                0.5 + 1e-9);
        }
      }
    }
  }
  const Picture wide = random_picture(4, 6, Key(3));
  const std::vector<std::uint8_t> same = centred_square(wide, 4);
  for (std::size_t i = 0; i < same.size(); ++i)
    REQUIRE(same[i] == wide.pixels[i / 12 * 18 + 3 + i % 12]);  // one column off each side
}

TEST_CASE("broken, truncated and lying pictures are refused, none is repaired") {
  const Picture picture = random_picture(40, 40, Key(4));
  const Bytes png = png_of(picture), jpeg = jpeg_of(picture);
  for (const double share : {0.02, 0.3, 0.7, 0.98}) {
    CAPTURE(share);
    const auto part = [&](const Bytes& all) {
      return Bytes(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(
                                                  share * static_cast<double>(all.size())));
    };
    CHECK(contains(decoding_error(part(png)), "corrupt or truncated PNG"));
    CHECK(contains(decoding_error(part(jpeg)), "corrupt or truncated JPEG"));
  }
  Bytes flipped = png;
  flipped[png.size() / 2] ^= std::byte{0x55};
  CHECK(contains(decoding_error(flipped), "corrupt or truncated PNG"));

  Bytes huge = jpeg;
  const Bytes start_of_frame = bytes_of({0xff, 0xc0});
  const auto frame =
      std::search(huge.begin(), huge.end(), start_of_frame.begin(), start_of_frame.end());
  REQUIRE(frame != huge.end());
  std::fill(frame + 5, frame + 9, std::byte{0xf0});  // height and width
  CHECK(contains(decoding_error(huge), "the file claims 61680 x 61680"));

  // One row of 2^31 - 1 pixels: refused before libpng makes room for it.
  Bytes wide = bytes_of({0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,
                         13,   'I', 'H', 'D', 'R',  0x7f, 0xff, 0xff, 0xff, 0,    0,
                         0,    1,   16,  6,   0,    0,    0,    0xf0, 0xa6, 0xef, 0x9e});
  for (const std::byte byte : bytes_of({0, 0, 0, 0, 'I', 'D', 'A', 'T', 0x35, 0xaf, 0x06, 0x1e}))
    wide.push_back(byte);
  CHECK(contains(decoding_error(wide), "the file claims 1 x 2147483647"));

  const std::vector<std::uint8_t> ink(64 * 4, 100);
  CHECK(contains(decoding_error(jpeg_of(8, 8, ink.data(), JCS_CMYK)), "CMYK"));
  CHECK(
      contains(decoding_error(bytes_of({'G', 'I', 'F', '8', '9', 'a'})), "the content is neither"));
  CHECK(contains(decoding_error({}), "the content is neither"));
}

TEST_CASE(
    "a folder of pictures by class is read in the order of names, whatever the files are called") {
  for (const char* held_out : {"test", "val"}) {
    const Scratch folder;
    put(folder, "train/cat/2.png", png_of(flat_picture(5, 9, 40)));
    put(folder, "train/cat/10.jpg", png_of(flat_picture(8, 8, 80)));  // a PNG by its content
    put(folder, "train/ant/a.JPEG", jpeg_of(flat_picture(16, 16, 120)));
    put(folder, "train/ant/.hidden", bytes_of({1}));
    put(folder, "train/LICENCE", bytes_of({1}));  // beside the classes, not in one
    put(folder, std::string(held_out) + "/cat/x.png", png_of(flat_picture(3, 3, 10)));
    put(folder, std::string(held_out) + "/ant/y.png", png_of(flat_picture(3, 3, 200)));
    CHECK(is_image_folder(folder.path()));
    const DataSet data = open_data(folder.path(), 4);
    CHECK(data.train.shape == Shape{4, 4, 3});
    CHECK(data.train.classes == 2);
    CHECK(data.train.labels == std::vector<std::int32_t>{0, 1, 1});  // ant, cat
    CHECK(data.test.labels == std::vector<std::int32_t>{0, 1});
    CHECK(data.augmentation == Augmentation::crop_and_flip());
    CHECK(data.test.normalization == data.train.normalization);
    const auto& pixels = std::get<std::vector<std::uint8_t>>(data.train.pixels);
    REQUIRE(pixels.size() == 3 * 4 * 4 * 3);
    CHECK(std::abs(pixels[0] - 120) <= 2);
    CHECK(pixels[48] == 80);  // 10.jpg stands before 2.png
    CHECK(pixels[96] == 40);
  }
}

TEST_CASE(
    "folders of pictures that do not make two sets of the same classes are refused with the "
    "place") {
  struct Case {
    const char* why;
    std::vector<std::string> pictures, folders;
    const char* message;
  };
  const Case cases[] = {
      {"nothing held out",
       {"train/a/1.png"},
       {},
       "expected one folder, test or val, beside train; found neither"},
      {"two held out", {"train/a/1.png", "val/a/1.png", "test/a/1.png"}, {}, "found both"},
      {"no class", {}, {"train", "test"}, "train: expected a folder for each class, found none"},
      {"an empty class",
       {"train/a/1.png", "test/a/1.png"},
       {"train/b"},
       "train/b: the class has no pictures"},
      {"a class to train only",
       {"train/a/1.png", "train/b/1.png", "test/a/1.png"},
       {},
       "class 'b' is in "},
      {"a class to test only",
       {"train/a/1.png", "test/a/1.png", "test/c/1.png"},
       {},
       "class 'c' is in "}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.why));
    const Scratch folder;
    for (const std::string& name : c.pictures)
      put(folder, name, png_of(random_picture(3, 3, Key(5))));
    for (const std::string& name : c.folders) fs::create_directories(folder / name);
    const std::string message = message_of<DataError>([&] { read_image_folder(folder.path(), 4); });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  const Scratch folder;
  for (const char* name : {"train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"})
    put(folder, name, png_of(random_picture(3, 3, Key(5))));
  put(folder, "train/b/0.txt", bytes_of({'h', 'i'}));
  CHECK(contains(message_of<DataError>([&] { read_image_folder(folder.path(), 4); }),
                 "train/b/0.txt: expected a JPEG or PNG picture"));
  fs::remove(folder / "train/b/0.txt");
  CHECK(read_image_folder(folder.path(), 4).train.count() == 2);
  CHECK(contains(message_of<DataError>([&] { read_image_folder(folder.path(), 1 << 15); }),
                 "are kept in memory"));
  CHECK_THROWS_AS(read_image_folder(folder.path(), 0), ConfigError);
}
