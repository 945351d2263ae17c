#pragma once

#include <stdexcept>
#include <string>

#include "core/text.h"

namespace ebb {

/// Base of everything Ebb throws. The message names the operation, what was expected, what came and
/// what to do.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Tensor shapes do not fit the operation.
struct ShapeError : Error {
  using Error::Error;
};
/// A setting is impossible, contradictory or unknown.
struct ConfigError : Error {
  using Error::Error;
};
/// A file or a data set is not what it claims to be, or cannot be read or written.
struct DataError : Error {
  using Error::Error;
};
/// A NaN or an infinity reached a place where training cannot go on.
struct NonFiniteError : Error {
  using Error::Error;
};

/// Throws E with the concatenated parts unless ok. The parts are turned into text only on failure.
template <class E, class... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]] {
    throw E(concat(parts...));
  }
}

}  // namespace ebb
