#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/checked.h"
#include "core/key.h"

namespace ebb {

/// Which examples each batch of a run takes, a pure function of (key, iteration): an epoch visits 0
/// .. count-1 once in an order of its own, drawn from key.fold(epoch); its last batch holds what is
/// left, so it may be smaller.
class EpochOrder {
 public:
  /// For count >= 1. @throws ConfigError unless batch >= 1
  EpochOrder(std::int64_t count, std::int64_t batch, Key key);
  EpochOrder(EpochOrder&&) noexcept;
  ~EpochOrder();

  [[nodiscard]] std::int64_t batches_per_epoch() const { return ceil_div(count_, batch_); }
  [[nodiscard]] std::int64_t epoch(std::int64_t iteration) const {
    return iteration / batches_per_epoch();
  }
  /// How many examples the batch of an iteration takes, without drawing them.
  [[nodiscard]] std::int64_t batch_size(std::int64_t iteration) const;
  /// The examples of an iteration >= 0. May be called from several threads.
  [[nodiscard]] std::vector<std::int64_t> indices(std::int64_t iteration) const;

 private:
  struct Cache;

  std::int64_t count_, batch_;
  Key key_;
  std::unique_ptr<Cache>
      cache_;  // the last epoch's order: speed only, a copy of what the key determines
};

}  // namespace ebb
