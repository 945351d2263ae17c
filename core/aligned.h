#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace ebb {

/// Memory on a cache line for `count` elements of `size` bytes. @throws MemoryError saying how much
/// was wanted
void* allocate_aligned(std::size_t count, std::size_t size);
void free_aligned(void* elements);

/// Allocates on cache-line boundaries and leaves trivially constructible elements uninitialised on
/// resize: buffers here are always written whole, and zeroing them first would be one more pass
/// over memory.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(std::size_t n) { return static_cast<T*>(allocate_aligned(n, sizeof(T))); }
  void deallocate(T* p, std::size_t) { free_aligned(p); }
  template <class U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
  template <class U>
  friend bool operator==(const AlignedAllocator&, const AlignedAllocator<U>&) {
    return true;
  }
};

template <class T>
using Aligned = std::vector<T, AlignedAllocator<T>>;

}  // namespace ebb
