#include "data/voc.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <pugixml.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/file.h"
#include "data/text.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 20> kVocClasses{
    "aeroplane", "bicycle",     "bird",  "boat",        "bottle", "bus",      "car",
    "cat",       "chair",       "cow",   "diningtable", "dog",    "horse",    "motorbike",
    "person",    "pottedplant", "sheep", "sofa",        "train",  "tvmonitor"};

/// Reads the children of one element; every message says where it is.
class Element {
 public:
  Element(pugi::xml_node node, std::string where) : node_(node), where_(std::move(where)) {}

  [[nodiscard]] Element child(const char* name) const {
    Element found(node_.child(name), concat(where_, " <", name, ">"));
    found.expect(!found.node_.empty(), "is missing");
    return found;
  }
  [[nodiscard]] std::string text() const { return node_.text().get(); }
  [[nodiscard]] double number() const {
    double value = 0;
    const std::string shown = trimmed();
    expect(parse_number(shown, value) && std::isfinite(value), "expected a number, got '", shown,
           "'");
    return value;
  }
  [[nodiscard]] std::int64_t whole(std::int64_t least) const {
    std::int64_t value = 0;
    const std::string shown = trimmed();
    expect(parse_number(shown, value) && value >= least, "expected a whole number of at least ",
           least, ", got '", shown, "'");
    return value;
  }
  /// 0 or 1; 0 where the element is missing, as in some files of VOC itself.
  [[nodiscard]] bool flag(const char* name) const {
    if (node_.child(name).empty()) return false;
    const Element found = child(name);
    const std::string shown = found.trimmed();
    found.expect(shown == "0" || shown == "1", "expected 0 or 1, got '", shown, "'");
    return shown == "1";
  }
  template <class... Parts>
  void expect(bool ok, const Parts&... parts) const {
    require<DataError>(ok, "[voc] ", where_, ": ", parts...);
  }

 private:
  [[nodiscard]] std::string trimmed() const {
    constexpr const char* blanks = " \t\r\n";
    std::string all = text();
    const std::size_t first = all.find_first_not_of(blanks);
    if (first == std::string::npos) return "";
    return all.substr(first, all.find_last_not_of(blanks) - first + 1);
  }

  pugi::xml_node node_;
  std::string where_;
};

/// The box in edges; see parse_voc.
Box box_of(const Element& bounds, std::int64_t width, std::int64_t height) {
  const double left = bounds.child("xmin").number(), top = bounds.child("ymin").number(),
               right = bounds.child("xmax").number(), bottom = bounds.child("ymax").number();
  const std::string shown = concat(left, " .. ", right, " x ", top, " .. ", bottom);
  bounds.expect(left <= right && top <= bottom, "expected a minimum and then a maximum, got ",
                shown);
  bounds.expect(left >= 1 && top >= 1 && right <= static_cast<double>(width) &&
                    bottom <= static_cast<double>(height),
                "expected pixels of a picture of ", width, " x ", height,
                ", which count from 1, got ", shown);
  const auto edge = [](double value) { return static_cast<float>(value); };
  return {edge(left - 1), edge(top - 1), edge(right), edge(bottom)};
}

fs::path picture_path(const fs::path& folder, const std::string& id) {
  std::error_code ignored;
  for (const char* ending : {".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"}) {
    fs::path path = folder / "JPEGImages" / (id + ending);
    if (fs::exists(path, ignored)) return path;
  }
  throw DataError(concat("[voc] ", (folder / "JPEGImages" / id).string(),
                         ": no such picture (.jpg, .jpeg or .png), but the annotation is there"));
}

std::string_view text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

fs::path list_of(const fs::path& folder, std::string_view split) {
  return folder / "ImageSets" / "Main" / concat(split, ".txt");
}

std::vector<std::string> names_in(const fs::path& list) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  std::error_code ignored;
  const bool empty = fs::is_regular_file(list, ignored) && fs::file_size(list, ignored) == 0;
  const std::vector<std::byte> bytes = empty ? std::vector<std::byte>{} : read_data_file(list);
  for (std::string name : split_at(text_of(bytes), '\n')) {
    while (!name.empty() && (name.back() == '\r' || name.back() == ' ')) name.pop_back();
    if (name.empty()) continue;
    require<DataError>(name.find_first_of("/\\ \t") == std::string::npos, "[voc] ", list.string(),
                       ": expected the name of a picture without folder and ending, got '", name,
                       "'");
    require<DataError>(seen.insert(name).second, "[voc] ", list.string(), ": '", name,
                       "' is listed twice; remove one");
    names.push_back(std::move(name));
  }
  require<DataError>(!names.empty(), "[voc] ", list.string(), ": the split lists no pictures");
  return names;
}

