#include "train/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/memory.h"

static_assert(std::endian::native == std::endian::little,
              "safetensors are little-endian and copied as they are");

namespace ebb::train {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::size_t kMaxRank = 16;
constexpr int kMaxDepth = 3;  // header object > tensor object > shape or offsets

struct DTypeName {
  DType dtype;
  std::string_view name;
  std::int64_t size;
};
constexpr std::array<DTypeName, 5> kDTypes{{{DType::u8, "U8", 1},
                                            {DType::i64, "I64", 8},
                                            {DType::u64, "U64", 8},
                                            {DType::f32, "F32", 4},
                                            {DType::f64, "F64", 8}}};

const DTypeName& info(DType dtype) {
  return *std::find_if(kDTypes.begin(), kDTypes.end(),
                       [&](const DTypeName& known) { return known.dtype == dtype; });
}

// Bytes of an array, or -1 if that is negative or no signed 64-bit number.
std::int64_t byte_count(DType dtype, std::span<const std::int64_t> shape) {
  std::int64_t count = size_of(dtype);
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return -1;
    empty = empty || extent == 0;
    if (extent > 0 && __builtin_mul_overflow(count, extent, &count)) return -1;
  }
  return empty ? 0 : count;
}

template <class T>
StoredTensor store(std::string name, DType dtype, std::vector<std::int64_t> shape,
                   std::span<const T> values) {
  const std::size_t size = values.size_bytes();
  std::string bytes = allocate(
      size, [&] { return std::string(size, '\0'); }, "a copy of '", name, "' for a file");
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return {std::move(name), dtype, std::move(shape), std::move(bytes)};
}

template <class T>
StoredTensor store(std::string name, DType dtype, std::span<const T> values) {
  return store(std::move(name), dtype, {static_cast<std::int64_t>(values.size())}, values);
}

template <class T>
std::vector<T> load(const StoredTensor& stored, DType dtype) {
  require<DataError>(stored.dtype == dtype && stored.shape.size() == 1, "[safetensors] '",
                     stored.name, "': expected a vector of ", name_of(dtype), ", got ",
                     stored.shape.size(), " axes of ", name_of(stored.dtype));
  std::vector<T> values(stored.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), stored.bytes.data(), values.size() * sizeof(T));
  return values;
}

// What a plain parse would let pass: deep nesting and equal keys. The library's own filter of
// events looks at all entries of an object whenever one of them ends, so this reads the text in a
// pass of its own.
struct HeaderCheck {
  std::vector<std::set<std::string>> keys{};
  int depth = 0;

  // NOLINTBEGIN(readability-named-parameter): the names of the library's interface
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(Json::number_integer_t) { return true; }
  bool number_unsigned(Json::number_unsigned_t) { return true; }
  bool number_float(Json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(Json::binary_t&) { return true; }
  bool start_object(std::size_t) {
    keys.emplace_back();
    return descend();
  }
  bool key(std::string& name) {
    require<DataError>(keys.back().insert(name).second, "[safetensors] '", name, "' appears twice");
    return true;
  }
  bool end_object() {
    keys.pop_back();
    return end_array();
  }
  bool start_array(std::size_t) { return descend(); }
  bool end_array() {
    --depth;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) {
    return false;
  }  // said by the parse
  // NOLINTEND(readability-named-parameter)

  bool descend() {
    require<DataError>(++depth <= kMaxDepth, "[safetensors] the header nests deeper than ",
                       kMaxDepth, " levels");
    return true;
  }
};

Json parse_header(std::string_view text) {
  HeaderCheck check;
  Json::sax_parse(text, &check);
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(concat("[safetensors] the header is not JSON: ", error.what()));
  }
}

std::vector<std::int64_t> integers_of(const Json& list, const std::string& name,
                                      std::string_view field, std::size_t most) {
  require<DataError>(list.is_array() && list.size() <= most, "[safetensors] '", name,
                     "': expected ", field, " to be a list of at most ", most, " integers");
  std::vector<std::int64_t> values;
  for (const Json& item : list) {
    const bool fits = item.is_number_unsigned() &&
                      item.get<std::uint64_t>() <=
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    require<DataError>(fits, "[safetensors] '", name, "': expected ", field,
                       " to hold integers of 0 and more, got ", item.dump());
    values.push_back(item.get<std::int64_t>());
  }
  return values;
}

