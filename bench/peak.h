#pragma once

#include <cstddef>
#include <string_view>

namespace ebb::bench {

/// What this machine can do at the most, measured: loops that touch nothing but registers, on the
/// best instruction set there is, and the copy of a tensor far larger than any cache. A
/// multiplication and an addition are two operations.
struct Peak {
  std::string_view int8_loop, float_loop;  ///< the instructions
  double int8_ops = 0, float_ops = 0;      ///< a second
  double copy_bytes = 0;                   ///< read and written, per second
};
/// On so many threads; measured at the first call.
const Peak& peak(int threads);

/// Copies memory, each thread one piece of it.
void copy(const void* from, void* to, std::size_t bytes, int threads);

}  // namespace ebb::bench
