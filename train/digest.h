#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/sha256.h"

namespace ebb::train {

/// What a checkpoint remembers of the lines that were recorded before it: how many, the SHA-256
/// over all, and the hash after every `stride` lines, by which an altered line is found. There are
/// never more than 64 such marks: before there would be, every other one is dropped and the stride
/// doubles. Up to 64 lines the altered one is known exactly, of n lines to within n/32.
class LineDigest {
 public:
  /// The line without its line feed.
  void add(std::string_view line);
  [[nodiscard]] std::int64_t lines() const { return lines_; }
  /// "LINES STRIDE SHA256 MARK MARK ...".
  [[nodiscard]] std::string text() const;

 private:
  Sha256 hash_;
  std::int64_t lines_ = 0, stride_ = 1;
  std::vector<std::string> marks_;
};

/// How many lines a recorded digest is of. @throws DataError for a text that is no digest
std::int64_t lines_of(std::string_view recorded);

/// Which of as many lines are not those of the recorded digest: "line 5", "a line of 33 to 64";
/// empty if all are the same.
std::string first_difference(std::string_view recorded, const LineDigest& now);

}  // namespace ebb::train
