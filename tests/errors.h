#pragma once

#include <string>

#include "core/error.h"

namespace ebb::test {

/// What f throws as an error of that kind, or "" if it does not.
template <class Kind, class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Kind& error) {
    return error.what();
  }
  return "";
}
template <class F>
std::string data_error_of(const F& f) {
  return error_of<DataError>(f);
}
template <class F>
std::string config_error_of(const F& f) {
  return error_of<ConfigError>(f);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ebb::test
