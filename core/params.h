#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace ebb {

/// Position of an entry in its ParamStore.
struct ParamId {
  std::int32_t index = -1;
  friend bool operator==(ParamId, ParamId) = default;
};

/// Everything of a model that outlives a step: float32 master parameters, which optimizers move, and layer state (running
/// statistics, running ranges), which forward passes in training mode move. Entries keep their order of creation.
class ParamStore {
 public:
  enum class Kind : std::uint8_t { parameter, state };
  struct Entry {
    std::string name;
    Kind kind;
    Tensor value;
  };

  /// @throws ConfigError if the name is taken
  ParamId add(std::string name, Tensor value, Kind kind = Kind::parameter);

  [[nodiscard]] Tensor& operator[](ParamId id) { return entries_[static_cast<std::size_t>(id.index)].value; }
  [[nodiscard]] const Tensor& operator[](ParamId id) const { return entries_[static_cast<std::size_t>(id.index)].value; }
  [[nodiscard]] const Entry& entry(ParamId id) const { return entries_[static_cast<std::size_t>(id.index)]; }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Entry with that name, or index -1.
  [[nodiscard]] ParamId find(std::string_view name) const;
  /// Number of elements of all parameters (layer state not counted).
  [[nodiscard]] std::int64_t parameter_count() const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace ebb
