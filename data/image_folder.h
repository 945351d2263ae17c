#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/images.h"

namespace ebb {

/// Most bytes that the pictures of a folder may take once they are scaled; they all stay in memory.
inline constexpr std::int64_t kMaxFolderBytes = std::int64_t{16} << 30;

/// The two sets of a folder of pictures.
struct ImageFolder {
  ImageSet train{}, test{};
};

/// The files of a folder, or its folders, in the order of their names, without hidden ones.
/// @throws DataError if it cannot be read
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder, bool folders);

/// True if the folder holds pictures as read_image_folder takes them: it has a folder `train` of
/// folders.
bool is_image_folder(const std::filesystem::path& folder);

/// Reads DIR/train/CLASS/* and DIR/test/CLASS/* (or val in the place of test): JPEG and PNG files,
/// each decoded once and reduced to the largest centred square, scaled to side x side (see
/// centred_square). Classes are numbered in the order of their folders' names, pictures follow in
/// the order of theirs; files whose name begins with a dot are left out.
/// @throws DataError when a folder is missing or has no class, a class has no picture or is in one
/// part only, both val and test are there, a file is no picture, or all together would take more
/// than kMaxFolderBytes; ConfigError unless side >= 1
ImageFolder read_image_folder(const std::filesystem::path& folder, std::int64_t side);

}  // namespace ebb