/// Of the objects of some annotations, see read_voc.
std::vector<std::string> classes_of(const std::vector<VocAnnotation>& annotations) {
  std::set<std::string> found;
  for (const VocAnnotation& each : annotations) {
    for (const VocAnnotation::Object& object : each.objects) found.insert(object.name);
  }
  const bool all_known = std::ranges::all_of(found, [](const std::string& name) {
    return std::ranges::find(kVocClasses, name) != kVocClasses.end();
  });
  if (all_known) return {kVocClasses.begin(), kVocClasses.end()};
  return {found.begin(), found.end()};
}

std::vector<BoxLabel> labelled(const VocAnnotation& annotation, const fs::path& file,
                               const std::vector<std::string>& classes) {
  std::vector<BoxLabel> boxes;
  for (const VocAnnotation::Object& object : annotation.objects) {
    const auto at = std::ranges::find(classes, object.name);
    require<DataError>(at != classes.end(), "[voc] ", file.string(), ": ",
                       unknown_word("class", object.name, classes),
                       " (those of the training split)");
    boxes.push_back({.box = object.box,
                     .label = static_cast<std::int32_t>(at - classes.begin()),
                     .difficult = object.difficult,
                     .truncated = object.truncated});
  }
  return boxes;
}

bool is_voc(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "Annotations", ignored) &&
         fs::is_directory(folder / "ImageSets" / "Main", ignored);
}

}  // namespace

VocAnnotation parse_voc(std::string_view xml, std::string_view name) {
  const std::size_t bad = first_not_utf8(xml);
  require<DataError>(bad == std::string_view::npos, "[voc] ", name, ": byte ", bad,
                     " is not UTF-8; convert the file");
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
  require<DataError>(static_cast<bool>(result), "[voc] ", name, ": not XML at byte ", result.offset,
                     ": ", result.description());
  const Element root = Element(document, std::string(name)).child("annotation");
  const Element size = root.child("size");
  VocAnnotation annotation{.width = size.child("width").whole(1),
                           .height = size.child("height").whole(1)};
  std::int64_t number = 0;
  for (const pugi::xml_node node : document.child("annotation").children("object")) {
    const Element object(node, concat(name, ": object ", ++number));
    const Element bounds = object.child("bndbox");
    VocAnnotation::Object read{.name = object.child("name").text(),
                               .box = box_of(bounds, annotation.width, annotation.height),
                               .difficult = object.flag("difficult"),
                               .truncated = object.flag("truncated")};
    object.expect(!read.name.empty(), "<name> is empty");
    if (bounds.child("xmin").number() == bounds.child("xmax").number() ||
        bounds.child("ymin").number() == bounds.child("ymax").number() ||
        !(read.box.width() > 0 && read.box.height() > 0)) {  // what float32 has no room for
      ++annotation.dropped;
    } else {
      annotation.objects.push_back(std::move(read));
    }
  }
  return annotation;
}

std::optional<fs::path> find_voc(const fs::path& where) {
  if (is_voc(where)) return where;
  std::optional<fs::path> found;
  std::error_code ignored;
  for (const fs::path& parent : {where, where / "VOCdevkit"}) {
    for (fs::directory_iterator entry(parent, ignored), end; !ignored && entry != end;
         entry.increment(ignored)) {
      if (!is_voc(entry->path())) continue;
      require<DataError>(!found, "[voc] ", where.string(), ": holds several sets, ",
                         found.value_or("").string(), " and ", entry->path().string(),
                         "; give one of these");
      found = entry->path();
    }
  }
  return found;
}

bool has_voc_split(const fs::path& folder, std::string_view split) {
  std::error_code ignored;
  return fs::is_regular_file(list_of(folder, split), ignored);
}

DetectionSet read_voc(const fs::path& folder, std::string_view split,
                      const std::vector<std::string>& classes) {
  const std::vector<std::string> ids = names_in(list_of(folder, split));
  std::vector<VocAnnotation> annotations;
  const auto file_of = [&](const std::string& id) {
    return folder / "Annotations" / (id + ".xml");
  };
  for (const std::string& id : ids)
    annotations.push_back(parse_voc(text_of(read_data_file(file_of(id))), file_of(id).string()));
  DetectionSet set{.name = concat(fs::canonical(folder).filename().string(), " ", split),
                   .classes = classes.empty() ? classes_of(annotations) : classes,
                   .normalization = imagenet_normalization()};
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const VocAnnotation& each = annotations[i];
    const fs::path path = picture_path(folder, ids[i]);
    const PictureSize size = picture_size(path);
    require<DataError>(size.width == each.width && size.height == each.height, "[voc] ",
                       file_of(ids[i]).string(), ": expected the size of ", path.string(), ", ",
                       size.width, " x ", size.height, ", got ", each.width, " x ", each.height);
    set.dropped += each.dropped;
    set.pictures.push_back({.id = ids[i],
                            .path = path.string(),
                            .width = each.width,
                            .height = each.height,
                            .boxes = labelled(each, file_of(ids[i]), set.classes)});
  }
  return set;
}

}  // namespace ebb
