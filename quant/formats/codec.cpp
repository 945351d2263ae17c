#include "quant/formats/codec.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/parallel.h"
#include "quant/formats/block.h"
#include "quant/formats/floating.h"
#include "quant/formats/kernels/encode_floats.h"

namespace ebb {

namespace {

/// The scale that is a power of two. No number decodes to infinity.
float power_of_two_scale(Format format, double largest) {
  const Scaling& scaling = format.scaling;
  const double max = traits_of(format).max(format);
  const int fraction = format.kind == Format::Kind::floating ? format.fraction
                       : format.kind == Format::Kind::fixed  ? format.width - 2
                                                             : 0,
            exponent = scale_exponent(scaling.rule, largest, max, fraction),
            most = (1 << (scaling.exponent - 1)) - 1;
  return std::ldexp(1.0f, std::clamp(exponent, -most, std::min(most, 127 - std::ilogb(max))));
}

/// What element `i` draws; 0 bits are the rounding's own.
Draw draw_of(Rounding rounding, std::uint8_t random_bits, Key key, std::uint64_t i) {
  Draw draw;
  if (rounding == Rounding::stochastic) draw.word = rounding_word(key, i);
  if (random_bits > 0) draw.bits = random_bits;
  return draw;
}

}  // namespace

float fit_scale(Format format, const Range& range) {
  require<NonFiniteError>(range.finite(), "a NaN or infinite value cannot be encoded");
  const FormatTraits& traits = traits_of(format);
  const float largest = std::max(std::abs(range.min), std::abs(range.max));
  if (format.scaling.kind == Scaling::Kind::none || largest == 0.0f) return 1.0f;
  if (format.scaling.kind == Scaling::Kind::pow2 || format.scaling.kind == Scaling::Kind::e8m0)
    return power_of_two_scale(format, static_cast<double>(largest));
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
                     std::uint64_t i, std::uint8_t random_bits) {
  const Draw draw = draw_of(rounding, random_bits, key, i);
  return traits_of(format).encode(format, static_cast<double>(x) / static_cast<double>(scale),
                                  rounding, draw);
}

std::span<const float> all_numbers(Format format) {
  format.scaling = {};  // a fixed-point format's lowest code too
  require_valid(format);
  require<ConfigError>(has_codec(format) && format.width <= 16, "[format] ", format,
                       " has no table of numbers: expected a float, posit or fixed-point format of "
                       "up to 16 bits; what an integer stands for depends on the data");
  struct Table {
    Format format;
    std::vector<float> numbers;
  };
  static std::mutex mutex;
  static std::deque<Table> tables;  // whose elements stay where they are
  const std::scoped_lock lock(mutex);
  for (const Table& table : tables) {
    if (table.format == format) return table.numbers;
  }
  Table& table = tables.emplace_back(Table{format, {}});
  const auto decode = traits_of(format).decode;
  for (std::uint32_t code = 0; code < std::uint32_t{1} << format.width; ++code)
    table.numbers.push_back(decode(format, code));
  return table.numbers;
}

float decode(Format format, std::uint32_t code, float scale) {
  return scale * traits_of(format).decode(format, code);
}

namespace {

/// Whether what is stored of a format is an integer times its unit rather than a bit pattern.
bool stores_integers(Format format) {
  return traits_of(format).arithmetic(format) == Arithmetic::linear;
}

/// What an operand stores, with what all its elements share.
template <class Code>
class ElementEncoder {
 public:
  ElementEncoder(const Encoding& encoding, Key key)
      : encoding_(encoding),
        key_(key),
        traits_(traits_of(encoding.format)),
        codec_(has_codec(encoding.format)),
        integers_(codec_ && stores_integers(encoding.format)),
        unit_(static_cast<double>(stored_unit(encoding.format))) {}

  Code operator()(float x, std::int64_t i, const Grid& grid) const {
    const auto element = static_cast<std::uint64_t>(i);
    if (!codec_) return static_cast<Code>(on_grid(x, element, grid) - grid.centre());
    const Format format = encoding_.format;
    // As fit_scale() gave it: the stored one is of units.
    const double scale = static_cast<double>(grid.scale / static_cast<float>(unit_));
    const std::uint32_t code =
        traits_.encode(format, static_cast<double>(x) / scale, encoding_.rounding,
                       draw_of(encoding_.rounding, encoding_.random_bits, key_, element));
    if constexpr (std::is_same_v<Code, float>) return grid.scale * traits_.decode(format, code);
    if (integers_)
      return static_cast<Code>(static_cast<double>(traits_.decode(format, code)) / unit_);
    return static_cast<Code>(code);
  }

 private:
  [[nodiscard]] int on_grid(float x, std::uint64_t element, const Grid& grid) const {
    if (encoding_.random_bits == 0 && encoding_.rounding == Rounding::nearest_even)
      return encode(x, grid);
    if (encoding_.random_bits == 0 && encoding_.rounding == Rounding::stochastic)
      return encode(x, grid, rounding_bits(key_, element));
    return encode(x, grid, encoding_.rounding,
                  draw_of(encoding_.rounding, encoding_.random_bits, key_, element));
  }

  const Encoding& encoding_;
  Key key_;
  const FormatTraits& traits_;
  bool codec_, integers_;
  double unit_;
};

}  // namespace

template <class Code>
Code encode_element(float x, std::int64_t i, const Grid& grid, const Encoding& encoding, Key key) {
  return ElementEncoder<Code>(encoding, key)(x, i, grid);
}
template std::int8_t encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);
template std::int16_t encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);
template float encode_element(float, std::int64_t, const Grid&, const Encoding&, Key);

