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

// Letters that are changed, missing, too many, or exchanged with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last, row(b.size() + 1);  // the rows of i - 2, i - 1 and i
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
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
  // One mistake in a short word, and one more for every five letters: what is further off was meant
  // otherwise.
  std::size_t best_distance = 1 + given.size() / 5 + 1;
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
  const std::string hint =
      nearest.empty() ? "known: " : concat("did you mean '", nearest, "'? Known: ");
  return concat("unknown ", what, " '", given, "'; ", hint, join_words(known));
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
