#include "quant/multiplier.h"

#include "core/error.h"
#include "core/printable.h"
#include "core/sha256.h"

namespace ebb {

Multiplier Multiplier::parse(std::span<const std::byte> bytes, bool is_signed,
                             std::string_view source) {
  require<DataError>(bytes.size() == kFileBytes, "[multiplier] ", printable(source),
                     ": a table of 256 x 256 products of 16 bits has ", kFileBytes, " bytes, got ",
                     bytes.size());
  Multiplier table;
  table.signed_ = is_signed;
  table.sha256_ = sha256_hex(bytes);
  table.file_.resize(kEntries);
  table.entries_.resize(kEntries);
  table.turned_.resize(kEntries);
  for (std::size_t i = 0; i < kEntries; ++i)
    table.file_[i] = static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[2 * i]) |
                                                std::to_integer<unsigned>(bytes[2 * i + 1]) << 8);
  const unsigned flip = is_signed ? 128 : 0;  // from two's complement to code + 128, and back
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      const auto value = static_cast<std::uint16_t>(table.file_[256 * (a ^ flip) + (b ^ flip)] +
                                                    static_cast<unsigned>(table.entry_offset()));
      table.entries_[256 * a + b] = table.turned_[256 * b + a] = value;
    }
  }
  return table;
}

void require_multipliable(Format a, Format b, const Accumulator& accumulator) {
  for (const Format format : {a, b}) {
    require<ConfigError>(format.kind == Format::Kind::integer && format.width <= 8,
                         "[multiplier] a table multiplies codes of int1 .. int8, not ", a, " by ",
                         b, "; leave the site in float32, or give it integers of up to 8 bits");
  }
  require<ConfigError>(accumulator.is_exact(), "[multiplier] the products of a table are summed ",
                       "exactly, not in ", accumulator);
}

}  // namespace ebb
