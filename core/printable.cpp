#include "core/printable.h"

#include <cstddef>
#include <cstdint>

namespace ebb {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0 where the text is no UTF-8
};

// The character that the text begins with.
Character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t lead = byte(0);
  const std::size_t bytes = lead < 0x80   ? 1
                            : lead < 0xc2 ? 0
                            : lead < 0xe0 ? 2
                            : lead < 0xf0 ? 3
                            : lead < 0xf5 ? 4
                                          : 0;
  if (bytes <= 1) return {lead, bytes};
  if (text.size() < bytes) return {};
  std::uint32_t code = lead & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return {};
    code = code << 6U | (byte(i) & 0x3fU);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < least[bytes] || code > 0x10ffff || surrogate) return {};
  return {code, bytes};
}

bool is_control(std::uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

bool turns_direction(std::uint32_t code) {
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void append_hex(std::string& text, std::string_view prefix, std::uint32_t code, unsigned digits) {
  text += prefix;
  while (digits-- > 0) text += "0123456789abcdef"[code >> 4U * digits & 0xfU];
}

}  // namespace

std::string printable(std::string_view text, LineFeeds line_feeds) {
  std::string shown;
  while (!text.empty()) {
    const Character next = decode(text);
    const std::size_t bytes = next.bytes == 0 ? 1 : next.bytes;
    if (next.bytes == 0 || (next.bytes == 1 && is_control(next.code) &&
                            !(text[0] == '\n' && line_feeds == LineFeeds::kept))) {
      append_hex(shown, "\\x", static_cast<unsigned char>(text[0]), 2);
    } else if (next.bytes > 1 && (is_control(next.code) || turns_direction(next.code))) {
      append_hex(shown, "\\u", next.code, 4);
    } else {
      shown += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return shown;
}

}  // namespace ebb
