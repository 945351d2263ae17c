#include "core/memory.h"

#include <array>
#include <cstdint>

#include "core/aligned.h"

namespace ebb {

std::string bytes_text(uint128 bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return concat(bytes, " bytes");
  std::size_t unit = 0;
  uint128 size = 1024;
  for (; unit + 1 < units.size() && bytes / size >= 1024; ++unit) size *= 1024;
  const uint128 tenths = (bytes * 10 + size / 2) / size;
  return concat(tenths / 10, '.', tenths % 10, ' ', units[unit]);
}

void* allocate_aligned(std::size_t count, std::size_t size, std::align_val_t alignment) {
  std::size_t bytes = 0;
  const bool countable = !__builtin_mul_overflow(count, size, &bytes);
  const auto make = [&] {
    return countable ? ::operator new(bytes, alignment) : throw std::bad_alloc();
  };
  return allocate(uint128{count} * size, make, "a buffer of ", count, " elements of ", size,
                  " bytes");
}

}  // namespace ebb
