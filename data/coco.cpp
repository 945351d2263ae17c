#include "data/coco.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "core/error.h"
#include "data/file.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// A value with its place, "annotations[3].bbox", for messages.
class Member {
 public:
  Member(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  [[nodiscard]] Member at(const char* name) const {
    expect(value_->is_object(), "expected an object, got ", value_->type_name());
    const auto found = value_->find(name);
    expect(found != value_->end(), "has no member '", name, "'");
    return {*found, concat(where_, ".", name)};
  }
  [[nodiscard]] bool has(const char* name) const {
    return value_->is_object() && value_->contains(name);
  }
  [[nodiscard]] std::size_t size() const {
    expect(value_->is_array(), "expected a list, got ", value_->type_name());
    return value_->size();
  }
  [[nodiscard]] Member operator[](std::size_t i) const {
    return {(*value_)[i], concat(where_, "[", i, "]")};
  }
  [[nodiscard]] std::string text() const {
    expect(value_->is_string(), "expected a string, got ", value_->type_name());
    return value_->get<std::string>();
  }
  [[nodiscard]] std::int64_t whole() const {
    const bool fits =
        value_->is_number_integer() &&
        (!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= std::uint64_t{1} << 62);
    expect(fits, "expected a whole number, got ", shown());
    return value_->get<std::int64_t>();
  }
  [[nodiscard]] double number() const {
    expect(value_->is_number(), "expected a number, got ", shown());
    const auto value = value_->get<double>();
    expect(std::isfinite(static_cast<float>(value)),
           "expected a number that float32 can hold, got ", shown());
    return value;
  }
  /// An id as a text: COCO's are whole numbers, other makers' may be strings.
  [[nodiscard]] std::string id() const { return value_->is_string() ? text() : to_text(whole()); }

  template <class... Parts>
  void expect(bool ok, const Parts&... parts) const {
    require<DataError>(ok, "[coco] ", where_, ": ", parts...);
  }

 private:
  [[nodiscard]] std::string shown() const {
    return value_->is_number() ? value_->dump() : value_->type_name();
  }

  const Json* value_;
  std::string where_;
};

Json parse(std::string_view json, std::string_view name) {
  // Segmentations are most of such a file.
  const auto keep = [](int, Json::parse_event_t event, Json& value) {
    return event != Json::parse_event_t::key || value != "segmentation";
  };
  try {
    return Json::parse(json.begin(), json.end(), keep);
  } catch (const Json::parse_error& error) {
    throw DataError(concat("[coco] ", name, ": not JSON at byte ", error.byte, ": ", error.what()));
  } catch (const Json::exception& error) {
    throw DataError(concat("[coco] ", name, ": not JSON: ", error.what()));
  }
}

/// [x, y, width, height]
Box box_of(const Member& list) {
  list.expect(list.size() == 4, "expected [x, y, width, height], got ", list.size(), " numbers");
  const double x = list[0].number(), y = list[1].number(), width = list[2].number(),
               height = list[3].number();
  list.expect(width >= 0 && height >= 0, "expected a size of 0 or more, got ", width, " x ",
              height);
  const auto edge = [](double value) { return static_cast<float>(value); };
  const Box box{edge(x), edge(y), edge(x + width), edge(y + height)};
  list.expect(std::isfinite(box.right) && std::isfinite(box.bottom),
              "expected a box that float32 can hold");
  return box;
}

void read_categories(const Member& categories, DetectionSet& set) {
  std::map<std::int64_t, std::string> by_id;
  for (std::size_t i = 0; i < categories.size(); ++i) {
    const Member each = categories[i];
    const std::int64_t id = each.at("id").whole();
    each.expect(by_id.emplace(id, each.at("name").text()).second, "the id ", id, " is there twice");
  }
  categories.expect(!by_id.empty(), "there are no categories");
  for (auto& [id, class_name] : by_id) {
    set.category_ids.push_back(id);
    set.classes.push_back(class_name);
  }
}

using Places = std::map<std::string, std::size_t>;

Places read_images(const Member& images, DetectionSet& set) {
  Places place;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Member each = images[i];
    LabelledPicture picture{.id = each.at("id").id(),
                            .path = each.at("file_name").text(),
                            .width = each.at("width").whole(),
                            .height = each.at("height").whole()};
    each.expect(picture.width >= 1 && picture.height >= 1 && !picture.path.empty(),
                "expected a file_name and a size of at least 1 x 1, got '", picture.path, "', ",
                picture.width, " x ", picture.height);
    each.expect(place.emplace(picture.id, i).second, "the id ", picture.id, " is there twice");
    set.pictures.push_back(std::move(picture));
  }
  images.expect(!set.pictures.empty(), "there are no images");
  return place;
}

std::int32_t label_of(const Member& id, std::span<const std::int64_t> ids) {
  const std::int64_t given = id.whole();
  const auto at = std::ranges::lower_bound(ids, given);
  id.expect(at != ids.end() && *at == given, "no category has the id ", given, "; there are ",
            ids.size(), ", ", ids.front(), " .. ", ids.back());
  return static_cast<std::int32_t>(at - ids.begin());
}

