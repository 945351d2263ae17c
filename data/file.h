#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace ebb {

/// Largest data file that is taken into memory, unpacked: a small archive must not be able to ask
/// for all of it.
inline constexpr std::size_t kMaxDataFile = std::size_t{4} << 30;

/// The content of a regular file, unpacked when it is gzip (.gz) or xz (.xz). The content decides,
/// not the name; but a name that ends in .gz or .xz promises that packing.
/// @throws DataError when the file is missing, no regular file, unreadable, empty, truncated,
/// corrupt, followed by foreign bytes,
///         packed otherwise than its name says, or longer than kMaxDataFile
std::vector<std::byte> read_data_file(const std::filesystem::path& path);

/// The unpacked content of gzip or xz data of one or more members; other data come back as they
/// are. `name` is for messages.
/// @throws DataError when packed data are truncated, corrupt, followed by foreign bytes, or unpack
/// to more than `limit` bytes
std::vector<std::byte> unpack(std::vector<std::byte> packed, std::string_view name,
                              std::size_t limit = kMaxDataFile);

}  // namespace ebb
