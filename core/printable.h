#pragma once

#include <string>
#include <string_view>

namespace ebb {

/// Text that came from elsewhere (file names, files, command lines) as a terminal may show it:
/// control characters, which could move the cursor, rename the window or hide text, bytes that are
/// no UTF-8, and characters that reverse the direction of writing become escapes such as \x1b and
/// \u202e. Line feeds stay where messages of several lines are meant.
enum class LineFeeds : bool { escaped, kept };
std::string printable(std::string_view text, LineFeeds line_feeds = LineFeeds::escaped);

}  // namespace ebb
