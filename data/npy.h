#pragma once

#include <cstddef>
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

}  // namespace ebb
