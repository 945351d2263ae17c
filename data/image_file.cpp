#include "data/image_file.h"

// clang-format off
#include <cstdio>  // jpeglib.h needs FILE and size_t
#include <jpeglib.h>
#include <jerror.h>
#include <png.h>
// clang-format on

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <fstream>
#include <string>

#include "core/error.h"
#include "core/memory.h"

namespace ebb {
namespace {

constexpr std::int64_t kChannels = 3;

void require_size(std::int64_t height, std::int64_t width, std::string_view name) {
  require<DataError>(height > 0 && width > 0 && width <= kMaxPicturePixels / height, "[images] ",
                     name, ": expected at most ", kMaxPicturePixels, " pixels, the file claims ",
                     height, " x ", width);
}

/// With room for its pixels.
Picture picture_of(std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::string_view name) {
  Picture picture{.height = height, .width = width, .pixels = {}};
  const auto bytes = static_cast<std::size_t>(height * width * channels);
  allocate(
      bytes, [&] { picture.pixels.resize(bytes); }, "the ", height, " x ", width, " pixels of ",
      name);
  return picture;
}

/// libjpeg reports errors by a call that must not return, so it jumps; nothing with a destructor
/// may live between there and here.
struct JpegErrors {
  jpeg_error_mgr manager{};
  std::jmp_buf back{};
  std::array<char, JMSG_LENGTH_MAX> text{};
};

void leave(j_common_ptr info) {
  auto* const errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->text.data());
  std::longjmp(errors->back, 1);
}

/// Corrupt data are a warning to libjpeg, which would go on with invented pixels. Bytes too many
/// between two parts do no harm.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code != JWRN_EXTRANEOUS_DATA) leave(info);
}

enum class JpegStep : std::uint8_t { header, pixels };

/// Does one step of decoding; false with a text in `errors` if that failed.
bool jpeg_step(JpegStep step, jpeg_decompress_struct& info, JpegErrors& errors,
               std::span<const std::byte> file, std::uint8_t* out) {
  if (setjmp(errors.back) != 0) return false;
  if (step == JpegStep::header) {
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()),
                 static_cast<unsigned long>(file.size()));
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    return true;
  }
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = out + std::size_t{info.output_scanline} * info.output_width * kChannels;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

Picture decode_jpeg(std::span<const std::byte> file, std::string_view name) {
  jpeg_decompress_struct info{};
  JpegErrors errors;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = leave;
  errors.manager.emit_message = on_message;
  const struct End {
    jpeg_decompress_struct* info;
    ~End() { jpeg_destroy_decompress(info); }
  } end{&info};
  const auto check = [&](bool ok) {
    require<DataError>(ok, "[images] ", name, ": corrupt or truncated JPEG: ", errors.text.data(),
                       "; fetch the file again");
  };
  check(jpeg_step(JpegStep::header, info, errors, file, nullptr));
  require<DataError>(info.jpeg_color_space != JCS_CMYK && info.jpeg_color_space != JCS_YCCK,
                     "[images] ", name, ": a CMYK picture; convert it to RGB");
  require_size(info.image_height, info.image_width, name);
  Picture picture = picture_of(info.image_height, info.image_width, kChannels, name);
  check(jpeg_step(JpegStep::pixels, info, errors, file, picture.pixels.data()));
  return picture;
}

/// libpng jumps like libjpeg.
struct PngErrors {
  std::jmp_buf back{};
  std::array<char, 200> text{};
};

[[noreturn]] void on_png_error(png_structp png, png_const_charp text) {
  auto* const errors = static_cast<PngErrors*>(png_get_error_ptr(png));
  std::snprintf(errors->text.data(), errors->text.size(), "%s", text);
  std::longjmp(errors->back, 1);
}
void on_png_warning(png_structp, png_const_charp) {}  // of chunks that no pixel depends on

/// Takes bytes from a span, which becomes what is left.
void read_png_bytes(png_structp png, png_bytep to, std::size_t count) {
  auto* const left = static_cast<std::span<const std::byte>*>(png_get_io_ptr(png));
  if (left->size() < count) png_error(png, "the file ends too early");
  std::memcpy(to, left->data(), count);
  *left = left->subspan(count);
}

struct Png {
  png_structp reader = nullptr;
  png_infop info = nullptr;

  ~Png() { png_destroy_read_struct(&reader, &info, nullptr); }
};

