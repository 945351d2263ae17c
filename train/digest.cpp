#include "train/digest.h"

#include <algorithm>

#include "core/error.h"

namespace ebb::train {
namespace {

constexpr std::size_t kMostMarks = 64, kMarkDigits = 16;
constexpr std::int64_t kMostLines = std::int64_t{1} << 40;  // of a year at 30,000 steps a second

// The words of a recorded digest that are no marks; between them stands the digest of all lines.
constexpr std::size_t kLines = 0, kStride = 1, kMarks = 3;

std::int64_t number(const std::vector<std::string>& words, std::size_t index) {
  std::int64_t value = -1;
  const bool ok = words.size() >= kMarks && words.size() <= kMarks + kMostMarks &&
                  parse_number(words[index], value) && value >= (index == kStride ? 1 : 0) &&
                  value <= kMostLines;
  require<DataError>(ok, "[checkpoint] expected the digest of a record, got '",
                     join_words(words, " "), "'");
  return value;
}

}  // namespace

void LineDigest::add(std::string_view line) {
  hash_.update(line).update("\n");
  if (++lines_ % stride_ != 0) return;
  marks_.push_back(hash_.hex().substr(0, kMarkDigits));
  if (marks_.size() <= kMostMarks) return;
  stride_ *= 2;
  std::vector<std::string> kept;
  for (std::size_t i = 1; i < marks_.size(); i += 2) kept.push_back(std::move(marks_[i]));
  marks_ = std::move(kept);
}

std::string LineDigest::text() const {
  std::string text = concat(lines_, ' ', stride_, ' ', hash_.hex());
  for (const std::string& mark : marks_) text += ' ' + mark;
  return text;
}

std::int64_t lines_of(std::string_view recorded) { return number(split_at(recorded, ' '), kLines); }

std::string first_difference(std::string_view recorded, const LineDigest& now) {
  const std::vector<std::string> before = split_at(recorded, ' '),
                                 after = split_at(now.text(), ' ');
  if (before == after) return "";
  const std::int64_t lines = number(before, kLines), stride = number(before, kStride);
  // The marks stand every `stride` lines; what no mark tells is behind the last one.
  const auto marks = std::span(before).subspan(kMarks);
  const auto [differs, unused] = std::ranges::mismatch(marks, std::span(after).subspan(kMarks));
  const std::int64_t first = (differs - marks.begin()) * stride + 1,
                     last = std::min(first + stride - 1, lines);
  return first == last ? concat("line ", first) : concat("a line of ", first, " to ", last);
}

}  // namespace ebb::train
