#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace ebb::kernels {

/// What kernels make of an operand that stands on the right of many products, by the kernel's
/// choice of key. Any thread may ask.
class PackedCache {
 public:
  using Key = std::pair<const void*, std::size_t>;

  template <class T>
  std::shared_ptr<const T> find(Key key) const {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : std::static_pointer_cast<const T>(found->second);
  }
  void keep(Key key, std::shared_ptr<const void> value) {
    const std::lock_guard lock(mutex_);
    values_.insert_or_assign(key, std::move(value));
  }

 private:
  mutable std::mutex mutex_;
  std::map<Key, std::shared_ptr<const void>> values_;
};

}  // namespace ebb::kernels
