#include "train/options/wrap.h"

#include "core/text.h"

namespace ebb::train {

std::string wrap(std::string_view text, std::size_t columns, std::size_t indent) {
  std::string wrapped;
  std::size_t column = indent;
  for (const std::string& word : split_at(text, ' ')) {
    if (column > indent && column + 1 + word.size() > columns) {
      wrapped += concat('\n', std::string(indent, ' '));
      column = indent;
    } else if (column > indent) {
      wrapped += ' ';
      ++column;
    }
    wrapped += word;
    column += word.size();
  }
  return wrapped;
}

}  // namespace ebb::train
