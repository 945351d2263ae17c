#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ebb::train {

/// A text in lines of at most so many columns, broken at spaces; lines after the first begin with
/// `indent` spaces. The first is taken to begin there, too. A word that is longer than a line stays
/// whole.
std::string wrap(std::string_view text, std::size_t columns, std::size_t indent);

}  // namespace ebb::train
