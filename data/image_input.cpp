#include "data/image_input.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "core/error.h"
#include "core/text.h"
#include "data/cifar.h"
#include "data/file.h"
#include "data/idx.h"
#include "data/image_file.h"
#include "data/image_folder.h"
#include "data/image_scale.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

std::vector<std::uint8_t> grey(const std::vector<std::uint8_t>& colours) {
  std::vector<std::uint8_t> result(colours.size() / 3);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const int sum =
        299 * colours[3 * i] + 587 * colours[3 * i + 1] + 114 * colours[3 * i + 2] + 500;
    result[i] = static_cast<std::uint8_t>(sum / 1000);
  }
  return result;
}

void add_picture(UnlabelledImages& images, const ImageSet& like, const fs::path& path) {
  const std::int64_t side = like.shape[0], channels = like.shape[2];
  auto* const bytes = std::get_if<std::vector<std::uint8_t>>(&images.set.pixels);
  require<DataError>(side == like.shape[1] && (channels == 1 || channels == 3) && bytes != nullptr,
                     "[predict] ", path.string(), ": a picture does not become an image of shape ",
                     like.shape, " as the network was trained on; give a file of such images");
  const std::vector<std::byte> file = read_data_file(path.string());
  std::vector<std::uint8_t> square = centred_square(decode_picture(file, path.string()), side);
  if (channels == 1) square = grey(square);
  bytes->insert(bytes->end(), square.begin(), square.end());
  images.set.labels.push_back(0);
  images.names.push_back(path.filename().string());
}

void number(UnlabelledImages& images) {
  for (std::int64_t i = 0; i < images.set.count(); ++i) images.names.push_back(to_text(i));
}

UnlabelledImages read_idx_images(const ImageSet& like, const fs::path& path) {
  IdxArray array = read_idx(path.string());
  const IdxArray labels{.name = path.string(),
                        .dims = {array.dims.empty() ? 0 : array.dims[0]},
                        .values = std::vector<std::uint8_t>(
                            static_cast<std::size_t>(array.dims.empty() ? 0 : array.dims[0]), 0)};
  UnlabelledImages images{
      .set = idx_image_set(std::move(array), labels, like.classes, path.string()), .names = {}};
  number(images);
  return images;
}

UnlabelledImages read_cifar_images(const ImageSet& like, const fs::path& path) {
  const CifarLabels labels = like.classes == 100  ? CifarLabels::fine
                             : like.classes == 20 ? CifarLabels::coarse
                                                  : CifarLabels::ten;
  UnlabelledImages images{
      .set = read_cifar(std::vector<std::string>{path.string()}, labels, path.string()),
      .names = {}};
  std::ranges::fill(images.set.labels, 0);
  number(images);
  return images;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

UnlabelledImages read_images_like(const ImageSet& like, const std::string& given) {
  const fs::path path = given;
  std::error_code ignored;
  UnlabelledImages images{
      .set = {.name = path.string(), .shape = like.shape, .pixels = {}, .labels = {}}, .names = {}};
  if (std::holds_alternative<std::vector<float>>(like.pixels))
    images.set.pixels = std::vector<float>();
  const std::string name = lower(path.filename().string());
  const std::string unpacked =
      name.ends_with(".gz") || name.ends_with(".xz") ? name.substr(0, name.size() - 3) : name;
  if (fs::is_directory(path, ignored)) {
    for (const fs::path& picture : entries_of(path, false)) add_picture(images, like, picture);
    require<DataError>(!images.names.empty(), "[predict] ", path.string(),
                       ": there are no pictures in this folder");
  } else if (name.ends_with(".jpg") || name.ends_with(".jpeg") || name.ends_with(".png")) {
    add_picture(images, like, path);
  } else if (unpacked.find("idx") != std::string::npos) {
    images = read_idx_images(like, path);
  } else if (unpacked.ends_with(".bin")) {
    images = read_cifar_images(like, path);
  } else {
    throw DataError(concat("[predict] ", path.string(),
                           ": expected a .jpg or .png picture, a folder of pictures, an IDX file "
                           "of images (…idx3-ubyte) or a CIFAR file (.bin)"));
  }
  images.set.classes = like.classes;
  images.set.normalization = like.normalization;
  require<DataError>(
      images.set.shape == like.shape && images.set.pixels.index() == like.pixels.index(),
      "[predict] ", path.string(), ": expected images of shape ", like.shape,
      " and pixels as the network was trained on, got ", images.set.shape);
  return images;
}

std::vector<std::string> class_names(const std::string& folder_of_data, int classes) {
  const fs::path data = folder_of_data;
  std::vector<std::string> names;
  if (is_image_folder(data)) {
    for (const fs::path& folder : entries_of(data / "train", true))
      names.push_back(folder.filename().string());
  }
  for (const char* file : {"batches.meta.txt", "fine_label_names.txt"}) {
    std::error_code ignored;
    if (!names.empty() || !fs::is_regular_file(data / file, ignored)) continue;
    const std::vector<std::byte> bytes = read_data_file((data / file).string());
    for (std::string line :
         split_at({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, '\n')) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) names.push_back(std::move(line));
    }
  }
  if (std::ssize(names) == classes) return names;
  names.clear();
  for (int label = 0; label < classes; ++label) names.push_back(to_text(label));
  return names;
}

}  // namespace ebb
