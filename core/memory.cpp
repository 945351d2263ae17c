#include "core/memory.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "core/aligned.h"

namespace ebb {
namespace {

constexpr std::align_val_t kAlignment{64};  // a cache line

#if defined(EBB_SANITIZED)  // sanitizers see the bounds of a block, not those of the elements in it
constexpr bool kPlain = false;
#else
constexpr bool kPlain = true;
#endif

// glibc's aligned new looks for a free block that is larger by the alignment, so it never takes the
// one that a tensor of the same size left, and a training step, which frees and takes the same
// sizes over and over, scatters the heap. Plain new takes it. The block's address is kept before
// the elements.
void* take(std::size_t bytes) {
  if constexpr (!kPlain) return ::operator new(bytes, kAlignment);
  constexpr auto alignment = static_cast<std::size_t>(kAlignment);
  static_assert(__STDCPP_DEFAULT_NEW_ALIGNMENT__ >= sizeof(void*));  // so that there is room for it
  if (bytes > SIZE_MAX - alignment) throw std::bad_alloc();
  void* const block = ::operator new(bytes + alignment);
  std::byte* const elements = static_cast<std::byte*>(block) + alignment -
                              reinterpret_cast<std::uintptr_t>(block) % alignment;
  std::memcpy(elements - sizeof block, &block, sizeof block);
  return elements;
}

}  // namespace

std::string bytes_text(uint128 bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return concat(bytes, " bytes");
  std::size_t unit = 0;
  uint128 size = 1024;
  for (; unit + 1 < units.size() && bytes / size >= 1024; ++unit) size *= 1024;
  const uint128 tenths = (bytes * 10 + size / 2) / size;
  return concat(tenths / 10, '.', tenths % 10, ' ', units[unit]);
}

void* allocate_aligned(std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  const bool countable = !__builtin_mul_overflow(count, size, &bytes);
  const auto make = [&] { return countable ? take(bytes) : throw std::bad_alloc(); };
  return allocate(uint128{count} * size, make, "a buffer of ", count, " elements of ", size,
                  " bytes");
}

void free_aligned(void* elements) {
  if constexpr (!kPlain) return ::operator delete(elements, kAlignment);
  void* block = nullptr;
  std::memcpy(&block, static_cast<std::byte*>(elements) - sizeof block, sizeof block);
  ::operator delete(block);
}

}  // namespace ebb
