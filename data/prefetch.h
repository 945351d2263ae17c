#pragma once

#include <cstdint>
#include <functional>
#include <future>

#include "data/batches.h"

namespace ebb {

/// Prepares the batch of the next iteration in the background while the current one is worked on. What comes out is what the source
/// gives for that iteration, on or off: the source must be a pure function of the iteration, like BatchSource::batch.
class Prefetch {
 public:
  using Source = std::function<Batch(std::int64_t iteration)>;

  /// `source` is called from a thread of Prefetch's own when enabled, one call at a time; what it refers to must outlive Prefetch.
  explicit Prefetch(Source source, bool enabled = true) : source_(std::move(source)), enabled_(enabled) {}
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  /// The batch of an iteration. Iterations in sequence are ready early; any other is made on the spot.
  /// @throws whatever the source throws for this iteration, wherever it ran
  Batch at(std::int64_t iteration);

 private:
  Source source_;
  bool enabled_;
  std::int64_t ahead_ = 0;   // the iteration that next_ prepares
  std::future<Batch> next_;  // last member: its destructor waits for the thread, which uses source_
};

}  // namespace ebb
