#include "train/tasks/multiplied.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "schedules/range.h"

namespace ebb::train {
namespace {

/// Which batches an update takes.
class Batches {
 public:
  explicit Batches(const Bound& multiplier) {
    std::int64_t before = 0;
    for (const Segment& segment : segments_of(multiplier)) {
      const auto each = static_cast<std::int64_t>(segment.value.number);
      spans_.push_back({segment.first, before, each});
      before += segment.updates * each;
    }
  }
  /// The first batch of update t, and how many there are; past the end as in the last update.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> of(std::int64_t t) const {
    const auto after = std::ranges::upper_bound(spans_, t, {}, &Span::update);
    const Span& span = *std::prev(after);
    return {span.batch + (t - span.update) * span.each, span.each};
  }

 private:
  struct Span {
    std::int64_t update, batch, each;
  };
  std::vector<Span> spans_;
};

/// What `of_batch` says of all batches of an update, one after the other.
template <class T>
std::function<std::vector<T>(std::int64_t)> joined(
    const std::shared_ptr<const Batches>& batches,
    const std::function<std::vector<T>(std::int64_t)>& of_batch) {
  return [=](std::int64_t t) {
    const auto [first, count] = batches->of(t);
    std::vector<T> all;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::vector<T> some = of_batch(first + i);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  };
}

}  // namespace

Task multiply_batches(Task task, const Bound& multiplier) {
  const auto batches = std::make_shared<const Batches>(multiplier);
  task.loss = [batches, parts = task.parts, loss = task.loss](Pass& pass, std::int64_t t,
                                                              std::int64_t part) {
    std::int64_t batch = batches->of(t).first;
    for (;; ++batch) {
      const std::int64_t here = std::ssize(parts(batch));
      if (part < here) return loss(pass, batch, part);
      part -= here;
    }
  };
  if (task.kinds) task.kinds = joined(batches, task.kinds);
  task.parts = joined(batches, task.parts);
  return task;
}

}  // namespace ebb::train
