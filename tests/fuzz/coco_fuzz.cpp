#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "data/coco.h"

using namespace ebb;

// What is accepted as instances has categories and pictures, and boxes of known classes with an
// area; as results of a set of one picture it comes back from what is written.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const DetectionSet set = parse_coco(text, "input");
    if (set.classes.empty() || set.pictures.empty()) std::abort();
    for (const LabelledPicture& picture : set.pictures) {
      for (const BoxLabel& each : picture.boxes) {
        if (each.label < 0 || each.label >= std::ssize(set.classes) || !(each.box.width() > 0))
          std::abort();
      }
    }
  } catch (const DataError&) {
    DetectionSet one{.name = "one", .classes = {"a", "b"}};
    one.pictures.push_back({.id = "1"});
    try {
      const auto found = parse_coco_results(text, "input", one);
      const auto again = parse_coco_results(coco_results(one, found), "again", one);
      if (again[0].size() != found[0].size()) std::abort();
    } catch (const DataError&) {
      return 0;
    }
  }
  return 0;
}