/// Reads up to the pixels; false as in jpeg_step.
bool png_header(const Png& png, PngErrors& errors) {
  if (setjmp(errors.back) != 0) return false;
  png_set_user_limits(png.reader, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // require_size decides
  png_read_info(png.reader, png.info);
  return true;
}

/// Asks for 8 bits of R, G, B and, where the file has any transparency, alpha. No gamma is asked
/// for, so none is applied: numbers come as they are stored. libpng allocates rows here.
bool png_start(const Png& png, PngErrors& errors) {
  if (setjmp(errors.back) != 0) return false;
  png_set_expand(
      png.reader);  // palettes, fewer than 8 bits, and the colour that stands for transparent
  png_set_strip_16(png.reader);
  png_set_gray_to_rgb(png.reader);
  png_set_interlace_handling(png.reader);
  png_read_update_info(png.reader, png.info);
  return true;
}

bool png_pixels(const Png& png, PngErrors& errors, std::uint8_t* out) {
  if (setjmp(errors.back) != 0) return false;
  const std::size_t stride = png_get_rowbytes(png.reader, png.info);
  const png_uint_32 height = png_get_image_height(png.reader, png.info);
  const int passes = png_get_interlace_type(png.reader, png.info) == PNG_INTERLACE_ADAM7
                         ? PNG_INTERLACE_ADAM7_PASSES
                         : 1;
  for (int pass = 0; pass < passes; ++pass) {
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(png.reader, out + y * stride, nullptr);
  }
  return true;
}

/// R, G, B on black, mixed in the stored numbers and rounded half up, of R, G, B, alpha.
std::vector<std::uint8_t> on_black(const std::vector<std::uint8_t>& rgba) {
  std::vector<std::uint8_t> rgb;
  rgb.reserve(rgba.size() / 4 * kChannels);
  for (std::size_t i = 0; i < rgba.size(); i += 4) {
    for (std::size_t c = 0; c < 3; ++c)
      rgb.push_back(static_cast<std::uint8_t>((2 * rgba[i + c] * rgba[i + 3] + 255) / 510));
  }
  return rgb;
}

Picture decode_png(std::span<const std::byte> file, std::string_view name) {
  PngErrors errors;
  Png png{.reader =
              png_create_read_struct(PNG_LIBPNG_VER_STRING, &errors, on_png_error, on_png_warning)};
  if (png.reader != nullptr) png.info = png_create_info_struct(png.reader);
  if (png.info == nullptr)
    throw MemoryError(concat("[memory] libpng cannot allocate its state for ", name));
  png_set_read_fn(png.reader, &file, read_png_bytes);
  const auto check = [&](bool ok) {
    require<DataError>(ok, "[images] ", name, ": corrupt or truncated PNG: ", errors.text.data(),
                       "; fetch the file again");
  };
  check(png_header(png, errors));
  const std::int64_t height = png_get_image_height(png.reader, png.info),
                     width = png_get_image_width(png.reader, png.info);
  require_size(height, width, name);
  check(png_start(png, errors));
  const std::int64_t channels = png_get_channels(png.reader, png.info);
  Picture picture = picture_of(height, width, channels, name);
  check(png_pixels(png, errors, picture.pixels.data()));
  if (channels == 4) picture.pixels = on_black(picture.pixels);
  return picture;
}

}  // namespace

Picture decode_picture(std::span<const std::byte> file, std::string_view name) {
  constexpr std::array jpeg{std::byte{0xff}, std::byte{0xd8}, std::byte{0xff}};
  constexpr std::array png{std::byte{0x89}, std::byte{'P'}, std::byte{'N'}, std::byte{'G'}};
  const auto starts = [&](const auto& magic) {
    return file.size() >= magic.size() && std::ranges::equal(magic, file.first(magic.size()));
  };
  if (starts(jpeg)) return decode_jpeg(file, name);
  require<DataError>(starts(png), "[images] ", name,
                     ": expected a JPEG or PNG picture, the content is neither");
  return decode_png(file, name);
}

PictureSize picture_size(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::ifstream in(path, std::ios::binary);
  require<DataError>(in.good() && std::filesystem::is_regular_file(path), "[images] ", name,
                     ": no such picture, or it cannot be read");
  const auto bytes = [&](std::size_t count) {
    std::array<std::uint8_t, 24> read{};
    in.read(reinterpret_cast<char*>(read.data()), static_cast<std::streamsize>(count));
    require<DataError>(static_cast<bool>(in), "[images] ", name,
                       ": the file ends before it says how large the picture is; fetch it again");
    return read;
  };
  const auto big_endian = [](const auto& read, std::size_t at, std::size_t count) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value * 256 + read[at + i];
    return value;
  };
  PictureSize size;
  auto start = bytes(2);
  if (start[0] == 0x89 && start[1] == 'P') {  // the rest of the signature, then IHDR
    const auto header = bytes(22);
    size = {.height = big_endian(header, 18, 4), .width = big_endian(header, 14, 4)};
  } else {
    require<DataError>(start[0] == 0xff && start[1] == 0xd8, "[images] ", name,
                       ": expected a JPEG or PNG picture, the content is neither");
    for (;;) {  // segments, each a marker and its length
      std::uint8_t marker = 0xff;
      require<DataError>(bytes(1)[0] == 0xff, "[images] ", name,
                         ": corrupt JPEG: a segment does not begin with a marker");
      while (marker == 0xff) marker = bytes(1)[0];  // may be filled up
      const std::int64_t length = big_endian(bytes(2), 0, 2);
      const bool frame =
          marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
      require<DataError>(length >= (frame ? 7 : 2) && marker != 0xda && marker != 0xd9, "[images] ",
                         name, ": corrupt JPEG: no segment says how large the picture is");
      if (frame) {
        const auto header = bytes(5);
        size = {.height = big_endian(header, 1, 2), .width = big_endian(header, 3, 2)};
        break;
      }
      in.seekg(length - 2, std::ios::cur);
    }
  }
  require_size(size.height, size.width, name);
  return size;
}

}  // namespace ebb
