#include "quant/formats/kernels/encode_floats.h"

#include "core/kernels/philox.h"

namespace ebb::kernels {
namespace {

constexpr std::uint32_t kRounding = 2;  // what the draws are for, as in grid.cpp
constexpr std::int64_t kStep = kNarrowed * kLanes;
/// 1.5 * 2^23 and 2^52: adding one to what is below 2^22, or 2^52, leaves the nearest integer.
constexpr float kRounder = 12582912.0f;
constexpr double kWhole = 4503599627370496.0;
constexpr std::uint32_t kExponent = 0x7f800000u;
constexpr std::uint64_t kLongExponent = 0x7ff0000000000000u;

inline Full::Bits bits_of(const Full::Float& x) { return reinterpret_cast<Full::Bits>(x); }
inline Full::Float floats_of(const Full::Bits& x) { return reinterpret_cast<Full::Float>(x); }
inline Half::LongBits long_bits_of(const Half::Double& x) {
  return reinterpret_cast<Half::LongBits>(x);
}
inline Half::Double doubles_of(const Half::LongBits& x) {
  return reinterpret_cast<Half::Double>(x);
}
/// 2^n as float32 and as double.
inline float power(std::int32_t n) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(n + 127) << 23);
}
inline double long_power(std::int32_t n) {
  return __builtin_bit_cast(double, static_cast<std::uint64_t>(n + 1023) << 52);
}

typedef float HalfFloat __attribute__((vector_size(2 * kLanes)));
typedef std::int32_t HalfInt __attribute__((vector_size(2 * kLanes)));

/// The lower or the upper half of a vector in double.
inline Half::Double half_of(const Full::Float& x, std::size_t half) {
  HalfFloat part;
  __builtin_memcpy(&part, reinterpret_cast<const char*>(&x) + half * sizeof part, sizeof part);
  Half::Double wide;
  widen(part, wide);
  return wide;
}

/// x / scale in float32, but rounded to odd: an inexact quotient with an even last bit moves to its
/// odd neighbour on the side of the rest. Rounding it again to at most 22 bits gives what rounding
/// the quotient itself gives.
struct Divider {
  Full::Float scale;
  bool unscaled;

  explicit Divider(float by) : scale(broadcast<Full::Float>(by)), unscaled(by == 1.0f) {}
  [[nodiscard]] Full::Float operator()(const Full::Float& x) const {
    if (unscaled) return x;
    const Full::Float quotient = x / scale;
#if defined(__FMA__) || defined(__AVX512F__)
    Full::Float rest = x;
    add_product(-quotient, scale, rest);
#else
    Full::Float rest;
    for (std::size_t half = 0; half < 2; ++half) {
      const Half::Double exact = half_of(x, half) / half_of(scale, half),
                         // scaled, so that it does not vanish in float32
          error = (exact - half_of(quotient, half)) * 0x1p60;
      HalfFloat part;
      narrow_to(error, part);
      __builtin_memcpy(reinterpret_cast<char*>(&rest) + half * sizeof part, &part, sizeof part);
    }
#endif
    // Away from zero where rest and quotient have the same sign.
    const Full::Bits bits = bits_of(quotient), signs = bits_of(rest) ^ bits;
    const auto step = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(signs) >> 31) | 1u;
    const Full::Float zero{};
    const auto inexact = reinterpret_cast<Full::Bits>((rest < zero) | (rest > zero));  // no NaN
    const auto moves = inexact & ((bits & 1u) - 1u);
    return floats_of(bits + (step & moves));
  }
};

/// Codes as they are stored: sign extended.
template <class Code>
inline Full::Int stored(const Full::Bits& codes) {
  constexpr int kUnused = 32 - 8 * static_cast<int>(sizeof(Code));
  return reinterpret_cast<Full::Int>(codes << kUnused) >> kUnused;
}

/// Codes of numbers that were divided, to nearest; ties to even.
struct NearestPattern {
  Full::Bits normal, max, beyond, nan, sign_shift, keeps_sign;
  Full::Float rounder;
  std::uint32_t half, rebias;
  int shift;

