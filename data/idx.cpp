#include "data/idx.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <utility>

#include "core/error.h"
#include "core/memory.h"
#include "data/file.h"

namespace ebb {
namespace {

constexpr std::int64_t kMaxClasses = 1 << 16;

/// The unsigned number of sizeof(U) bytes at p, most significant byte first.
template <std::unsigned_integral U>
U big_endian(const std::byte* p) {
  U value = 0;
  for (std::size_t i = 0; i < sizeof(U); ++i)
    value = static_cast<U>((value << 8) | std::to_integer<U>(p[i]));
  return value;
}

template <class T>
using BitsOf = std::conditional_t<
    sizeof(T) == 1, std::uint8_t,
    std::conditional_t<sizeof(T) == 2, std::uint16_t,
                       std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;

/// An empty container of the element type that the code names; nothing for a code outside the
/// format.
std::optional<IdxValues> values_of_type(int code) {
  switch (code) {
    case 0x08: return std::vector<std::uint8_t>{};
    case 0x09: return std::vector<std::int8_t>{};
    case 0x0B: return std::vector<std::int16_t>{};
    case 0x0C: return std::vector<std::int32_t>{};
    case 0x0D: return std::vector<float>{};
    case 0x0E: return std::vector<double>{};
    default: return std::nullopt;
  }
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text.append(text.empty() ? "" : " ")
        .append({"0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]});
  }
  return text;
}

std::string dims_text(std::span<const std::int64_t> dims) {
  std::vector<std::string> words;
  for (const std::int64_t extent : dims) words.push_back(to_text(extent));
  return concat("[", join_words(words), "]");
}

template <class T>
void decode(std::span<const std::byte> body, std::size_t header, const std::string& name,
            std::vector<T>& values) {
  allocate(
      body.size(), [&] { values.resize(body.size() / sizeof(T)); }, "the elements of ", name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = std::bit_cast<T>(big_endian<BitsOf<T>>(body.data() + i * sizeof(T)));
    if constexpr (std::floating_point<T>) {
      require<DataError>(std::isfinite(values[i]), "[idx] ", name, ": element ", i, " at byte ",
                         header + i * sizeof(T), " is ", values[i], "; expected finite numbers");
    }
  }
}

std::vector<std::int32_t> integer_labels(const IdxArray& labels) {
  return std::visit(
      [&]<class T>(const std::vector<T>& values) {
        require<DataError>(std::integral<T>, "[idx] ", labels.name,
                           ": expected labels of an integer type, got floating point");
        return std::vector<std::int32_t>(values.begin(), values.end());
      },
      labels.values);
}

std::variant<std::vector<std::uint8_t>, std::vector<float>> as_pixels(IdxArray&& images) {
  if (auto* bytes = std::get_if<std::vector<std::uint8_t>>(&images.values))
    return std::move(*bytes);
  return std::visit(
      [&]<class T>(const std::vector<T>& values) {
        auto reals = allocate(
            uint128{values.size()} * sizeof(float),
            [&] { return std::vector<float>(values.size()); }, "the pixels of ", images.name);
        std::ranges::transform(values, reals.begin(),
                               [](T value) { return static_cast<float>(value); });
        return reals;
      },
      images.values);
}

}  // namespace

IdxArray parse_idx(std::span<const std::byte> bytes, std::string name) {
  require<DataError>(!bytes.empty(), "[idx] ", name, ": the file is empty");
  require<DataError>(bytes.size() >= 4, "[idx] ", name,
                     ": expected a header of at least 4 bytes, got ", bytes.size(),
                     "; the file is truncated");
  const auto type = std::to_integer<int>(bytes[2]);
  const auto rank = std::to_integer<std::size_t>(bytes[3]);
  auto values = values_of_type(type);
  require<DataError>(
      bytes[0] == std::byte{0} && bytes[1] == std::byte{0} && values.has_value() && rank >= 1,
      "[idx] ", name,
      ": expected the first bytes 00 00 TYPE RANK with TYPE 08, 09, 0b, 0c, 0d or 0e and RANK >= "
      "1, got ",
      hex(bytes.first(4)), "; this is no IDX file");
  const std::size_t header = 4 + 4 * rank;
  require<DataError>(bytes.size() >= header, "[idx] ", name, ": expected a header of ", header,
                     " bytes for ", rank, " axes, got ", bytes.size(),
                     " bytes; the file is truncated");
  IdxArray array{.name = std::move(name), .dims = {}, .values = std::move(*values)};
  const std::span<const std::byte> body = bytes.subspan(header);
  const std::size_t width =
      std::visit([]<class T>(const std::vector<T>&) { return sizeof(T); }, array.values);
  for (std::size_t axis = 0; axis < rank; ++axis)
    array.dims.push_back(big_endian<std::uint32_t>(bytes.data() + 4 + 4 * axis));
  // The product may pass any integer type; past the size of the file its exact value no longer
  // matters.
  const bool empty = std::ranges::find(array.dims, 0) != array.dims.end();
  uint128 promised = empty ? 0 : width;
  for (const std::int64_t extent : array.dims) {
    if (promised <= body.size()) promised *= static_cast<uint128>(extent);
  }
  require<DataError>(promised <= body.size(), "[idx] ", array.name, ": the header promises ",
                     dims_text(array.dims), " elements of ", width, " bytes, but only ",
                     body.size(), " bytes follow; the file is truncated or its header is wrong");
  require<DataError>(promised == body.size(), "[idx] ", array.name, ": the header promises ",
                     dims_text(array.dims), " elements of ", width, " bytes, but ", body.size(),
                     " bytes follow, ", uint128{body.size()} - promised, " too many");
  std::visit([&](auto& target) { decode(body, header, array.name, target); }, array.values);
  return array;
}

IdxArray read_idx(const std::string& path) { return parse_idx(read_data_file(path), path); }

ImageSet idx_image_set(IdxArray images, const IdxArray& labels, std::optional<int> classes,
                       std::string name) {
  const std::vector<std::int64_t>& dims = images.dims;
  require<DataError>(dims.size() == 3 || dims.size() == 4, "[idx] ", images.name,
                     ": expected images [n, height, width] or [n, height, width, channels], got ",
                     dims_text(dims), "; is it a file of labels?");
  require<DataError>(labels.dims.size() == 1, "[idx] ", labels.name, ": expected labels [n], got ",
                     dims_text(labels.dims), "; is it a file of images?");
  require<DataError>(dims[0] == labels.dims[0], "[idx] ", images.name, " has ", dims[0],
                     " images, but ", labels.name, " has ", labels.dims[0],
                     " labels; they belong to different sets");
  require<DataError>(std::ranges::find(dims, 0) == dims.end(), "[idx] ", images.name, ": ",
                     dims_text(dims), " holds no pixels");

  ImageSet set{.name = std::move(name),
               .shape = {dims[1], dims[2], dims.size() == 4 ? dims[3] : 1},
               .classes = 0,
               .pixels = {},
               .labels = integer_labels(labels),
               .normalization = {}};
  const std::int64_t most = classes.value_or(kMaxClasses);
  for (std::size_t i = 0; i < set.labels.size(); ++i) {
    require<DataError>(set.labels[i] >= 0 && set.labels[i] < most, "[idx] ", labels.name,
                       ": label ", set.labels[i], " of image ", i, " is outside 0 .. ", most - 1);
  }
  set.classes = classes.value_or(*std::ranges::max_element(set.labels) + 1);
  set.pixels = as_pixels(std::move(images));
  require_consistent(set);
  return set;
}

}  // namespace ebb
