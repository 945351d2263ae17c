#pragma once

#include <string>
#include <string_view>

namespace ebb {

/// Two lines for a message: what stands around a place in a text, and a caret under it.
std::string marked_text(std::string_view text, std::size_t place);

}  // namespace ebb
