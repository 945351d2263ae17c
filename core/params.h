#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace ebb {

/// Position of an entry in its ParamStore.
struct ParamId {
  std::int32_t index = -1;
  friend bool operator==(ParamId, ParamId) = default;
};

/// Everything of a model that outlives a step: float32 master parameters, which optimizers move,
/// and layer state (running statistics, running ranges), which the effects of a pass in training
/// mode move. Entries keep their order of creation, and their place in memory: references hold
/// while more are added.
class ParamStore {
 public:
  enum class Kind : std::uint8_t { parameter, state };
  struct Entry {
    std::string name;
    Kind kind;
    Tensor value;
    Shape shape;  ///< of the value when it was added, which it must keep
  };

  /// @throws ConfigError if the name is taken
  ParamId add(std::string name, Tensor value, Kind kind = Kind::parameter);

  /// @throws ConfigError for an id that no add() of this store returned
  [[nodiscard]] const Entry& entry(ParamId id) const;
  [[nodiscard]] const Tensor& operator[](ParamId id) const { return entry(id).value; }
  [[nodiscard]] Tensor& operator[](ParamId id) { return const_cast<Tensor&>(entry(id).value); }
  /// By name. @throws ConfigError naming the nearest there is
  [[nodiscard]] const Tensor& operator[](std::string_view name) const { return (*this)[id(name)]; }
  [[nodiscard]] Tensor& operator[](std::string_view name) { return (*this)[id(name)]; }
  [[nodiscard]] const std::deque<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Entry with that name, if there is one.
  [[nodiscard]] std::optional<ParamId> find(std::string_view name) const;
  /// Entry with that name. @throws ConfigError naming the nearest there is
  [[nodiscard]] ParamId id(std::string_view name) const;
  /// Number of elements of all parameters (layer state not counted).
  [[nodiscard]] std::int64_t parameter_count() const;

 private:
  std::deque<Entry> entries_;
};

}  // namespace ebb
