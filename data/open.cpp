#include "data/open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "core/error.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/synthetic.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLookedFor =
    "IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
    "t10k-labels-idx1-ubyte), CIFAR-10 files "
    "(data_batch_1.bin ..., test_batch.bin) or CIFAR-100 files (train.bin, test.bin), plain, .gz "
    "or .xz, or pictures "
    "(train/CLASS/*.jpg or .png, test/CLASS/*)";
constexpr const char* kWhereToGetData =
    "On Debian, `apt-get install dataset-fashion-mnist` gives /usr/share/datasets/fashion-mnist; "
    "`synthetic` and `synthetic-cifar` "
    "need no files";

/// The files of a folder by name without .gz or .xz; of several packings the most convenient one.
using Files = std::map<std::string, fs::path>;

Files files_in(const fs::path& folder) {
  std::error_code error;
  std::array<std::vector<fs::path>, 3> by_packing;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!fs::is_regular_file(entry->status(error))) continue;
    const fs::path suffix = entry->path().extension();
    by_packing[suffix == ".gz" ? 1 : suffix == ".xz" ? 2 : 0].push_back(entry->path());
  }
  require<DataError>(!error, "[data] ", folder.string(),
                     ": the folder cannot be read: ", error.message());
  Files files;
  for (std::size_t packing = 0; packing < by_packing.size(); ++packing) {
    for (const fs::path& path : by_packing[packing])
      files.emplace((packing == 0 ? path.filename() : path.stem()).string(), path);
  }
  return files;
}

std::string list(const Files& files) {
  constexpr std::size_t shown = 8;
  std::vector<std::string> names;
  for (const auto& [name, path] : files) {
    if (names.size() < shown) names.push_back(path.filename().string());
  }
  return names.empty()
             ? "no files"
             : concat(join_words(names),
                      files.size() > shown ? concat(" and ", files.size() - shown, " more") : "");
}

/// The one file whose name is PREFIX, then "-" or ".", then something with "idx", for any of the
/// prefixes.
std::optional<fs::path> find_idx(const Files& files,
                                 std::initializer_list<std::string_view> prefixes) {
  std::optional<fs::path> found;
  for (const std::string_view prefix : prefixes) {
    for (const auto& [name, path] : files) {
      const std::string_view rest =
          std::string_view(name).substr(std::min(prefix.size(), name.size()));
      if (!name.starts_with(prefix) || !(rest.starts_with('-') || rest.starts_with('.')) ||
          rest.find("idx") == rest.npos)
        continue;
      require<DataError>(!found, "[data] ", path.parent_path().string(),
                         ": two files for one part: ", found.value_or("").filename().string(),
                         " and ", path.filename().string(), "; remove one of them");
      found = path;
    }
  }
  return found;
}

std::optional<fs::path> find_file(const Files& files, const std::string& name) {
  const auto at = files.find(name);
  return at == files.end() ? std::nullopt : std::optional(at->second);
}

/// The parts of one set as far as they are there. `missing` names the others.
struct Parts {
  std::vector<std::string> train, test;
  std::vector<std::string> missing;

  void take(std::vector<std::string>& part, const std::optional<fs::path>& file,
            const std::string& name) {
    if (file) {
      part.push_back(file->string());
    } else {
      missing.push_back(name);
    }
  }
  [[nodiscard]] bool any() const { return !train.empty() || !test.empty(); }
};

Parts idx_parts(const Files& files) {
  Parts parts;
  parts.take(parts.train, find_idx(files, {"train-images"}), "train-images-idx3-ubyte");
  parts.take(parts.train, find_idx(files, {"train-labels"}), "train-labels-idx1-ubyte");
  parts.take(parts.test, find_idx(files, {"t10k-images", "test-images"}), "t10k-images-idx3-ubyte");
  parts.take(parts.test, find_idx(files, {"t10k-labels", "test-labels"}), "t10k-labels-idx1-ubyte");
  return parts;
}

Parts cifar10_parts(const Files& files) {
  constexpr int official = 5;
  int last = 1;
  for (int n = 1; n <= official; ++n) {
    if (files.contains(concat("data_batch_", n, ".bin"))) last = n;
  }
  Parts parts;
  for (int n = 1; n <= last; ++n)
    parts.take(parts.train, find_file(files, concat("data_batch_", n, ".bin")),
               concat("data_batch_", n, ".bin"));
  parts.take(parts.test, find_file(files, "test_batch.bin"), "test_batch.bin");
  return parts;
}

Parts cifar100_parts(const Files& files) {
  Parts parts;
  parts.take(parts.train, find_file(files, "train.bin"), "train.bin");
  parts.take(parts.test, find_file(files, "test.bin"), "test.bin");
  return parts;
}

