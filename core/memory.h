#pragma once

#include <new>
#include <stdexcept>
#include <string>

#include "core/text.h"

namespace ebb {

/// Memory that could not be had. The message says how much was wanted and for what.
class MemoryError : public std::bad_alloc {
 public:
  explicit MemoryError(const std::string& message) : message_(message) {}
  [[nodiscard]] const char* what() const noexcept override { return message_.what(); }

 private:
  std::runtime_error message_;  ///< of which copies cannot fail, as those of exceptions must not
};

/// "12.3 GiB", "640.0 KiB", "24 bytes"
std::string bytes_text(uint128 bytes);

/// Returns make(), which allocates `bytes`. For memory whose size a user or a file decides.
/// @throws MemoryError "[memory] cannot allocate 12.3 GiB for WHAT"
template <class Make, class... What>
decltype(auto) allocate(uint128 bytes, const Make& make, const What&... what) {
  try {
    return make();
  } catch (const std::bad_alloc&) {     // there is not so much
  } catch (const std::length_error&) {  // there are not so many addresses
  }
  throw MemoryError(concat("[memory] cannot allocate ", bytes_text(bytes), " for ", what...));
}

}  // namespace ebb
