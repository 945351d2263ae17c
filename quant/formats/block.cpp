#include "quant/formats/block.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "core/aligned.h"
#include "core/error.h"
#include "core/parallel.h"
#include "quant/formats/codec.h"

namespace ebb {
namespace {

constexpr float kLargestFloat = std::numeric_limits<float>::max();
constexpr std::uint32_t kMagnitude = 0x7fffffff, kInfinity = 0x7f800000;

/// floor(log2 x) of a positive number, from its bits.
int binade(double x) { return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52) - 1023; }
bool above_power(double x) { return (std::bit_cast<std::uint64_t>(x) << 12) != 0; }

float power_of_two(int exponent) { return std::ldexp(1.0f, exponent); }

BlockScale fit_power(Format format, const BlockElement& element, float largest) {
  const int most = (1 << (format.scaling.exponent - 1)) - 1;
  const int exponent =
      largest == 0.0f ? -most
                      : std::clamp(scale_exponent(format.scaling.rule, static_cast<double>(largest),
                                                  element.max, element.fraction),
                                   -most, most);
  return {power_of_two(exponent), power_of_two(-exponent)};
}

BlockScale fit_absmax(const BlockElement& element, float largest) {
  if (largest == 0.0f) return {};
  const auto max = static_cast<float>(element.max);
  float scale = std::max(largest / max, std::numeric_limits<float>::denorm_min());
  while (!std::isfinite(scale * max)) scale = std::nextafter(scale, 0.0f);
  return {.stored = scale};
}

/// In the order of operations that NVFP4 has, all in float32.
BlockScale fit_ue4m3(const BlockElement& element, float largest, const TensorScale& tensor) {
  static const Format e4m3 = Format::floating(4, 3);
  const float wanted =
      std::min(largest * (tensor.encode * (1.0f / static_cast<float>(element.max))),
               static_cast<float>(traits_of(e4m3).max(e4m3)));
  const float stored =
      decode(e4m3, encode(e4m3, wanted, 1.0f, Rounding::nearest_even, Key(0), 0), 1.0f);
  return {stored, std::min(1.0f / (stored * tensor.decode), kLargestFloat)};
}

double rounded(double q, Rounding rounding, std::uint32_t random) {
  switch (rounding) {
    case Rounding::nearest_even: return std::nearbyint(q);
    case Rounding::stochastic: {
      const double below = std::floor(std::abs(q)),
                   share = std::nearbyint((std::abs(q) - below) * 0x1p32);
      return std::copysign(below + (share + random >= 0x1p32 ? 1.0 : 0.0), q);
    }
    case Rounding::nearest_away: return std::round(q);
    case Rounding::toward_zero: return std::trunc(q);
    case Rounding::away: return std::copysign(std::ceil(std::abs(q)), q);
    case Rounding::up: return std::ceil(q);
    case Rounding::down: return std::floor(q);
    case Rounding::odd: break;
  }
  const double below = std::floor(q);
  return below == q || std::fmod(below, 2.0) != 0.0 ? below : below + 1.0;
}

/// The magnitudes of linear elements under nearest-even: those of a binade are multiples of a power
/// of two, in which the sum with 1.5 * 2^23 times it rounds.
struct LinearRounding {
  float per_unit, max;
  std::uint32_t least, lowered;
  explicit LinearRounding(const BlockElement& element)
      : per_unit(static_cast<float>(1.0 / element.unit)),
        max(static_cast<float>(element.max / element.unit)) {
    const int spared = element.has_codec && element.format.kind == Format::Kind::floating
                           ? element.fraction
                           : 30;  // numbers up to 2^30 are multiples of 1
    least = static_cast<std::uint32_t>(127 + spared) << 23;
    lowered = static_cast<std::uint32_t>(spared) << 23;
  }
  [[nodiscard]] float operator()(float scaled) const {
    constexpr std::uint32_t kExponent = 0x7f800000, kRounder = 23u << 23 | 0x400000u;
    const auto bits = std::bit_cast<std::uint32_t>(scaled);
    const float magnitude = std::min(std::bit_cast<float>(bits & kMagnitude) * per_unit, max);
    const std::uint32_t top = std::max(std::bit_cast<std::uint32_t>(magnitude) & kExponent, least);
    const auto rounder = std::bit_cast<float>(top - lowered + kRounder);
    const float code = (magnitude + rounder) - rounder;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(code) | (bits & ~kMagnitude));
  }
};

/// A row of `cols` elements, whose scales change every `block`.
struct BlockRow {
  const ConstMatrix& x;
  std::int64_t i;
  std::span<const BlockScale> scales;
  std::int64_t block;
};

