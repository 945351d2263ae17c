#include "core/params.h"

#include <utility>
#include <vector>

#include "core/error.h"

namespace ebb {

ParamId ParamStore::add(std::string name, Tensor value, Kind kind) {
  require<ConfigError>(!find(name), "[params] the name '", name, "' is already taken");
  const Shape shape = value.shape();
  entries_.push_back({std::move(name), kind, std::move(value), shape});
  return {static_cast<std::int32_t>(entries_.size() - 1)};
}

const ParamStore::Entry& ParamStore::entry(ParamId id) const {
  require<ConfigError>(id.index >= 0 && static_cast<std::size_t>(id.index) < entries_.size(),
                       "[params] there is no entry ", id.index, " in a store of ", entries_.size(),
                       ": take a ParamId from add() or id() of the same store");
  return entries_[static_cast<std::size_t>(id.index)];
}

std::optional<ParamId> ParamStore::find(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return ParamId{static_cast<std::int32_t>(i)};
  }
  return std::nullopt;
}

ParamId ParamStore::id(std::string_view name) const {
  if (const std::optional<ParamId> found = find(name)) return *found;
  std::vector<std::string> names;
  for (const Entry& entry : entries_) names.push_back(entry.name);
  const std::string near = nearest_word(name, names);
  throw ConfigError(concat("[params] there is no '", name, "' among ", names.size(), " entries",
                           near.empty() ? "" : concat("; did you mean '", near, "'?")));
}

std::int64_t ParamStore::parameter_count() const {
  std::int64_t count = 0;
  for (const Entry& entry : entries_) {
    if (entry.kind == Kind::parameter) count += entry.value.size();
  }
  return count;
}

}  // namespace ebb
