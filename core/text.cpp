#include "core/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

#include "core/read_number.h"

namespace ebb {
namespace {

template <class T>
std::string chars_of(T value) {
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

template <class T>
bool is_whole(const std::from_chars_result& result, std::string_view text, T parsed, T& value) {
  if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size())
    return false;
  value = parsed;
  return true;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string to_text(double value) { return chars_of(value); }
std::string to_text(float value) { return chars_of(value); }
std::string to_text(std::int64_t value) { return chars_of(value); }
std::string to_text(std::uint64_t value) { return chars_of(value); }

std::string to_text(uint128 value) {
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string join_words(std::span<const std::string> words, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += separator;
    text += words[i];
  }
  return text;
}

std::vector<std::string> split_at(std::string_view text, char separator) {
  std::vector<std::string> words;
  if (text.empty()) return words;
  for (;;) {
    const std::size_t at = text.find(separator);
    words.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return words;
    text.remove_prefix(at + 1);
  }
}

std::string nearest_word(std::string_view given, std::span<const std::string> known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, given.size() / 2) + 1;
  for (const std::string& word : known) {
    const std::size_t distance = edit_distance(given, word);
    if (distance < best_distance) {
      best_distance = distance;
      best = word;
    }
  }
  return best;
}

std::string unknown_word(std::string_view what, std::string_view given,
                         std::span<const std::string> known) {
  const std::string nearest = nearest_word(given, known);
  const std::string hint = nearest.empty() ? "" : concat("did you mean '", nearest, "'? ");
  return concat("unknown ", what, " '", given, "'; ", hint, "Known: ", join_words(known));
}

bool parse_number(std::string_view text, std::int64_t& value) {
  std::int64_t parsed = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), parsed);
  return is_whole(result, text, parsed, value);
}

bool parse_number(std::string_view text, double& value) {
  double parsed = 0;
  const auto result = read_real(text, parsed);
  return is_whole(result, text, parsed, value);
}

}  // namespace ebb
