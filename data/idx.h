#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "data/images.h"

namespace ebb {

/// The content of an IDX file, element type kept: codes 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E in this
/// order.
using IdxValues =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::int16_t>,
                 std::vector<std::int32_t>, std::vector<float>, std::vector<double>>;
struct IdxArray {
  std::string name{};  ///< of the file, for messages
  std::vector<std::int64_t> dims{};
  IdxValues values{};
};

/// Reads an unpacked IDX file: bytes 0, 0, type, rank; rank extents as big-endian 32-bit; then
/// elements, big-endian, last axis fastest. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST
/// database of handwritten digits", section "the IDX file format".
/// @throws DataError when the header is none, the extents do not multiply to the bytes that follow,
/// or a float is NaN or infinite
IdxArray parse_idx(std::span<const std::byte> bytes, std::string name);

/// The same from a file: plain, .gz or .xz. @throws DataError also as read_data_file does
IdxArray read_idx(const std::string& path);

/// Pairs images [n, height, width] or [n, height, width, channels] of any type with labels [n] of
/// an integer type. Unsigned bytes stay bytes; other pixels become float32 unscaled. Without
/// `classes`, the largest label + 1 is their number. Normalisation is left empty.
/// @throws DataError when ranks, types or counts do not fit, the set is empty, a label is no class,
/// or a double is too large for float32
ImageSet idx_image_set(IdxArray images, const IdxArray& labels, std::optional<int> classes,
                       std::string name);

}  // namespace ebb