std::size_t place_of(const Member& id, const Places& places) {
  const auto at = places.find(id.id());
  id.expect(at != places.end(), "no picture has the id ", id.id());
  return at->second;
}

bool flag(const Member& object, const char* name) {
  if (!object.has(name)) return false;
  const std::int64_t value = object.at(name).whole();
  object.at(name).expect(value == 0 || value == 1, "expected 0 or 1, got ", value);
  return value == 1;
}

void read_annotations(const Member& annotations, const Places& places, DetectionSet& set) {
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    const Member each = annotations[i];
    LabelledPicture& picture = set.pictures[place_of(each.at("image_id"), places)];
    const BoxLabel label{.box = box_of(each.at("bbox")),
                         .label = label_of(each.at("category_id"), set.category_ids),
                         .crowd = flag(each, "iscrowd")};
    const auto& [left, top, right, bottom] = label.box;
    each.expect(left >= -1 && top >= -1 && right <= static_cast<float>(picture.width + 1) &&
                    bottom <= static_cast<float>(picture.height + 1),
                "expected a box inside its picture of ", picture.width, " x ", picture.height,
                ", got ", left, " .. ", right, " x ", top, " .. ", bottom);
    if (label.box.width() > 0 && label.box.height() > 0) {
      picture.boxes.push_back(label);
    } else {
      ++set.dropped;
    }
  }
}

std::vector<std::int64_t> ids_of(const DetectionSet& set) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < set.classes.size(); ++i)
    ids.push_back(set.category_id(static_cast<std::int32_t>(i)));
  return ids;
}

/// As in the file of annotations: a number where it reads like one.
std::string id_text(const std::string& id) {
  std::int64_t value = 0;
  return parse_number(id, value) && to_text(value) == id ? id : Json(id).dump();
}

/// The number that a reader sees in the text of an edge; sizes are taken from it, so that the other
/// edge comes back to the bit.
double as_read(float edge) {
  double value = 0;
  parse_number(to_text(edge), value);
  return value;
}

std::string_view text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

DetectionSet parse_coco(std::string_view json, std::string_view name) {
  const Json all = parse(json, name);
  const Member root(all, std::string(name));
  DetectionSet set{.name = std::string(name), .normalization = imagenet_normalization()};
  read_categories(root.at("categories"), set);
  const Places places = read_images(root.at("images"), set);
  read_annotations(root.at("annotations"), places, set);
  return set;
}

DetectionSet read_coco(const fs::path& file, const fs::path& folder) {
  DetectionSet set = parse_coco(text_of(read_data_file(file)), file.string());
  for (LabelledPicture& picture : set.pictures) {
    const fs::path given(picture.path);
    const bool inside = given.is_relative() && std::ranges::find(given, "..") == given.end();
    require<DataError>(inside, "[coco] ", file.string(), ": file_name '", picture.path,
                       "' leads out of the folder of pictures");
    const fs::path path = folder / given;
    const PictureSize size = picture_size(path);
    require<DataError>(size.width == picture.width && size.height == picture.height, "[coco] ",
                       file.string(), ": expected the size of ", path.string(), ", ", size.width,
                       " x ", size.height, ", got ", picture.width, " x ", picture.height);
    picture.path = path.string();
  }
  return set;
}

std::string coco_results(const DetectionSet& set,
                         const std::vector<std::vector<Detection>>& found) {
  require<ConfigError>(found.size() == set.pictures.size(), "[coco] expected detections of ",
                       set.count(), " pictures, got ", found.size(), " lists");
  std::string text = "[";
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const Detection& each : found[i]) {
      const Box& box = each.box;
      text += concat(text.size() > 1 ? ",\n" : "\n", R"({"image_id":)", id_text(set.pictures[i].id),
                     R"(,"category_id":)", set.category_id(each.label), R"(,"bbox":[)", box.left,
                     ",", box.top, ",", double{box.right} - as_read(box.left), ",",
                     double{box.bottom} - as_read(box.top), R"(],"score":)", each.score, "}");
    }
  }
  return text + "\n]\n";
}

std::vector<std::vector<Detection>> parse_coco_results(std::string_view json, std::string_view name,
                                                       const DetectionSet& set) {
  const Json all = parse(json, name);
  const Member root(all, std::string(name));
  const std::vector<std::int64_t> ids = ids_of(set);
  Places places;
  for (std::size_t i = 0; i < set.pictures.size(); ++i) places.emplace(set.pictures[i].id, i);
  std::vector<std::vector<Detection>> found(set.pictures.size());
  for (std::size_t i = 0; i < root.size(); ++i) {
    const Member each = root[i];
    found[place_of(each.at("image_id"), places)].push_back(
        {.box = box_of(each.at("bbox")),
         .label = label_of(each.at("category_id"), ids),
         .score = static_cast<float>(each.at("score").number())});
  }
  return found;
}

}  // namespace ebb
