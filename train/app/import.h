#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/params.h"
#include "train/safetensors.h"

namespace ebb::cli {

/// What a tensor is called in a file from elsewhere.
struct ForeignName {
  std::string name{};
  /// For a matrix whose columns are a flattened [channels, height, width] image there: these
  /// extents. Images are channels-last here.
  std::vector<std::int64_t> channels_first{};
};
using NameMap = std::map<std::string, ForeignName>;  ///< by the name here

/// Reads a map of names: TOML, each `"name here" = "name there"`, or in the place of the second
/// `{ name = "...", channels-first = [C, H, W] }`.
/// @throws ConfigError naming the place of what is wrong
NameMap read_names(const std::string& path);

/// What an import did, by the names of the store and of the file.
struct Imported {
  std::vector<std::string> taken{}, kept{}, unused{};
};

/// Puts tensors of a file (F32 or F64) into a store. Those that the map does not name are taken
/// where both have the name. Shapes must agree, but a convolution's weights may be [out, in,
/// height, width], which become [out, taps, in].
/// @throws DataError listing every name of the map that store or file lacks, or naming the first
/// tensor whose shape or values do not fit, or if nothing was taken; the store is then unchanged
Imported import_params(const train::SafeTensors& file, const NameMap& names, ParamStore& params);

}  // namespace ebb::cli