  explicit NearestPattern(const FloatPatterns& f)
      : normal(Full::Bits{} + (static_cast<std::uint32_t>(f.least + 127) << 23)),
        max(Full::Bits{} + static_cast<std::uint32_t>(f.max)),
        beyond(Full::Bits{} + static_cast<std::uint32_t>(f.beyond)),
        nan(Full::Bits{} + static_cast<std::uint32_t>(f.nan)),
        keeps_sign(Full::Bits{} + (f.negative_zero ? ~0u : 0u)),
        rounder(broadcast<Full::Float>(power(f.least - f.fraction + 23))),
        half((1u << (22 - f.fraction)) - 1),
        rebias(static_cast<std::uint32_t>(f.least + 126) << f.fraction),
        shift(23 - f.fraction) {
    sign_shift = Full::Bits{} +
                 static_cast<std::uint32_t>(31 - __builtin_ctz(static_cast<std::uint32_t>(f.sign)));
  }
  [[nodiscard]] Full::Bits operator()(const Full::Float& x) const {
    const Full::Bits bits = bits_of(x), magnitude = bits & 0x7fffffffu;
    // Codes follow each other as numbers do: a carry leads to the next binade.
    const Full::Bits above = ((magnitude + half + ((magnitude >> shift) & 1u)) >> shift) - rebias;
    const Full::Bits below = bits_of(floats_of(magnitude) + rounder) - bits_of(rounder);
    const auto is_below = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(magnitude) <
                                                       reinterpret_cast<Full::Int>(normal));
    return finished(bits, magnitude, (below & is_below) | (above & ~is_below));
  }
  /// With the sign, and what is beyond the numbers.
  [[nodiscard]] Full::Bits finished(const Full::Bits& bits, const Full::Bits& magnitude,
                                    const Full::Bits& rounded) const {
    const auto too_large = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(rounded) >
                                                        reinterpret_cast<Full::Int>(max)),
               is_nan = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(magnitude) >
                                                     Full::Int{} + 0x7f800000);
    Full::Bits code = (beyond & too_large) | (rounded & ~too_large);
    code = (nan & is_nan) | (code & ~is_nan);
    const auto signed_lanes = keeps_sign | reinterpret_cast<Full::Bits>(code != Full::Bits{});
    return code | (((bits & 0x80000000u) >> sign_shift) & signed_lanes);
  }
};

/// Codes of numbers that were divided, to nearest; ties to even.
struct NearestInteger {
  Full::Float per_unit, low, high;
  std::uint32_t widening;

  explicit NearestInteger(const FloatIntegers& f)
      : per_unit(broadcast<Full::Float>(f.per_unit)),
        low(broadcast<Full::Float>(f.low)),
        high(broadcast<Full::Float>(f.high)),
        widening(static_cast<std::uint32_t>(23 - f.fraction) << 23) {}
  [[nodiscard]] Full::Bits operator()(const Full::Float& x) const {
    Full::Float units = x * per_unit;
    units = units > low ? units : low;
    units = units < high ? units : high;
    // 1.5 * 2^23 times the distance of the numbers there, which is 1 and more.
    const Full::Bits exponent = (bits_of(units) & kExponent) + widening;
    const auto narrow = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(exponent) <
                                                     Full::Int{} + 0x4b000000);
    const Full::Float rounder =
        floats_of((exponent & ~narrow) | (narrow & 0x4b000000u) | 0x00400000u);
    return rounded_integer((units + rounder) - rounder);
  }
  static Full::Bits rounded_integer(const Full::Float& whole) {
    return bits_of(whole + kRounder) - bits_of(broadcast<Full::Float>(kRounder));
  }
};

/// Half a vector of magnitudes, rounded by 32 random bits each: how many steps of their binade they
/// have, and which binade that is, counted from that of the smallest normal number.
struct Steps {
  Half::Double count, binade;
};
inline Steps stochastic_steps(const Half::Double& x, const Half::LongBits& words,
                              std::int32_t least, std::int32_t fraction) {
  Half::Double m = doubles_of(long_bits_of(x) & 0x7fffffffffffffffu);
  const Half::Double most = broadcast<Half::Double>(long_power(200)),
                     normal = broadcast<Half::Double>(long_power(least));
  m = m < most ? m : most;  // NaN too
  const Half::Double place = m > normal ? m : normal;
  const Half::LongBits exponent = long_bits_of(place) & kLongExponent;
  // 2^(fraction - exponent), so that the steps of the binade become 1.
  const std::uint64_t inverse = static_cast<std::uint64_t>(2046 + fraction) << 52;
  const Half::Double steps = m * doubles_of(inverse - exponent);
  Half::Double below = (steps + kWhole) - kWhole;
  below = below > steps ? below - 1.0 : below;
  const Half::Double share = ((steps - below) * 0x1p32 + kWhole) - kWhole;
  const Half::Double drawn =
      doubles_of((words & 0xffffffffu) | long_bits_of(broadcast<Half::Double>(kWhole))) - kWhole;
  const Half::Double binade =
      doubles_of((exponent >> 52) | long_bits_of(broadcast<Half::Double>(kWhole))) -
      (kWhole + static_cast<double>(least + 1023));
  return {share + drawn >= 0x1p32 ? below + 1.0 : below, binade};
}

inline HalfInt integers_of(const Half::Double& x) { return __builtin_convertvector(x, HalfInt); }

struct StochasticPattern {
  NearestPattern nearest;
  std::int32_t least, fraction;
  double step;

  explicit StochasticPattern(const FloatPatterns& f)
      : nearest(f), least(f.least), fraction(f.fraction), step(long_power(f.fraction)) {}
  [[nodiscard]] HalfInt half(const Half::Double& x, const Half::LongBits& words) const {
    const Steps steps = stochastic_steps(x, words, least, fraction);
    return integers_of(steps.binade * step + steps.count);
  }
  [[nodiscard]] Full::Bits finished(const Full::Float& x, const Full::Bits& codes) const {
    return nearest.finished(bits_of(x), bits_of(x) & 0x7fffffffu, codes);
  }
};

