#include "data/epoch_order.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "core/error.h"

namespace ebb {

using Order = std::vector<std::int64_t>;

struct EpochOrder::Cache {
  std::mutex mutex;
  std::int64_t epoch = -1;
  std::shared_ptr<const Order> order;
};

EpochOrder::EpochOrder(std::int64_t count, std::int64_t batch, Key key)
    : count_(count), batch_(batch), key_(key), cache_(std::make_unique<Cache>()) {
  require<ConfigError>(batch >= 1, "[batches] expected a batch of at least 1 example, got ", batch);
}
EpochOrder::EpochOrder(EpochOrder&&) noexcept = default;
EpochOrder::~EpochOrder() = default;

std::int64_t EpochOrder::batch_size(std::int64_t iteration) const {
  return std::min(batch_, count_ - iteration % batches_per_epoch() * batch_);
}

std::vector<std::int64_t> EpochOrder::indices(std::int64_t iteration) const {
  require<ConfigError>(iteration >= 0, "[batches] expected an iteration >= 0, got ", iteration);
  const std::int64_t e = epoch(iteration);
  std::shared_ptr<const Order> order;
  {
    const std::scoped_lock lock(cache_->mutex);
    if (cache_->epoch != e) {
      Order drawn(static_cast<std::size_t>(count_));
      std::iota(drawn.begin(), drawn.end(), 0);
      shuffle_indices(key_.fold(static_cast<std::uint64_t>(e)), drawn);
      cache_->order = std::make_shared<const Order>(std::move(drawn));
      cache_->epoch = e;
    }
    order = cache_->order;
  }
  const std::int64_t first = iteration % batches_per_epoch() * batch_;
  return {order->begin() + first, order->begin() + first + batch_size(iteration)};
}

}  // namespace ebb