template <class Code>
void encode_linear(const BlockRow& row, const LinearRounding& rounding, Code* out) {
  const float* const from = row.x.data + row.i * row.x.row_stride;
  if (row.block == 1) {  // a scale a column
    for (std::int64_t j = 0; j < row.x.cols; ++j)
      out[j] = static_cast<Code>(static_cast<std::int32_t>(
          rounding(from[j] * row.scales[static_cast<std::size_t>(j)].inverse)));
    return;
  }
  for (std::int64_t first = 0, b = 0; first < row.x.cols; first += row.block, ++b) {
    const std::int64_t last = std::min(row.x.cols, first + row.block);
    const float inverse = row.scales[static_cast<std::size_t>(b)].inverse;
    for (std::int64_t j = first; j < last; ++j)
      out[j] = static_cast<Code>(static_cast<std::int32_t>(rounding(from[j] * inverse)));
  }
}

/// All that the elements of a matrix are encoded by.
struct RowEncoder {
  const Encoding& encoding;
  const BlockElement& element;
  Key key;
  Simd simd;
  LinearRounding nearest{element};
  bool divides = encoding.format.scaling.kind == Scaling::Kind::absmax;
  bool linear = element.linear && encoding.rounding == Rounding::nearest_even && !divides &&
                element.format.subnormals;

  template <class Code>
  void operator()(const BlockRow& row, Aligned<float>& scaled, Code* out) const {
    if (linear && row.x.col_stride == 1) return encode_linear(row, nearest, out);
    const std::int64_t first = row.i * row.x.cols;
    const auto scale_of = [&](std::int64_t j) -> const BlockScale& {
      return row.scales[static_cast<std::size_t>(j / row.block)];
    };
    // float32 holds what is scaled, or something next to zero that makes no difference to these.
    const bool to_expected =
        encoding.rounding == Rounding::nearest_even || encoding.rounding == Rounding::stochastic;
    if (!divides && element.has_codec && to_expected) {
      const auto max = static_cast<float>(element.max);
      const float* const from = row.x.data + row.i * row.x.row_stride;
      for (std::int64_t begin = 0, b = 0; begin < row.x.cols; begin += row.block, ++b) {
        const std::int64_t end = std::min(row.x.cols, begin + row.block);
        const float inverse = row.scales[static_cast<std::size_t>(b)].inverse;
        for (std::int64_t j = begin; j < end; ++j)
          scaled[static_cast<std::size_t>(j)] =
              std::min(std::max(from[j * row.x.col_stride] * inverse, -max), max);
      }
      const Grid as_they_are{.scale = static_cast<float>(element.unit),
                             .style = GridStyle::symmetric};
      return encode_elements(scaled.data(), row.x.cols, as_they_are,
                             {.format = element.format, .rounding = encoding.rounding}, key, first,
                             simd, out);
    }
    for (std::int64_t j = 0; j < row.x.cols; ++j) {
      const std::uint32_t random = encoding.rounding == Rounding::stochastic
                                       ? rounding_word(key, static_cast<std::uint64_t>(first + j))
                                       : 0;
      out[j] = static_cast<Code>(encode_in_block(element, encoding.format, row.x(row.i, j),
                                                 scale_of(j), encoding.rounding, random));
    }
  }
};

/// The largest magnitudes, as bits, of the blocks of rows first .. last, which are one row of
/// blocks. Bits of NaNs are above those of infinities, and these above all others.
void find_largest(const ConstMatrix& x, std::int64_t first, std::int64_t last, std::int64_t block,
                  std::span<std::uint32_t> largest) {
  std::ranges::fill(largest, 0u);
  for (std::int64_t i = first; i < last; ++i) {
    const float* const row = x.data + i * x.row_stride;
    if (block == 1 && x.col_stride == 1) {
      for (std::int64_t j = 0; j < x.cols; ++j) {
        std::uint32_t& most = largest[static_cast<std::size_t>(j)];
        most = std::max(most, std::bit_cast<std::uint32_t>(row[j]) & kMagnitude);
      }
      continue;
    }
    for (std::int64_t begin = 0, b = 0; begin < x.cols; begin += block, ++b) {
      std::uint32_t most = largest[static_cast<std::size_t>(b)];
      for (std::int64_t j = begin; j < std::min(x.cols, begin + block); ++j)
        most = std::max(most, std::bit_cast<std::uint32_t>(row[j * x.col_stride]) & kMagnitude);
      largest[static_cast<std::size_t>(b)] = most;
    }
  }
}

}  // namespace