DataSet read_idx_parts(const Parts& parts, const std::string& name) {
  DataSet data{.name = name, .train = {}, .test = {}, .augmentation = Augmentation::none()};
  data.train = idx_image_set(read_idx(parts.train[0]), read_idx(parts.train[1]), std::nullopt,
                             name + " train");
  data.test = idx_image_set(read_idx(parts.test[0]), read_idx(parts.test[1]), data.train.classes,
                            name + " test");
  require<DataError>(
      data.test.shape == data.train.shape && data.test.pixels.index() == data.train.pixels.index(),
      "[data] ", name, ": ", parts.train[0], " has images of shape ", data.train.shape, ", ",
      parts.test[0], " has ", data.test.shape, "; both need one shape and one kind of pixels");
  data.train.normalization = measure_normalization(data.train);
  data.test.normalization = data.train.normalization;
  return data;
}

DataSet read_cifar_parts(const Parts& parts, CifarLabels labels, const std::string& name) {
  return {.name = name,
          .train = read_cifar(parts.train, labels, name + " train"),
          .test = read_cifar(parts.test, labels, name + " test"),
          .augmentation = Augmentation::crop_and_flip()};
}

DataSet synthetic(SyntheticKind kind, std::string name) {
  const Key key =
      Key(name_hash("embedded image set")).fold(name);  // one fixed set, whatever the seed of a run
  DataSet data{.name = std::move(name),
               .train = synthetic_images(kind, 20'000, key.fold("train")),
               .test = synthetic_images(kind, 2'000, key.fold("test")),
               .augmentation = kind == SyntheticKind::colour ? Augmentation::crop_and_flip()
                                                             : Augmentation::none()};
  data.test.normalization = data.train.normalization;
  return data;
}

/// Names the subfolders that hold a set, for a caller who gave the folder above.
std::string subfolders_with_data(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    if (!entry->is_directory(ignored)) continue;
    try {
      const Files files = files_in(entry->path());
      if (idx_parts(files).any() || cifar10_parts(files).any() || cifar100_parts(files).any())
        names.push_back(entry->path().string());
    } catch (const DataError&) {
      continue;  // a hint only: a subfolder that cannot be read is none
    }
  }
  std::ranges::sort(names);
  return names.empty() ? "" : concat(". Sets lie in ", join_words(names), ": give one of these");
}

DataSet open_pictures(const fs::path& folder, std::int64_t side) {
  ImageFolder pictures = read_image_folder(folder, side);
  return {.name = fs::canonical(folder).filename().string(),
          .train = std::move(pictures.train),
          .test = std::move(pictures.test),
          .augmentation = Augmentation::crop_and_flip(),
          .scaled = true};
}

DataSet open_folder(const fs::path& folder, std::int64_t side) {
  const Files files = files_in(folder);
  struct Candidate {
    const char* name;
    Parts parts;
    DataSet (*read)(const Parts& parts, const std::string& folder);
  };
  const auto read_ten = [](const Parts& parts, const std::string&) {
    return read_cifar_parts(parts, CifarLabels::ten, "cifar-10");
  };
  const auto read_hundred = [](const Parts& parts, const std::string&) {
    return read_cifar_parts(parts, CifarLabels::fine, "cifar-100");
  };
  std::vector<Candidate> candidates = {{"IDX", idx_parts(files), read_idx_parts},
                                       {"CIFAR-10", cifar10_parts(files), read_ten},
                                       {"CIFAR-100", cifar100_parts(files), read_hundred}};
  std::erase_if(candidates, [](const Candidate& candidate) { return !candidate.parts.any(); });
  const std::string where = folder.string();
  if (candidates.empty() && is_image_folder(folder)) return open_pictures(folder, side);
  if (candidates.empty()) {
    throw DataError(concat("[data] ", where, ": looked for ", kLookedFor, "; found ", list(files),
                           subfolders_with_data(folder), ". ", kWhereToGetData));
  }
  const auto& [kind, parts, read] = candidates.front();
  require<DataError>(candidates.size() == 1, "[data] ", where, ": holds files of several sets, ",
                     kind, " and ", candidates.back().name, "; move each into a folder of its own");
  require<DataError>(parts.missing.empty(), "[data] ", where, ": looks like ", kind, ", but lacks ",
                     join_words(parts.missing), " (plain, .gz or .xz); found ", list(files));
  return read(parts, fs::canonical(folder).filename().string());
}

}  // namespace

std::string describe(const DataSet& data) {
  return concat(data.name, ": ", data.train.count(), " training and ", data.test.count(),
                " test images of ", data.train.shape, ", ", data.train.classes, " classes");
}

DataSet open_data(std::string_view where, std::int64_t side) {
  if (where == "synthetic") return synthetic(SyntheticKind::grey, "synthetic");
  if (where == "synthetic-cifar") return synthetic(SyntheticKind::colour, "synthetic-cifar");
  const fs::path folder(where);
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    const std::array<std::string, 2> embedded{"synthetic", "synthetic-cifar"};
    const std::string nearest = nearest_word(where, embedded);
    throw DataError(
        concat("[data] ", fs::exists(folder, ignored) ? "not a folder: '" : "no such folder: '",
               where, "'", nearest.empty() ? "" : concat("; did you mean '", nearest, "'?"),
               ". Give a folder with ", kLookedFor, ". ", kWhereToGetData));
  }
  return open_folder(folder, side);
}

}  // namespace ebb
