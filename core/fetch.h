#pragma once

#include <cstdint>

namespace ebb {

/// Bytes from what is read to what is fetched. Half and twice as many did no better.
inline constexpr std::int64_t kFetchAhead = 16 << 10;

/// Asks for the `bytes` that begin kFetchAhead after `from`, which need not exist, for the second
/// cache level. For rows that are read by turns with other work: processors look ahead of a stream
/// only as long as it flows.
inline void fetch_ahead(const void* from, std::int64_t bytes) {
  const char* const at = static_cast<const char*>(from) + kFetchAhead;
  for (std::int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(at + b, 0, 2);
}

}  // namespace ebb
