#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace ebb {

/// NumPy's .npy: an array of float16, float32 or float64 in C order, little endian, as float32 (of
/// float64 the nearest). NaNs and infinities stay.
/// @throws DataError for what is no such file, or one that is truncated or longer than it says
Tensor read_npy(const std::string& path);
/// The same of bytes; `name` is for messages.
Tensor parse_npy(std::span<const std::byte> bytes, std::string_view name);

/// What a .npy file of an array in C order begins with; the elements follow, of a type such as
/// "<f4".
std::string npy_header(std::string_view type, std::span<const std::int64_t> extents);
/// The whole file.
std::string to_npy(std::span<const float> values, std::span<const std::int64_t> extents);
std::string to_npy(std::span<const double> values, std::span<const std::int64_t> extents);

}  // namespace ebb
