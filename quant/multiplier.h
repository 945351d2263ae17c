#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/accumulator.h"
#include "quant/formats/format.h"

namespace ebb {

/// What multiplies two 8-bit codes in place of exact multiplication: a table of 256 x 256 products,
/// as models of approximate multipliers are published (EvoApprox, TFApprox).
///
/// A signed table takes stored (centred) codes, in two's complement; an unsigned one takes
/// u = code + 2^(N-1) of a format of N bits. Sums of its entries are exact; docs/NUMERICS.md says
/// how they become sums of products of codes.
class Multiplier {
 public:
  static constexpr std::size_t kEntries = 256 * 256;
  static constexpr std::size_t kFileBytes = 2 * kEntries;

  /// From 128 KiB: the product of a and b is the little-endian number of 16 bits at 256 a + b,
  /// two's complement if the table is signed. @throws DataError naming `source` for another size
  static Multiplier parse(std::span<const std::byte> bytes, bool is_signed,
                          std::string_view source);

  [[nodiscard]] bool is_signed() const { return signed_; }
  /// SHA-256 of the 128 KiB.
  [[nodiscard]] const std::string& sha256() const { return sha256_; }
  /// An entry as the file has it, of what its operands are as unsigned bytes.
  [[nodiscard]] std::int32_t entry(std::uint8_t a, std::uint8_t b) const {
    const std::uint16_t bits = file_[std::size_t{256} * a + b];
    return signed_ ? static_cast<std::int16_t>(bits) : std::int32_t{bits};
  }
  /// What is added to the stored codes of an integer format, so that the sums index `entries`.
  [[nodiscard]] int index_offset(Format format) const {
    return signed_ ? 128 : 1 << (format.width - 1);
  }
  /// Subtracted from each of `entries`: those of signed tables are stored as unsigned numbers.
  [[nodiscard]] std::int32_t entry_offset() const { return signed_ ? 1 << 15 : 0; }
  /// The table by index; `turned`: its first index is that of the second operand.
  [[nodiscard]] const std::uint16_t* entries(bool turned) const {
    return (turned ? turned_ : entries_).data();
  }

 private:
  Multiplier() = default;

  bool signed_ = false;
  std::string sha256_;
  std::vector<std::uint16_t> file_, entries_, turned_;
};

/// @throws ConfigError unless a multiplier can multiply codes of these formats: integers of up to 8
/// bits, summed exactly
void require_multipliable(Format a, Format b, const Accumulator& accumulator);

}  // namespace ebb
