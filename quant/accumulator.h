#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

namespace ebb {

/// Where the sum of a product lives, and in what order it is made. docs/NUMERICS.md defines each.
///
/// Products of the numbers of codes are summed, scales follow at the end. Sums of integer formats
/// are of stored (centred) codes and are exact or narrow. Products with a float32 operand have
/// none of these: they are one chain of fma in float32.
struct Accumulator {
  enum class Kind : std::uint8_t {
    standard,     ///< the default for the two formats, see resolve()
    exact,        ///< the exact sum, for posits the quire
    wrap,         ///< W bits of two's complement that wrap around at each product and addition
    saturate,     ///< the same that saturates
    sequential,   ///< one sum in a floating format, rounded at each addition
    blocked,      ///< exact sums of chunks, added in float32
    chunked,      ///< sums of chunks in a floating format, added in it
    tensor_core,  ///< chunks of products aligned to the largest, whose low bits are cut off
  };
  Kind kind = Kind::standard;
  std::uint8_t bits = 0;      ///< W of wrap and saturate; of tensor_core the bits of fraction
  std::uint16_t chunk = 0;    ///< products that are summed together
  std::uint16_t promote = 0;  ///< of tensor_core: products after which the sum goes to a float32;
                              ///< 0: none goes
  Format format{};            ///< for sequential and chunked

  static Accumulator exact() { return {.kind = Kind::exact}; }
  /// @throws ConfigError unless 2 <= bits <= 62
  static Accumulator wrap(std::int64_t bits);
  static Accumulator saturate(std::int64_t bits);
  /// One chain in float32.
  static Accumulator fp32() { return {.kind = Kind::sequential}; }
  /// Reads "auto", "exact", "quire", "wrapN", "satN", "fp32", "fp32_blocked(N)", "f_seq(FORMAT)",
  /// "f_chunk(FORMAT,N)", "tc(W,N)", "tc(W,N,PROMOTE)", "hopper" and "blackwell".
  static Accumulator parse(std::string_view text);

  /// For integer codes: no register that overflows.
  [[nodiscard]] bool is_exact() const { return kind == Kind::exact || kind == Kind::standard; }
  [[nodiscard]] bool is_narrow() const { return kind == Kind::wrap || kind == Kind::saturate; }
  friend bool operator==(const Accumulator&, const Accumulator&) = default;
};
std::string to_text(const Accumulator& accumulator);
/// @throws ConfigError for an accumulator put together by hand that parse() would not have made
void require_valid(const Accumulator& accumulator);

/// What the product of two encoded formats is summed in: the accumulator itself, or, if it is the
/// standard one, `exact` for two linear formats (integers, fixed-point, e2m1, e2m3, e3m2) and where
/// posits and linear formats other than integers meet; `fp32` for every other pair, an integer
/// beside a posit included. Two block formats have `blocked`, a chunk being the shorter block, or
/// `exact`; a block format beside any other only `fp32`.
/// @throws ConfigError where the accumulator is none for such numbers
Accumulator resolve(const Accumulator& accumulator, Format a, Format b);

/// For sums that only float32 has: depthwise convolutions and sums over neighbours of formats other
/// than linear ones. @throws ConfigError, naming the place, unless the accumulator is the standard
/// one or fp32
void require_float32_sums(const Accumulator& accumulator, std::string_view place, Format format);

}  // namespace ebb
