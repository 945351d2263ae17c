#include "core/mark.h"

#include "core/text.h"

namespace ebb {

std::string marked_text(std::string_view text, std::size_t place) {
  constexpr std::size_t kBefore = 60, kAfter = 40;
  const std::size_t from = place > kBefore ? place - kBefore : 0;
  std::string line(text.substr(from, place - from + kAfter));
  for (char& c : line) {
    if (c < ' ' || c > '~') c = c == '\t' || c == '\n' || c == '\r' ? ' ' : '?';
  }
  return concat("\n  ", line, "\n  ", std::string(place - from, ' '), "^");
}

}  // namespace ebb
