#include "data/detection_open.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/coco.h"
#include "data/image_folder.h"
#include "data/scenes.h"
#include "data/voc.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLookedFor =
    "Pascal VOC (Annotations, JPEGImages and ImageSets/Main, or VOCdevkit/NAME with these) or COCO "
    "(annotations/instances_train*.json and instances_val*.json)";

DetectionData synthetic() {
  const Key key(name_hash("embedded scenes"));  // one fixed set, whatever the seed of a run
  return {.name = "synthetic",
          .train = scene_set("synthetic train", 1'000, key.fold("train")),
          .validation = scene_set("synthetic validation", 100, key.fold("validation")),
          .test = scene_set("synthetic test", 200, key.fold("test"))};
}

/// Which splits there are.
struct Splits {
  std::string where;
  bool has_val = false, has_test = false;
};

template <class Read>
DetectionData read_splits(const Splits& splits, TrainingSplit training, const Read& read) {
  const bool both = training == TrainingSplit::trainval;
  require<DataError>(splits.has_val || splits.has_test, "[detection] ", splits.where,
                     ": there is neither a test nor a val split to be scored on");
  require<DataError>(!both || (splits.has_val && splits.has_test), "[detection] ", splits.where,
                     ": to train on train and val together takes these and a test split; ",
                     splits.has_val ? "test" : "val", " is missing");
  DetectionData data{.train = read(both ? "trainval" : "train", std::vector<std::string>{})};
  const std::vector<std::string>& classes = data.train.classes;
  if (!both && splits.has_val && splits.has_test) data.validation = read("val", classes);
  data.test = read(splits.has_test ? "test" : "val", classes);
  return data;
}

DetectionData open_voc(const fs::path& folder, TrainingSplit training) {
  const Splits splits{.where = folder.string(),
                      .has_val = has_voc_split(folder, "val"),
                      .has_test = has_voc_split(folder, "test")};
  DetectionData data = read_splits(splits, training,
                                   [&](const char* split, const std::vector<std::string>& classes) {
                                     return read_voc(folder, split, classes);
                                   });
  data.name = fs::canonical(folder).filename().string();
  return data;
}

/// annotations/instances_SPLIT*.json, plain or packed, if there is one.
std::optional<fs::path> coco_file(const fs::path& folder, const std::string& split) {
  std::optional<fs::path> found;
  std::error_code ignored;
  if (!fs::is_directory(folder / "annotations", ignored)) return found;
  for (const fs::path& path : entries_of(folder / "annotations", false)) {
    const std::string name = path.filename().string();
    if (!name.starts_with("instances_" + split) || name.find(".json") == std::string::npos)
      continue;
    require<DataError>(!found, "[coco] ", folder.string(),
                       ": two files for one split: ", found.value_or("").filename().string(),
                       " and ", name, "; remove one");
    found = path;
  }
  return found;
}

DetectionSet read_coco_split(const fs::path& folder, const std::string& split) {
  const auto file = coco_file(folder, split);
  require<DataError>(file.has_value(), "[coco] ", folder.string(), ": no annotations/instances_",
                     split, "*.json");
  std::string name = file->filename().string();  // instances_train2017.json has train2017
  name = name.substr(0, name.find(".json")).substr(std::string("instances_").size());
  std::error_code ignored;
  for (const fs::path& pictures : {folder / name, folder / "images" / name, folder / "images"}) {
    if (fs::is_directory(pictures, ignored)) return read_coco(*file, pictures);
  }
  throw DataError(concat("[coco] ", folder.string(), ": expected the pictures of ", file->string(),
                         " in ", name, ", images/", name, " or images; there is no such folder"));
}

DetectionSet both(DetectionSet first, DetectionSet second) {
  first.name += " and " + second.name;
  first.dropped += second.dropped;
  std::ranges::move(second.pictures, std::back_inserter(first.pictures));
  return first;
}

DetectionData open_coco(const fs::path& folder, TrainingSplit training) {
  const Splits splits{.where = folder.string(),
                      .has_val = coco_file(folder, "val").has_value(),
                      .has_test = coco_file(folder, "test").has_value()};
  std::vector<std::int64_t> ids;
  DetectionData data = read_splits(
      splits, training, [&](const std::string& split, const std::vector<std::string>& classes) {
        DetectionSet set = read_coco_split(folder, split == "trainval" ? "train" : split);
        const bool first = classes.empty();
        require<DataError>(first || (set.classes == classes && set.category_ids == ids), "[coco] ",
                           set.name,
                           ": expected the categories of the training split: ", join_words(classes),
                           "; got ", join_words(set.classes));
        if (first) ids = set.category_ids;
        return split == "trainval" ? both(std::move(set), read_coco_split(folder, "val")) : set;
      });
  data.name = fs::canonical(folder).filename().string();
  return data;
}

void require_apart(const DetectionSet& train, const DetectionSet& other) {
  std::set<std::string_view> seen;
  for (const LabelledPicture& picture : train.pictures) seen.insert(picture.path);
  for (const LabelledPicture& picture : other.pictures)
    require<DataError>(!seen.contains(picture.path), "[detection] ", picture.path, " is in ",
                       train.name, " and in ", other.name,
                       "; a picture to be scored on must not be "
                       "trained on");
}

}  // namespace

std::string describe(const DetectionData& data) {
  std::int64_t boxes = 0, dropped = 0;
  for (const DetectionSet* set : {&data.train, &data.validation, &data.test}) {
    dropped += set->dropped;
    for (const LabelledPicture& picture : set->pictures) boxes += std::ssize(picture.boxes);
  }
  return concat(data.name, ": ", data.train.count(), " training, ", data.validation.count(),
                " validation and ", data.test.count(), " test pictures, ",
                data.train.classes.size(), " classes, ", boxes, " boxes",
                dropped > 0 ? concat(" (", dropped, " without area left out)") : "");
}

DetectionData open_detection(std::string_view where, TrainingSplit training) {
  if (where == "synthetic") return synthetic();
  const fs::path folder(where);
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    const std::vector<std::string> embedded{"synthetic"};
    const std::string nearest = nearest_word(where, embedded);
    throw DataError(concat(
        "[detection] ", fs::exists(folder, ignored) ? "not a folder: '" : "no such folder: '",
        where, "'", nearest.empty() ? "" : concat("; did you mean '", nearest, "'?"),
        ". Give a folder with ", kLookedFor, "; `synthetic` needs no files"));
  }
  const auto voc = find_voc(folder);
  const bool coco = coco_file(folder, "train").has_value();
  require<DataError>(voc.has_value() != coco, "[detection] ", folder.string(), ": looked for ",
                     kLookedFor, "; found ",
                     coco ? "both: move each into a folder of its own" : "neither");
  DetectionData data = coco ? open_coco(folder, training) : open_voc(*voc, training);
  require_apart(data.train, data.validation);
  require_apart(data.train, data.test);
  return data;
}

DetectionSet read_unlabelled_pictures(const DetectionSet& like, const std::string& path) {
  DetectionSet set{.name = path,
                   .classes = like.classes,
                   .normalization = like.normalization,
                   .category_ids = like.category_ids};
  std::error_code ignored;
  const std::vector<fs::path> files =
      fs::is_directory(path, ignored) ? entries_of(path, false) : std::vector<fs::path>{path};
  require<DataError>(!files.empty(), "[detection] ", path,
                     ": there are no pictures in this folder");
  for (const fs::path& file : files) {
    const PictureSize size = picture_size(file);
    set.pictures.push_back({.id = file.stem().string(),
                            .path = file.string(),
                            .width = size.width,
                            .height = size.height});
  }
  return set;
}

}  // namespace ebb
