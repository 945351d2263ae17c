#include "quant/formats/kernels/encode_floats.h"

#include "quant/formats/kernels/encode_loops.h"

namespace ebb::kernels {
namespace {

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
  double scale, step;

  explicit StochasticPattern(const FloatPatterns& f)
      : nearest(f),
        least(f.least),
        fraction(f.fraction),
        scale(static_cast<double>(f.scale)),
        step(long_power(f.fraction)) {}
  [[nodiscard]] Full::Bits operator()(const Full::Float& numbers, const Full::Bits& drawn) const {
    const Full::Bits codes =
        by_halves(numbers, drawn, [&](const Half::Double& x, const Half::LongBits& words) {
          const Steps steps = stochastic_steps(x / scale, words, least, fraction);
          return integers_of(steps.binade * step + steps.count);
        });
    return nearest.finished(bits_of(numbers), bits_of(numbers) & 0x7fffffffu, codes);
  }
};

struct StochasticInteger {
  double scale, per_unit, low, high;
  std::int32_t least, fraction;

  /// The numbers of equally far ones lie below the binade of the least normal one.
  explicit StochasticInteger(const FloatIntegers& f)
      : scale(static_cast<double>(f.scale)),
        per_unit(static_cast<double>(f.per_unit)),
        low(static_cast<double>(f.low)),
        high(static_cast<double>(f.high)),
        least(f.fraction),
        fraction(f.fraction) {}
  [[nodiscard]] HalfInt half(const Half::Double& x, const Half::LongBits& words) const {
    const Half::Double units = x / scale * per_unit;
    const Steps steps = stochastic_steps(units, words, least, fraction);
    // count * 2^binade, with the sign of x.
    const Half::LongBits binade_size = long_bits_of(steps.binade + (kWhole + 1023.0)) << 52;
    const Half::Double magnitude = steps.count * doubles_of(binade_size);
    Half::Double number =
        doubles_of(long_bits_of(magnitude) | (long_bits_of(x) & 0x8000000000000000u));
    const Half::Double least_code = broadcast<Half::Double>(low),
                       largest_code = broadcast<Half::Double>(high);
    number = number > least_code ? number : least_code;
    number = number < largest_code ? number : largest_code;
    return integers_of(number);
  }
  [[nodiscard]] Full::Bits operator()(const Full::Float& numbers, const Full::Bits& drawn) const {
    return by_halves(numbers, drawn, [&](const Half::Double& x, const Half::LongBits& words) {
      return half(x, words);
    });
  }
};

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
