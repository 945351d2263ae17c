#include "quant/formats/codec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {

float fit_scale(Format format, const Range& range) {
  require<NonFiniteError>(range.finite(), "a NaN or infinite value cannot be encoded");
  const FormatTraits& traits = traits_of(format);
  const float largest = std::max(std::abs(range.min), std::abs(range.max));
  if (format.scaling.kind == Scaling::Kind::none || largest == 0.0f) return 1.0f;
  constexpr float kLeast = std::numeric_limits<float>::denorm_min(),
                  kMost = std::numeric_limits<float>::max();
  const float unit = stored_unit(format), max = static_cast<float>(traits.max(format)) / unit;
  float stored = std::min(std::max(largest / max, kLeast), kMost * unit);
  while (!std::isfinite(stored * max)) stored = std::nextafter(stored, 0.0f);
  return stored / unit;
}

float stored_unit(Format format) {
  const FormatTraits& traits = traits_of(format);
  const bool in_units = has_codec(format) && traits.arithmetic(format) == Arithmetic::linear;
  return in_units ? static_cast<float>(traits.unit(format)) : 1.0f;
}

std::uint32_t encode(Format format, float x, float scale, Rounding rounding, Key key,
                     std::uint64_t i) {
  const std::uint32_t random = rounding == Rounding::stochastic ? rounding_word(key, i) : 0;
  return traits_of(format).encode(format, static_cast<double>(x) / static_cast<double>(scale),
                                  rounding, random);
}

float decode(Format format, std::uint32_t code, float scale) {
  return scale * traits_of(format).decode(format, code);
}

template <class Code>
Code encode_element(float x, std::int64_t i, const Grid& grid, const Encoding& encoding, Key key) {
  const auto element = static_cast<std::uint64_t>(i);
  if (has_codec(encoding.format)) {
    const Format format = encoding.format;
    const float unit = stored_unit(format);
    const std::uint32_t code =
        encode(format, x, grid.scale / unit, encoding.rounding, key, element);
    if constexpr (std::is_same_v<Code, float>) return decode(format, code, grid.scale);
    if (traits_of(format).arithmetic(format) == Arithmetic::linear)
      return static_cast<Code>(decode(format, code, 1.0f) / unit);
    return static_cast<Code>(code);
  }
  const int code = encoding.rounding == Rounding::stochastic
                       ? encode(x, grid, rounding_bits(key, element))
                       : encode(x, grid);
  return static_cast<Code>(code - grid.centre());
}
template std::int8_t encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);
template std::int16_t encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);
template float encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);

template <class Code>
void encode_elements(const float* x, std::int64_t n, const Grid& grid, const Encoding& encoding,
                     Key key, std::int64_t first, [[maybe_unused]] Simd simd, Code* out) {
  if constexpr (!std::is_same_v<Code, float>) {
    if (!has_codec(encoding.format))
      return encode_run(x, n, grid, encoding.rounding, key, static_cast<std::uint64_t>(first), simd,
                        out);
  }
  parallel_for(n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j)
      out[j] = encode_element<Code>(x[j], first + j, grid, encoding, key);
  });
}
template void encode_elements(const float*, std::int64_t, const Grid&, const Encoding&, Key,
                              std::int64_t, Simd, std::int8_t*);
template void encode_elements(const float*, std::int64_t, const Grid&, const Encoding&, Key,
                              std::int64_t, Simd, std::int16_t*);
template void encode_elements(const float*, std::int64_t, const Grid&, const Encoding&, Key,
                              std::int64_t, Simd, float*);

float round_to(Format format, float x, Rounding rounding, Key key, std::uint64_t i) {
  require_valid(format);
  require<ConfigError>(has_codec(format), "[round_to] ", format,
                       " needs a grid; expected fp32 or a format with a codec");
  require<NonFiniteError>(!std::isnan(x), "a NaN cannot be rounded to ", format);
  return format.is_fp32() ? x : decode(format, encode(format, x, 1.0f, rounding, key, i), 1.0f);
}

}  // namespace ebb