// A tensor of the header, its bytes still to be taken from the data.
struct Entry {
  StoredTensor tensor;
  std::int64_t begin, end;
};

Entry parse_entry(const std::string& name, const Json& fields) {
  require<DataError>(fields.is_object() && fields.size() == 3 && fields.contains("dtype") &&
                         fields.contains("shape") && fields.contains("data_offsets") &&
                         fields["dtype"].is_string(),
                     "[safetensors] '", name, "': expected dtype, shape and data_offsets");
  const auto& dtype_name = fields["dtype"].get_ref<const std::string&>();
  const auto known = std::find_if(kDTypes.begin(), kDTypes.end(),
                                  [&](const DTypeName& d) { return d.name == dtype_name; });
  require<DataError>(known != kDTypes.end(), "[safetensors] '", name,
                     "': expected dtype U8, I64, U64, F32 or F64, got '", dtype_name, "'");
  std::vector<std::int64_t> shape = integers_of(fields["shape"], name, "shape", kMaxRank);
  const std::vector<std::int64_t> range =
      integers_of(fields["data_offsets"], name, "data_offsets", 2);
  const std::int64_t size = byte_count(known->dtype, shape);
  require<DataError>(
      size >= 0 && range.size() == 2 && range[1] >= range[0] && range[1] - range[0] == size,
      "[safetensors] '", name, "': shape ", fields["shape"].dump(), " of ", dtype_name,
      " does not take the bytes ", fields["data_offsets"].dump());
  return {{name, known->dtype, std::move(shape), {}}, range[0], range[1]};
}

}  // namespace

std::int64_t size_of(DType dtype) { return info(dtype).size; }
std::string_view name_of(DType dtype) { return info(dtype).name; }

StoredTensor StoredTensor::of(std::string name, const Tensor& value) {
  const auto extents = value.shape().extents();
  return store(std::move(name), DType::f32, {extents.begin(), extents.end()}, value.values());
}
StoredTensor StoredTensor::of(std::string name, std::span<const double> values) {
  return store(std::move(name), DType::f64, values);
}
StoredTensor StoredTensor::of(std::string name, std::span<const std::int64_t> values) {
  return store(std::move(name), DType::i64, values);
}
StoredTensor StoredTensor::of(std::string name, std::span<const std::uint64_t> values) {
  return store(std::move(name), DType::u64, values);
}
StoredTensor StoredTensor::of(std::string name, std::string_view text) {
  return {std::move(name), DType::u8, {static_cast<std::int64_t>(text.size())}, std::string(text)};
}

Tensor StoredTensor::tensor() const {
  require<DataError>(
      dtype == DType::f32 && shape.size() <= static_cast<std::size_t>(Shape::kMaxRank),
      "[safetensors] '", name, "': expected F32 with at most ", Shape::kMaxRank, " axes, got ",
      name_of(dtype), " with ", shape.size());
  // A shape with a zero may name extents whose product no Shape can hold.
  require<DataError>(
      byte_count(dtype, shape) > 0 ||
          std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n < (1 << 30); }),
      "[safetensors] '", name, "': an empty tensor with an extent beyond 2^30");
  Tensor value = Tensor::uninitialized(Shape(std::span<const std::int64_t>(shape)));
  if (!bytes.empty()) std::memcpy(value.data(), bytes.data(), bytes.size());
  return value;
}
std::vector<double> StoredTensor::doubles() const { return load<double>(*this, DType::f64); }
std::vector<std::int64_t> StoredTensor::integers() const {
  return load<std::int64_t>(*this, DType::i64);
}
std::vector<std::uint64_t> StoredTensor::words() const {
  return load<std::uint64_t>(*this, DType::u64);
}
std::string StoredTensor::text() const {
  require<DataError>(dtype == DType::u8 && shape.size() == 1, "[safetensors] '", name,
                     "': expected a vector of U8");
  return bytes;
}

const StoredTensor* SafeTensors::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const StoredTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

const StoredTensor& SafeTensors::at(std::string_view name) const {
  const StoredTensor* found = find(name);
  require<DataError>(found != nullptr, "[safetensors] expected a tensor '", name,
                     "', the file has none");
  return *found;
}

