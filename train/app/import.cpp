#include "train/app/import.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "core/text.h"
#include "train/files.h"

namespace ebb::cli {
namespace {

using train::SafeTensors;
using train::StoredTensor;

std::string place_of(const toml::node& node) {
  return concat("line ", node.source().begin.line, ", column ", node.source().begin.column);
}

ForeignName name_of(const std::string& path, const toml::node& node) {
  ForeignName name;
  if (const auto* text = node.as_string()) return {.name = text->get()};
  if (const toml::table* table = node.as_table()) {
    if (const auto* text = (*table)["name"].as_string()) name.name = text->get();
    if (const auto* extents = (*table)["channels-first"].as_array()) {
      for (const toml::node& extent : *extents)
        name.channels_first.push_back(extent.value<std::int64_t>().value_or(0));
    }
    const bool extents_fit =
        table->size() == 1 ||
        (table->size() == 2 && name.channels_first.size() == 3 &&
         std::ranges::all_of(name.channels_first, [](std::int64_t n) { return n > 0; }));
    if (!name.name.empty() && extents_fit) return name;
  }
  throw ConfigError(concat("[import] ", path, ", ", place_of(node),
                           ": expected a name, or { name = \"...\", channels-first = [C, H, W] }"));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(to_text(extent));
  return concat('[', join_words(extents), ']');
}

std::int64_t product(const std::vector<std::int64_t>& extents) {
  std::int64_t result = 1;
  for (const std::int64_t extent : extents) result *= extent;
  return result;
}

std::vector<float> values_of(const StoredTensor& stored) {
  std::vector<float> values;
  if (stored.dtype == train::DType::f32) {
    StoredTensor flat = stored;
    flat.shape = {product(stored.shape)};
    const Tensor tensor = flat.tensor();
    values.assign(tensor.values().begin(), tensor.values().end());
  } else {
    require<DataError>(stored.dtype == train::DType::f64, "[import] '", stored.name,
                       "': expected F32 or F64, got ", train::name_of(stored.dtype));
    StoredTensor flat = stored;
    flat.shape = {product(stored.shape)};
    for (const double value : flat.doubles()) values.push_back(static_cast<float>(value));
  }
  for (const float value : values)
    require<DataError>(std::isfinite(value), "[import] '", stored.name,
                       "' holds an infinity or a NaN");
  return values;
}

/// [groups, a, b] becomes [groups, b, a].
std::vector<float> exchanged(const std::vector<float>& values, std::int64_t groups, std::int64_t a,
                             std::int64_t b) {
  std::vector<float> result;
  result.reserve(values.size());
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t j = 0; j < b; ++j) {
      for (std::int64_t i = 0; i < a; ++i)
        result.push_back(values[static_cast<std::size_t>((g * a + i) * b + j)]);
    }
  }
  return result;
}

/// In the order of `wanted`, which an entry of the store has.
Tensor fitted(const StoredTensor& stored, const ForeignName& from, const std::string& name,
              const Shape& wanted) {
  const std::vector<std::int64_t> here(wanted.extents().begin(), wanted.extents().end());
  const std::vector<std::int64_t>& there = stored.shape;
  std::vector<float> values = values_of(stored);
  const std::vector<std::int64_t>& image = from.channels_first;
  const bool convolution = here.size() == 3 && there.size() == 4 && there[0] == here[0] &&
                           there[1] == here[2] && there[2] * there[3] == here[1];
  if (convolution) {
    values = exchanged(values, there[0], there[1], there[2] * there[3]);
  } else {
    const bool flattened = image.empty() || (here.size() == 2 && product(image) == here[1]);
    require<DataError>(there == here && flattened, "[import] '", name, "': expected ",
                       shape_text(here),
                       convolution ? "" : ", or a convolution's [out, in, height, width],", " got ",
                       shape_text(there), " of '", stored.name, "'",
                       flattened ? "" : concat(", whose columns are no ", shape_text(image)));
    if (!image.empty()) values = exchanged(values, here[0], image[0], image[1] * image[2]);
  }
  return Tensor::from(wanted, values);
}

void require_known(const SafeTensors& file, const NameMap& names, const ParamStore& params) {
  std::vector<std::string> here, there, missing;
  for (const ParamStore::Entry& entry : params.entries()) here.push_back(entry.name);
  for (const StoredTensor& tensor : file.tensors) there.push_back(tensor.name);
  const auto check = [&](const std::string& name, const std::vector<std::string>& known,
                         const char* place) {
    if (std::ranges::find(known, name) != known.end()) return;
    const std::string nearest = nearest_word(name, known);
    missing.push_back(concat("'", name, "' is not in the ", place,
                             nearest.empty() ? "" : concat(" (did you mean '", nearest, "'?)")));
  };
  for (const auto& [name, from] : names) {
    check(name, here, "network");
    check(from.name, there, "file");
  }
  require<DataError>(missing.empty(), "[import] names of the map: ", join_words(missing, "; "),
                     ". The network has ", join_words(here), "; the file has ", join_words(there));
}

}  // namespace

NameMap read_names(const std::string& path) {
  try {
    NameMap names;
    const std::string text = train::read_file(path);
    for (const auto& [key, node] : toml::parse(text))
      names.emplace(std::string(key.str()), name_of(path, node));
    return names;
  } catch (const toml::parse_error& error) {
    throw ConfigError(concat("[import] ", path, ", line ", error.source().begin.line, ", column ",
                             error.source().begin.column, ": ", error.description(),
                             "; expected TOML, as in \"conv1.weight\" = \"features.0.weight\""));
  }
}

Imported import_params(const SafeTensors& file, const NameMap& names, ParamStore& params) {
  require_known(file, names, params);
  Imported result;
  std::vector<std::pair<ParamId, Tensor>> values;
  std::vector<std::string> used;
  for (const ParamStore::Entry& entry : params.entries()) {
    const auto mapped = names.find(entry.name);
    const ForeignName from = mapped != names.end() ? mapped->second : ForeignName{entry.name, {}};
    const StoredTensor* const stored = file.find(from.name);
    if (stored == nullptr) {
      result.kept.push_back(entry.name);
      continue;
    }
    values.emplace_back(params.id(entry.name), fitted(*stored, from, entry.name, entry.shape));
    result.taken.push_back(entry.name);
    used.push_back(from.name);
  }
  require<DataError>(!values.empty(), "[import] no tensor of the file has the name of one of the ",
                     "network's, and no map says which is which");
  for (const StoredTensor& tensor : file.tensors) {
    if (std::ranges::find(used, tensor.name) == used.end()) result.unused.push_back(tensor.name);
  }
  for (auto& [id, value] : values) params[id] = std::move(value);
  return result;
}

}  // namespace ebb::cli
