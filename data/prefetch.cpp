#include "data/prefetch.h"

namespace ebb {

Batch Prefetch::at(std::int64_t iteration) {
  if (!enabled_) return source_(iteration);
  std::future<Batch> prepared = std::move(next_);
  if (prepared.valid() && ahead_ != iteration)
    prepared = {};  // waits for the unwanted one, so that the source is never entered twice
  Batch batch = prepared.valid() ? prepared.get() : source_(iteration);
  ahead_ = iteration + 1;
  next_ = std::async(std::launch::async, [this] { return source_(ahead_); });
  return batch;
}

}  // namespace ebb
