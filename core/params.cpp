#include "core/params.h"

#include <utility>

#include "core/error.h"

namespace ebb {

ParamId ParamStore::add(std::string name, Tensor value, Kind kind) {
  require<ConfigError>(find(name).index < 0, "[params] the name '", name, "' is already taken");
  entries_.push_back({std::move(name), kind, std::move(value)});
  return {static_cast<std::int32_t>(entries_.size() - 1)};
}

ParamId ParamStore::find(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return {static_cast<std::int32_t>(i)};
  }
  return {};
}

std::int64_t ParamStore::parameter_count() const {
  std::int64_t count = 0;
  for (const Entry& entry : entries_) {
    if (entry.kind == Kind::parameter) count += entry.value.size();
  }
  return count;
}

}  // namespace ebb