int scale_width(Format format) {
  switch (format.scaling.kind) {
    case Scaling::Kind::none: return 0;
    case Scaling::Kind::absmax: return 32;
    case Scaling::Kind::pow2:
    case Scaling::Kind::e8m0: return format.scaling.exponent;
    case Scaling::Kind::ue4m3: break;
  }
  return 8;
}

int scale_exponent(Scaling::Rule rule, double largest, double max, int fraction) {
  const int from = binade(largest) - binade(max);
  switch (rule) {
    case Scaling::Rule::floor: return from;
    case Scaling::Rule::ceil: return from + (above_power(largest) ? 1 : 0);
    case Scaling::Rule::even: {
      const std::uint64_t half = std::uint64_t{1} << (51 - fraction);
      return binade(std::bit_cast<double>(std::bit_cast<std::uint64_t>(largest) + half)) -
             binade(max);
    }
    case Scaling::Rule::rceil: break;
  }
  return from + (std::ldexp(largest, -from) > max ? 1 : 0);
}

void require_blocks(Format format) {
  const Scaling& scaling = format.scaling;
  require<ConfigError>(
      has_blocks(format) && format.width <= 16 && scaling.lines >= 1 &&
          scaling.kind != Scaling::Kind::none && scaling.exponent >= 2 && scaling.exponent <= 8,
      "[format] a block of ", format,
      " needs a scale: absmax, ue4m3, or a power of two with 2 to 8 bits of exponent");
  require<ConfigError>(format.sign && (has_codec(format) || format.width >= 2),
                       "[format] elements of a block are signed numbers, got ", format);
}

BlockElement::BlockElement(Format of) : format(of) {
  require_blocks(of);
  format.scaling = {};
  format.overflow = Format::Overflow::saturate;
  const FormatTraits& traits = traits_of(format);
  has_codec = ebb::has_codec(format);
  linear = traits.arithmetic(format) == Arithmetic::linear;
  const bool floating = format.kind == Format::Kind::floating;
  fraction = floating ? format.fraction : format.width - 2;
  if (has_codec) {
    step = traits.unit(format);
    unit = linear ? step : 1.0;
    // Of two's complement the number that has no opposite is left out.
    max = floating || !linear ? traits.max(format) : ((1 << (format.width - 1)) - 1) * unit;
  } else {
    max = (1 << (format.width - 1)) - 1;
  }
}

double BlockElement::number(std::int32_t stored) const {
  if (linear) return stored * unit;
  const auto code = static_cast<std::uint32_t>(stored);
  const std::uint32_t mask = format.width < 32 ? (1u << format.width) - 1 : ~0u;
  return static_cast<double>(traits_of(format).decode(format, code & mask));
}

double BlockElement::number_of(std::uint32_t code) const {
  if (has_codec) return static_cast<double>(traits_of(format).decode(format, code));
  const int bits = static_cast<int>(code), half = 1 << (format.width - 1);
  return bits < half ? bits : bits - 2 * half;
}

TensorScale TensorScale::fit(Format format, float largest) {
  if (format.scaling.kind != Scaling::Kind::ue4m3) return {};
  const BlockElement element(format);
  const float all = 448.0f * static_cast<float>(element.max);
  const float encode = std::min(all / largest, kLargestFloat);
  return {encode, 1.0f / encode};
}

BlockScale BlockScale::fit(Format format, const BlockElement& element, float largest,
                           const TensorScale& tensor) {
  switch (format.scaling.kind) {
    case Scaling::Kind::absmax: return fit_absmax(element, largest);
    case Scaling::Kind::ue4m3: return fit_ue4m3(element, largest, tensor);
    default: return fit_power(format, element, largest);
  }
}

std::int32_t encode_in_block(const BlockElement& element, Format format, float x,
                             const BlockScale& scale, Rounding rounding, std::uint32_t random) {
  double q = static_cast<double>(x);
  if (format.scaling.kind == Scaling::Kind::absmax) {
    q /= static_cast<double>(scale.stored);
  } else if (format.scaling.kind == Scaling::Kind::ue4m3) {
    q = static_cast<double>(x * scale.inverse);
  } else {
    q *= static_cast<double>(scale.inverse);
  }
  q = std::clamp(q, -element.max, element.max);
  if (element.format.kind != Format::Kind::floating && element.linear)
    return static_cast<std::int32_t>(std::clamp(rounded(q / element.unit, rounding, random),
                                                -element.max / element.unit,
                                                element.max / element.unit));
  const FormatTraits& traits = traits_of(element.format);
  const std::uint32_t code = traits.encode(element.format, q, rounding, {random});
  return element.linear
             ? static_cast<std::int32_t>(static_cast<double>(traits.decode(element.format, code)) /
                                         element.unit)
             : static_cast<std::int32_t>(code);
}

