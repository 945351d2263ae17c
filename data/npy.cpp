#include "data/npy.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/file.h"

namespace ebb {
namespace {

float half_precision(std::uint16_t bits) {
  const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = std::ldexp(static_cast<float>(exponent > 0 ? fraction + 1024 : fraction),
                           std::max(static_cast<int>(exponent), 1) - 25);
  if (exponent == 31) value = std::bit_cast<float>(0x7f800000u | fraction << 13);
  return (bits & 0x8000) != 0 ? -value : value;
}

struct Header {
  std::string type;
  bool columns_first = false;
  std::vector<std::int64_t> extents;
};

/// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, in any order.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  std::optional<Header> read() {
    Header header;
    int found = 0;
    if (!accept('{')) return std::nullopt;
    while (!accept('}')) {
      const auto key = quoted();
      if (!key || !accept(':')) return std::nullopt;
      if (*key == "descr") {
        const auto type = quoted();
        if (!type) return std::nullopt;
        header.type = *type;
      } else if (*key == "fortran_order") {
        const std::string_view word = letters();
        if (word != "True" && word != "False") return std::nullopt;
        header.columns_first = word == "True";
      } else if (*key != "shape" || !extents(header.extents)) {
        return std::nullopt;
      }
      ++found;
      accept(',');
    }
    return found == 3 && skip() == text_.size() ? std::optional(header) : std::nullopt;
  }

 private:
  std::size_t skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_;
  }
  bool accept(char c) {
    const bool here = skip() < text_.size() && text_[at_] == c;
    at_ += here ? 1 : 0;
    return here;
  }
  std::optional<std::string> quoted() {
    if (!accept('\'')) return std::nullopt;
    const std::size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string word(text_.substr(at_, end - at_));
    at_ = end + 1;
    return word;
  }
  std::string_view letters() {
    const std::size_t first = skip();
    while (at_ < text_.size() && text_[at_] >= 'A' && text_[at_] <= 'z') ++at_;
    return text_.substr(first, at_ - first);
  }
  bool extents(std::vector<std::int64_t>& out) {
    if (!accept('(')) return false;
    while (!accept(')')) {
      const std::size_t first = skip();
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      std::int64_t extent = 0;
      if (!parse_number(text_.substr(first, at_ - first), extent) ||
          std::ssize(out) == Shape::kMaxRank)
        return false;
      out.push_back(extent);
      accept(',');
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class Bits>
Bits little_endian(const std::byte* at) {
  Bits bits = 0;
  for (std::size_t i = 0; i < sizeof bits; ++i)
    bits = static_cast<Bits>(bits | static_cast<Bits>(std::to_integer<Bits>(at[i]) << (8 * i)));
  return bits;
}

template <class T>
std::string file_of(std::string_view type, std::span<const T> values,
                    std::span<const std::int64_t> extents) {
  static_assert(std::endian::native == std::endian::little);
  std::string npy = npy_header(type, extents);
  npy.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return npy;
}

float element(const std::byte* at, std::size_t size) {
  if (size == 2) return half_precision(little_endian<std::uint16_t>(at));
  if (size == 4) return std::bit_cast<float>(little_endian<std::uint32_t>(at));
  return static_cast<float>(std::bit_cast<double>(little_endian<std::uint64_t>(at)));
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, std::string_view name) {
  constexpr std::size_t kPreamble = 10;  // magic, version and the header's length
  const std::string_view text = text_of(bytes);
  require<DataError>(text.starts_with("\x93NUMPY") && text.size() >= kPreamble, "[npy] ", name,
                     " is no .npy file");
  const auto version = std::to_integer<int>(bytes[6]);
  const bool wide = version >= 2;
  const std::size_t begin = wide ? 12 : kPreamble;
  require<DataError>(version >= 1 && version <= 3 && text.size() >= begin, "[npy] ", name,
                     " is of version ", version, "; expected 1 to 3");
  const std::size_t length = wide ? little_endian<std::uint32_t>(bytes.data() + 8)
                                  : little_endian<std::uint16_t>(bytes.data() + 8);
  require<DataError>(length <= text.size() - begin, "[npy] ", name, " ends within its header");
  const auto header = HeaderReader(text.substr(begin, length)).read();
  require<DataError>(header.has_value(), "[npy] ", name, " has a header that is none");
  require<DataError>(!header->columns_first, "[npy] ", name,
                     " is in Fortran order; save it with numpy.ascontiguousarray");
  const std::size_t size = header->type == "<f2"   ? 2
                           : header->type == "<f4" ? 4
                           : header->type == "<f8" ? 8
                                                   : 0;
  require<DataError>(size > 0, "[npy] ", name,
                     " has elements of another type; expected <f2, <f4 or <f8: ",
                     "save it with .astype('float32')");
  uint128 count = 1;
  for (const std::int64_t extent : header->extents) {
    count *= static_cast<uint128>(extent);
    require<DataError>(count <= kMaxDataFile && static_cast<std::size_t>(extent) <= kMaxDataFile,
                       "[npy] ", name, " says that it has more elements than ", "it can have");
  }
  const std::span<const std::byte> body = bytes.subspan(begin + length);
  require<DataError>(count * size == body.size(), "[npy] ", name, " should have ", count,
                     " elements of ", size, " bytes, and has ", body.size(), " bytes of them");
  Tensor values = Tensor::uninitialized(Shape(header->extents));
  for (std::size_t i = 0; i < body.size() / size; ++i)
    values[static_cast<std::int64_t>(i)] = element(body.data() + i * size, size);
  return values;
}

Tensor read_npy(const std::string& path) { return parse_npy(read_data_file(path), path); }

std::string npy_header(std::string_view type, std::span<const std::int64_t> extents) {
  std::vector<std::string> words;
  for (const std::int64_t extent : extents) words.push_back(to_text(extent));
  std::string header = concat("{'descr': '", type, "', 'fortran_order': False, 'shape': (",
                              join_words(words, ", "), words.size() == 1 ? ",), }" : "), }");
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string npy("\x93NUMPY\x01\x00", 8);
  npy += static_cast<char>(header.size() & 255);
  npy += static_cast<char>(header.size() >> 8);
  return npy + header;
}

std::string to_npy(std::span<const float> values, std::span<const std::int64_t> extents) {
  return file_of("<f4", values, extents);
}
std::string to_npy(std::span<const double> values, std::span<const std::int64_t> extents) {
  return file_of("<f8", values, extents);
}

}  // namespace ebb
