#include "data/image_folder.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "data/file.h"
#include "data/image_file.h"
#include "data/image_scale.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

struct Part {
  std::string name;
  std::vector<std::string> classes;
  std::vector<fs::path> files;
  std::vector<std::int32_t> labels;
};

Part list_part(const fs::path& folder) {
  Part part{.name = folder.string(), .classes = {}, .files = {}, .labels = {}};
  for (const fs::path& of_class : entries_of(folder, true)) {
    const std::vector<fs::path> files = entries_of(of_class, false);
    require<DataError>(!files.empty(), "[images] ", of_class.string(),
                       ": the class has no pictures; fill or remove its folder");
    part.files.insert(part.files.end(), files.begin(), files.end());
    part.labels.insert(part.labels.end(), files.size(),
                       static_cast<std::int32_t>(part.classes.size()));
    part.classes.push_back(of_class.filename().string());
  }
  require<DataError>(!part.classes.empty(), "[images] ", part.name,
                     ": expected a folder for each class, found none");
  return part;
}

void require_same_classes(const Part& train, const Part& test) {
  for (const auto& [has, lacks] : {std::pair{&train, &test}, std::pair{&test, &train}}) {
    for (const std::string& name : has->classes) {
      require<DataError>(std::ranges::binary_search(lacks->classes, name), "[images] class '", name,
                         "' is in ", has->name, " but not in ", lacks->name,
                         "; both need the same classes");
    }
  }
}

ImageSet read_part(const Part& part, std::int64_t side) {
  const std::int64_t size = side * side * 3, count = static_cast<std::int64_t>(part.files.size());
  const auto bytes = static_cast<std::size_t>(size * count);  // at most kMaxFolderBytes
  auto pixels = allocate(
      bytes, [&] { return std::vector<std::uint8_t>(bytes); }, count, " pictures of ", side, " x ",
      side);
  std::vector<std::exception_ptr> errors(
      part.files.size());  // of one picture each, since threads cannot throw
  parallel_for(
      count,
      [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          const auto at = static_cast<std::size_t>(i);
          try {
            const std::vector<std::uint8_t> square = centred_square(
                decode_picture(read_data_file(part.files[at]), part.files[at].string()), side);
            std::ranges::copy(square, pixels.begin() + i * size);
          } catch (...) {
            errors[at] = std::current_exception();
          }
        }
      },
      1, 1);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return {.name = part.name,
          .shape = {side, side, 3},
          .classes = static_cast<int>(part.classes.size()),
          .pixels = std::move(pixels),
          .labels = part.labels,
          .normalization = {}};
}

}  // namespace

std::vector<fs::path> entries_of(const fs::path& folder, bool folders) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (!hidden && fs::is_directory(entry->status(error)) == folders)
      found.push_back(entry->path());
  }
  require<DataError>(!error, "[images] ", folder.string(),
                     ": the folder cannot be read: ", error.message());
  std::ranges::sort(found);
  return found;
}

bool is_image_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "train", ignored);
}

ImageFolder read_image_folder(const fs::path& folder, std::int64_t side) {
  require<ConfigError>(side >= 1, "[images] expected pictures of at least 1 pixel, got ", side);
  std::error_code ignored;
  const bool has_test = fs::is_directory(folder / "test", ignored),
             has_val = fs::is_directory(folder / "val", ignored);
  require<DataError>(has_test != has_val, "[images] ", folder.string(),
                     ": expected one folder, test or val, beside train; found ",
                     has_test ? "both" : "neither");
  const Part train = list_part(folder / "train"),
             test = list_part(folder / (has_test ? "test" : "val"));
  require_same_classes(train, test);
  const auto count = static_cast<std::int64_t>(train.files.size() + test.files.size());
  require<DataError>(side <= 1 << 14 && count <= kMaxFolderBytes / (side * side * 3), "[images] ",
                     folder.string(), ": ", count, " pictures of ", side, " x ", side,
                     " take more than ", kMaxFolderBytes >> 30,
                     " GiB, and all are kept in memory; make them smaller (--image-size) or fewer");
  ImageFolder result{.train = read_part(train, side), .test = read_part(test, side)};
  result.train.normalization = measure_normalization(result.train);
  result.test.normalization = result.train.normalization;
  return result;
}

}  // namespace ebb