std::string to_safetensors(const SafeTensors& file) {
  Json header = Json::object();
  header[std::string(kMetadata)] = file.metadata;
  std::set<std::string> names{std::string(kMetadata)};
  std::int64_t offset = 0;
  for (const StoredTensor& tensor : file.tensors) {
    require<DataError>(names.insert(tensor.name).second, "[safetensors] '", tensor.name,
                       "' appears twice");
    const auto size = static_cast<std::int64_t>(tensor.bytes.size());
    require<DataError>(size == byte_count(tensor.dtype, tensor.shape), "[safetensors] '",
                       tensor.name, "': ", size, " bytes do not fit its shape");
    header[tensor.name] = {{"dtype", name_of(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  // Text that is no UTF-8 (a path, say) cannot stand in JSON; its odd bytes become U+FFFD.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();

  std::string bytes(sizeof length, '\0');
  const std::size_t size = sizeof length + text.size() + static_cast<std::size_t>(offset);
  allocate(
      size, [&] { bytes.reserve(size); }, "the bytes of a file of tensors");
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += text;
  for (const StoredTensor& tensor : file.tensors) bytes += tensor.bytes;
  return bytes;
}

SafeTensors parse_safetensors(std::string_view bytes) {
  std::uint64_t length = 0;
  require<DataError>(bytes.size() >= sizeof length, "[safetensors] expected at least 8 bytes, got ",
                     bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  require<DataError>(length <= bytes.size() - sizeof length && length <= kMaxHeader,
                     "[safetensors] the first 8 bytes promise a header of ", length,
                     " bytes, the file has ", bytes.size(),
                     "; it is truncated or no safetensors file");
  const std::string_view text = bytes.substr(sizeof length, length);
  require<DataError>(text.starts_with('{'), "[safetensors] expected the header to begin with '{'");
  // The JSON parser takes a NUL for the end of its input.
  const std::size_t nul = text.find('\0');
  require<DataError>(nul == std::string_view::npos, "[safetensors] byte ", nul + sizeof length,
                     " of the header is a NUL; only spaces may follow its JSON");
  const std::string_view data = bytes.substr(sizeof length + length);

  const Json header = parse_header(text);
  const std::size_t end = text.find_last_not_of(' ');  // JSON would allow tabs and line feeds, too
  require<DataError>(
      text[end] == '}',
      "[safetensors] expected nothing but spaces behind the '}' of the header, byte ",
      end + sizeof length, " is something else");
  SafeTensors file;
  std::vector<Entry> entries;
  for (const auto& [name, fields] : header.items()) {
    if (name != kMetadata) {
      entries.push_back(parse_entry(name, fields));
      continue;
    }
    require<DataError>(fields.is_object(),
                       "[safetensors] expected the metadata to be an object of strings");
    for (const auto& [key, value] : fields.items()) {
      require<DataError>(value.is_string(), "[safetensors] expected the metadata '", key,
                         "' to be a string");
      file.metadata[key] = value.get<std::string>();
    }
  }

  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t offset = 0;
  for (Entry& entry : entries) {
    require<DataError>(entry.begin == offset, "[safetensors] '", entry.tensor.name,
                       "': expected its data to begin at byte ", offset,
                       ", where those before end, got ", entry.begin);
    require<DataError>(entry.end <= static_cast<std::int64_t>(data.size()), "[safetensors] '",
                       entry.tensor.name, "': expected data up to byte ", entry.end,
                       ", the file has ", data.size(), "; it is truncated");
    const auto size = static_cast<std::size_t>(entry.end - entry.begin);
    const auto copy = [&] {
      return std::string(data.substr(static_cast<std::size_t>(entry.begin), size));
    };
    entry.tensor.bytes = allocate(size, copy, "'", entry.tensor.name, "' of a file");
    offset = entry.end;
    file.tensors.push_back(std::move(entry.tensor));
  }
  require<DataError>(offset == static_cast<std::int64_t>(data.size()),
                     "[safetensors] the tensors take ", offset, " bytes, the file holds ",
                     data.size());
  return file;
}

}  // namespace ebb::train
