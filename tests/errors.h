#pragma once

#include <string>

#include "core/error.h"

namespace ebb::test {

/// What f throws as a DataError, or "" if it does not.
template <class F>
std::string data_error_of(const F& f) {
  try {
    f();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ebb::test
