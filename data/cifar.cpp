#include "data/cifar.h"

#include "core/error.h"
#include "core/memory.h"
#include "data/file.h"

namespace ebb {
namespace {

constexpr std::size_t kPlane = 32 * 32;
constexpr std::size_t kPixels = 3 * kPlane;

struct LabelByte {
  const char* name;
  int classes;
};
constexpr LabelByte kTen[] = {{"label", 10}};
constexpr LabelByte kHundred[] = {{"coarse label", 20}, {"fine label", 100}};

std::span<const LabelByte> label_bytes(CifarLabels labels) {
  return labels == CifarLabels::ten ? std::span<const LabelByte>(kTen)
                                    : std::span<const LabelByte>(kHundred);
}

/// Which of a record's label bytes is wanted.
std::size_t wanted(CifarLabels labels) { return labels == CifarLabels::fine ? 1 : 0; }

}  // namespace

ImageSet cifar_image_set(CifarLabels labels, std::string name) {
  return {
      .name = std::move(name),
      .shape = {32, 32, 3},
      .classes = label_bytes(labels)[wanted(labels)].classes,
      .pixels = std::vector<std::uint8_t>{},
      .labels = {},
      .normalization = {.mean = {0.4914f, 0.4822f, 0.4465f}, .std = {0.2023f, 0.1994f, 0.2010f}}};
}

void append_cifar(ImageSet& set, std::span<const std::byte> bytes, CifarLabels labels,
                  std::string_view file) {
  const auto heads = label_bytes(labels);
  const std::size_t record = heads.size() + kPixels;
  require<DataError>(!bytes.empty(), "[cifar] ", file, ": the file is empty");
  require<DataError>(bytes.size() % record == 0, "[cifar] ", file, ": expected whole records of ",
                     record, " bytes, got ", bytes.size(), " bytes: ", bytes.size() / record,
                     " records and ", bytes.size() % record,
                     " bytes; the file is truncated or of the other CIFAR set");
  const std::size_t count = bytes.size() / record;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t head = 0; head < heads.size(); ++head) {
      const auto label = std::to_integer<int>(bytes[i * record + head]);
      require<DataError>(label < heads[head].classes, "[cifar] ", file, ": record ", i, " at byte ",
                         i * record + head, " has ", heads[head].name, " ", label,
                         "; expected 0 .. ", heads[head].classes - 1);
    }
  }
  auto& pixels = std::get<std::vector<std::uint8_t>>(set.pixels);
  const std::size_t before = set.labels.size();
  set.labels.resize(before + count);
  allocate((before + count) * kPixels, [&] { pixels.resize((before + count) * kPixels); },
           "the pixels of ", set.name);
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* source = bytes.data() + i * record;
    set.labels[before + i] = std::to_integer<std::int32_t>(source[wanted(labels)]);
    source += heads.size();
    std::uint8_t* target = pixels.data() + (before + i) * kPixels;
    for (std::size_t p = 0; p < kPlane; ++p) {
      for (std::size_t channel = 0; channel < 3; ++channel)
        *target++ = std::to_integer<std::uint8_t>(source[channel * kPlane + p]);
    }
  }
}

ImageSet read_cifar(std::span<const std::string> files, CifarLabels labels, std::string name) {
  require<DataError>(!files.empty(), "[cifar] ", name, ": no files to read");
  ImageSet set = cifar_image_set(labels, std::move(name));
  for (const std::string& file : files) append_cifar(set, read_data_file(file), labels, file);
  return set;
}

}  // namespace ebb
