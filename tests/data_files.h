#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/error.h"

/// Helpers of the data tests: bytes and files by hand, messages of errors, and the place of the
/// real data sets.
namespace data_test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

inline std::filesystem::path write_file(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return path;
}

/// The message of the E that `action` throws; a text that no check expects when it throws nothing.
template <class E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A folder of real data: under $EBB_TEST_DATA, else under ../shared/data beside the sources; empty
/// when absent.
inline std::filesystem::path real_data(const std::string& folder) {
  const char* given = std::getenv("EBB_TEST_DATA");
  const auto root = given != nullptr ? std::filesystem::path(given)
                                     : std::filesystem::path(__FILE__).parent_path().parent_path() /
                                           "../shared/data";
  return std::filesystem::is_directory(root / folder) ? root / folder : std::filesystem::path();
}

}  // namespace data_test