struct StochasticInteger {
  double per_unit, low, high;
  std::int32_t least, fraction;

  /// The numbers of equally far ones lie below the binade of the least normal one.
  explicit StochasticInteger(const FloatIntegers& f)
      : per_unit(static_cast<double>(f.per_unit)),
        low(static_cast<double>(f.low)),
        high(static_cast<double>(f.high)),
        least(f.fraction),
        fraction(f.fraction) {}
  [[nodiscard]] HalfInt half(const Half::Double& x, const Half::LongBits& words) const {
    const Half::Double units = x * per_unit;
    const Steps steps = stochastic_steps(units, words, least, fraction);
    // count * 2^binade, with the sign of x.
    const Half::LongBits scale = long_bits_of(steps.binade + (kWhole + 1023.0)) << 52;
    const Half::Double magnitude = steps.count * doubles_of(scale);
    Half::Double number =
        doubles_of(long_bits_of(magnitude) | (long_bits_of(x) & 0x8000000000000000u));
    const Half::Double least_code = broadcast<Half::Double>(low),
                       largest_code = broadcast<Half::Double>(high);
    number = number > least_code ? number : least_code;
    number = number < largest_code ? number : largest_code;
    return integers_of(number);
  }
  [[nodiscard]] Full::Bits finished(const Full::Float&, const Full::Bits& codes) const {
    return codes;
  }
};

template <class Nearest, class Code, class Format>
void nearest(const float* x, std::int64_t n, const Format& format, Code* out) {
  const Divider divided(format.scale);
  const Nearest code(format);
  Full::Int codes[kNarrowed];
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int v = 0; v < kNarrowed; ++v)
      codes[v] = stored<Code>(code(divided(load<Full>(x + i + v * kLanes))));
    store_codes(out + i, codes);
  }
  if (i == n) return;
  for (int v = 0; v < kNarrowed; ++v)
    codes[v] = stored<Code>(code(divided(load_first(x + i + v * kLanes, n - i - v * kLanes))));
  store_codes_first(out + i, codes, n - i);
}

/// Sixteen Philox blocks give the words of 64 elements: the first words of all, then the second.
constexpr std::int64_t kGroup = 64;
constexpr int kSets = 16 / kLanes;

template <class Stochastic, class Code, class Format>
void stochastic(const float* x, std::int64_t n, const Format& format, std::uint64_t key,
                std::uint64_t first, Code* out) {
  const Stochastic code(format);
  const Half::Double scale = broadcast<Half::Double>(static_cast<double>(format.scale));
  for (std::int64_t i = 0; i < n; i += kGroup) {
    Full::Bits words[kSets][4];
    for (std::uint64_t set = 0; set < kSets; ++set)
      philox(key, (first + static_cast<std::uint64_t>(i)) / 4 + set * kLanes, kRounding,
             words[set]);
    for (std::int64_t q = 0; q < kGroup && i + q < n; q += kStep) {
      Full::Int codes[kNarrowed];
      for (int v = 0; v < kNarrowed; ++v) {
        const auto at = static_cast<int>(q) / kLanes + v;  // in vectors of the group
        const Full::Float numbers = load_first(x + i + q + v * kLanes, n - i - q - v * kLanes);
        const Full::Bits word = words[at % kSets][at / kSets];
        Full::Bits both;
        for (std::size_t half = 0; half < 2; ++half) {
          Vector<kLanes / 2>::Bits drawn;
          __builtin_memcpy(&drawn, reinterpret_cast<const char*>(&word) + half * sizeof drawn,
                           sizeof drawn);
          const HalfInt part = code.half(half_of(numbers, half) / scale,
                                         __builtin_convertvector(drawn, Half::LongBits));
          __builtin_memcpy(reinterpret_cast<char*>(&both) + half * sizeof part, &part, sizeof part);
        }
        codes[v] = stored<Code>(code.finished(numbers, both));
      }
      const std::int64_t left = n - i - q;
      if (left >= kStep) {
        store_codes(out + i + q, codes);
      } else {
        store_codes_first(out + i + q, codes, left);
      }
    }
  }
}

template <class Code>
constexpr FloatEncoders<Code, FloatPatterns> kPatterns{nearest<NearestPattern, Code>,
                                                       stochastic<StochasticPattern, Code>};
template <class Code>
constexpr FloatEncoders<Code, FloatIntegers> kIntegers{nearest<NearestInteger, Code>,
                                                       stochastic<StochasticInteger, Code>};
constexpr FloatEncodeKernels kEncode{kPatterns<std::int8_t>, kPatterns<std::int16_t>,
                                     kIntegers<std::int8_t>, kIntegers<std::int16_t>};

}  // namespace

constinit const FloatEncodeKernels FloatEncodeKernels::EBB_TARGET = kEncode;

}  // namespace ebb::kernels