namespace {

/// What the codes of a floating format are made by, if the kernels can.
std::optional<kernels::FloatPatterns> patterns(Format f, float scale) {
  const int least = 1 - f.bias;
  const bool fits = f.kind == Format::Kind::floating && f.width <= 16 && f.sign && f.subnormals &&
                    f.fraction >= 1 && f.overflow != Format::Overflow::nan && least >= -126 &&
                    least <= 100;
  if (!fits) return std::nullopt;
  const auto code = [&](double x) {
    return static_cast<std::int32_t>(floating::encode(f, x, Rounding::nearest_even, {}));
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return kernels::FloatPatterns{.scale = scale,
                                .fraction = f.fraction,
                                .least = least,
                                .max = static_cast<std::int32_t>(floating::max_code(f)),
                                .beyond = code(infinity),
                                .nan = code(std::numeric_limits<double>::quiet_NaN()),
                                .sign = 1 << (f.width - 1),
                                .negative_zero = code(-0.0) != 0};
}
/// The same of the integers that are stored of a linear format.
std::optional<kernels::FloatIntegers> integers(Format f, float scale) {
  const bool is_fixed = f.kind == Format::Kind::fixed;
  if (!is_fixed && (!f.subnormals || f.fraction < 1)) return std::nullopt;
  const FormatTraits& traits = traits_of(f);
  const double unit = traits.unit(f);
  if (unit < 0x1p-60 || unit > 0x1p60) return std::nullopt;
  return kernels::FloatIntegers{.scale = scale,
                                .per_unit = static_cast<float>(1 / unit),
                                .fraction = is_fixed ? 23 : f.fraction,
                                .low = static_cast<float>(-traits.largest(f)),
                                .high = static_cast<float>(traits.max(f) / unit)};
}

/// The same of a posit format.
std::optional<kernels::Posits> posits(Format f, const Encoding& encoding, float scale) {
  if (f.kind != Format::Kind::posit || (scale != 1.0f && encoding.rounding == Rounding::stochastic))
    return std::nullopt;
  return kernels::Posits{.scale = scale,
                         .width = f.width,
                         .es = f.exponent,
                         .reach = (f.width - 2) << f.exponent,
                         .underflow = f.underflow};
}

/// Encodes by a kernel. @returns false if none does this
template <class Kernels, class Code, class Floats>
bool encode_by_kernel(const float* x, std::int64_t n, const Floats& format,
                      const Encoding& encoding, Key key, std::int64_t first, Simd simd, Code* out) {
  const auto& encoders = kernels::select<Kernels>(simd).template of<Code, Floats>();
  const bool drawn = encoding.rounding == Rounding::stochastic;
  if (drawn ? encoding.random_bits != 0 && encoding.random_bits != 32
            : encoding.rounding != Rounding::nearest_even)
    return false;
  // Where the rest of a quotient that matters could be too small for float32.
  if (format.scale != 1 &&
      static_cast<double>(format.scale) * traits_of(encoding.format).unit(encoding.format) <
          0x1p-90)
    return false;
  parallel_for(n, [&](std::int64_t begin, std::int64_t end) {
    if (drawn) {
      encoders.stochastic(x + begin, end - begin, format, key.value(),
                          static_cast<std::uint64_t>(first + begin), out + begin);
    } else {
      encoders.nearest(x + begin, end - begin, format, out + begin);
    }
  });
  return true;
}

template <class Code>
bool encode_by_kernel(const float* x, std::int64_t n, const Grid& grid, const Encoding& encoding,
                      Key key, std::int64_t first, Simd simd, Code* out) {
  using kernels::FloatEncodeKernels;
  const Format format = encoding.format;
  const float scale = grid.scale / stored_unit(format);
  const auto by = [&]<class Kernels>(std::type_identity<Kernels>, const auto& codes) {
    return codes && encode_by_kernel<Kernels>(x, n, *codes, encoding, key, first, simd, out);
  };
  if (format.kind == Format::Kind::posit && !stores_integers(format))
    return by(std::type_identity<kernels::PositEncodeKernels>{}, posits(format, encoding, scale));
  if (stores_integers(format))
    return by(std::type_identity<FloatEncodeKernels>{}, integers(format, scale));
  return by(std::type_identity<FloatEncodeKernels>{}, patterns(format, scale));
}

}  // namespace

template <class Code>
void encode_elements(const float* x, std::int64_t n, const Grid& grid, const Encoding& encoding,
                     Key key, std::int64_t first, [[maybe_unused]] Simd simd, Code* out) {
  if constexpr (!std::is_same_v<Code, float>) {
    if (has_codec(encoding.format)) {
      // Kernels begin where a group of draws does.
      const std::int64_t before =
          encoding.rounding == Rounding::stochastic ? std::min(n, (64 - first % 64) % 64) : 0;
      if (encode_by_kernel(x + before, n - before, grid, encoding, key, first + before, simd,
                           out + before))
        n = before;
    } else if (encoding.random_bits == 0 && (encoding.rounding == Rounding::nearest_even ||
                                             encoding.rounding == Rounding::stochastic)) {
      return encode_run(x, n, grid, encoding.rounding, key, static_cast<std::uint64_t>(first), simd,
                        out);
    }
  }
  const ElementEncoder<Code> code(encoding, key);
  parallel_for(n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) out[j] = code(x[j], first + j, grid);
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
