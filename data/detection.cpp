#include "data/detection.h"

#include <bit>
#include <exception>
#include <span>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sha256.h"
#include "data/file.h"
#include "data/scenes.h"

namespace ebb {
namespace {

/// Of the bytes of every file, "" of generated pictures.
std::vector<std::string> digests_of(const std::vector<LabelledPicture>& pictures) {
  std::vector<std::string> digests(pictures.size());
  std::vector<std::exception_ptr> errors(pictures.size());  // since threads cannot throw
  const auto digest = [&](std::int64_t first, std::int64_t last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      try {
        if (!pictures[i].path.empty()) digests[i] = sha256_hex(read_data_file(pictures[i].path));
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  parallel_for(std::ssize(pictures), digest, 16, 1);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return digests;
}

std::string text_of(const BoxLabel& box) {
  const auto bits = [](float edge) { return std::bit_cast<std::uint32_t>(edge); };
  return concat(bits(box.box.left), ' ', bits(box.box.top), ' ', bits(box.box.right), ' ',
                bits(box.box.bottom), ' ', box.label, ' ', box.difficult, box.crowd, '\n');
}

}  // namespace

std::int64_t DetectionSet::category_id(std::int32_t label) const {
  return category_ids.empty() ? label + std::int64_t{1}
                              : category_ids[static_cast<std::size_t>(label)];
}

std::string DetectionSet::fingerprint() const {
  Sha256 hash;
  for (std::size_t i = 0; i < classes.size(); ++i)
    hash.update(concat(category_id(static_cast<std::int32_t>(i)), ' ', classes[i], '\n'));
  const std::vector<std::string> digests = digests_of(pictures);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const LabelledPicture& picture = pictures[i];
    hash.update(concat(picture.id, ' ', picture.width, ' ', picture.height, ' ',
                       picture.path.empty() ? to_text(scenes.value()) : digests[i], '\n'));
    for (const BoxLabel& box : picture.boxes) hash.update(text_of(box));
  }
  return hash.hex();
}

Picture read_picture(const DetectionSet& set, std::int64_t index) {
  const LabelledPicture& picture = set.pictures[static_cast<std::size_t>(index)];
  if (picture.path.empty()) return scene(set.scenes, index);
  Picture decoded = decode_picture(read_data_file(picture.path), picture.path);
  require<DataError>(decoded.width == picture.width && decoded.height == picture.height,
                     "[detection] ", picture.path, ": expected a picture of ", picture.width, " x ",
                     picture.height, " as ", set.name, " says, got ", decoded.width, " x ",
                     decoded.height, "; did it change since the set was opened?");
  return decoded;
}

Normalization imagenet_normalization() {
  return {.mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};
}

}  // namespace ebb