EncodedBlock encode_block(Format format, std::span<const float> x, const TensorScale& tensor,
                          Rounding rounding, Key key, std::uint64_t first) {
  const BlockElement element(format);
  float largest = 0.0f;
  bool finite = true;
  for (const float value : x) {
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::abs(value));
  }
  EncodedBlock block;
  if (!finite) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    return {nan, std::vector<std::uint32_t>(x.size()), std::vector<float>(x.size(), nan)};
  }
  const BlockScale scale = BlockScale::fit(format, element, largest, tensor);
  const double all = static_cast<double>(scale.stored) * static_cast<double>(tensor.decode);
  block.scale = static_cast<float>(all);
  const std::uint32_t mask = (1u << element.format.width) - 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::uint32_t random =
        rounding == Rounding::stochastic ? rounding_word(key, first + i) : 0;
    const std::int32_t stored = encode_in_block(element, format, x[i], scale, rounding, random);
    const double number = element.number(stored);
    // Linear codes have no -0: what is shown of a negative number has, where the format has one.
    const double signed_number = number == 0.0 ? std::copysign(0.0, x[i]) : number;
    block.codes.push_back(
        element.has_codec ? traits_of(element.format)
                                .encode(element.format, signed_number, Rounding::nearest_even, {})
                          : static_cast<std::uint32_t>(stored) & mask);
    block.values.push_back(static_cast<float>(element.number_of(block.codes.back()) * all));
  }
  return block;
}

BlockExtents BlockExtents::along(Format format, int axis) {
  const std::int64_t block = format.scaling.block, lines = format.scaling.lines;
  return axis == 1 ? BlockExtents{lines, block} : BlockExtents{block, lines};
}

template <class Code>
float encode_blocks(const ConstMatrix& x, const Encoding& encoding, const BlockExtents& extents,
                    Key key, Simd simd, float* scales, Code* out) {
  const Format format = encoding.format;
  const BlockElement element(format);
  if (x.rows == 0 || x.cols == 0) return 1.0f;
  const std::int64_t bands = (x.rows + extents.rows - 1) / extents.rows,
                     across = (x.cols + extents.cols - 1) / extents.cols,
                     work = extents.rows * x.cols;
  std::vector<std::uint32_t> largest(static_cast<std::size_t>(bands * across));
  const auto of_band = [&](std::int64_t band) {
    return std::span(largest).subspan(static_cast<std::size_t>(band * across),
                                      static_cast<std::size_t>(across));
  };
  const auto rows_of = [&](std::int64_t band, const auto& then) {
    then(band * extents.rows, std::min(x.rows, (band + 1) * extents.rows));
  };
  parallel_rows(bands, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t band = begin; band < end; ++band)
      rows_of(band, [&](std::int64_t first, std::int64_t last) {
        find_largest(x, first, last, extents.cols, of_band(band));
      });
  });
  const std::uint32_t most = *std::ranges::max_element(largest);
  require<NonFiniteError>(most < kInfinity, "a NaN or infinite value cannot be encoded");
  const TensorScale tensor = TensorScale::fit(format, std::bit_cast<float>(most));
  const RowEncoder encode{encoding, element, key, simd};
  parallel_rows(bands, work, [&](std::int64_t begin, std::int64_t end) {
    std::vector<BlockScale> own(static_cast<std::size_t>(across));
    Aligned<float> scaled(static_cast<std::size_t>(x.cols));
    for (std::int64_t band = begin; band < end; ++band) {
      for (std::int64_t b = 0; b < across; ++b) {
        BlockScale& scale = own[static_cast<std::size_t>(b)];
        scale = BlockScale::fit(format, element,
                                std::bit_cast<float>(of_band(band)[static_cast<std::size_t>(b)]),
                                tensor);
        scales[band * across + b] = scale.stored;
      }
      rows_of(band, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i)
          encode({x, i, own, extents.cols}, scaled, out + i * x.cols);
      });
    }
  });
  return tensor.decode;
}
template float encode_blocks(const ConstMatrix&, const Encoding&, const BlockExtents&, Key, Simd,
                             float*, std::int8_t*);
template float encode_blocks(const ConstMatrix&, const Encoding&, const BlockExtents&, Key, Simd,
                             float*, std::int16_t*);

}  // namespace ebb
