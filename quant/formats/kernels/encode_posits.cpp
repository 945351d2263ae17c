#include "quant/formats/kernels/encode_floats.h"
#include "quant/formats/kernels/encode_loops.h"

namespace ebb::kernels {
namespace {

inline Full::Int ints_of(const Full::Bits& x) { return reinterpret_cast<Full::Int>(x); }
inline Full::Bits lanes_of(const Full::Int& x) { return reinterpret_cast<Full::Bits>(x); }
inline Full::Bits power_of_two(const Full::Bits& n) { return (Full::Bits{} + 1u) << n; }

/// Where magnitudes lie in a posit format, and what they become.
struct PositStrings {
  Full::Int smallest, largest;
  Full::Bits all, nar;
  int es, width;

  explicit PositStrings(const Posits& f)
      : smallest(Full::Int{} + ((127 - f.reach) << 23)),
        largest(Full::Int{} + ((127 + f.reach) << 23)),
        all(Full::Bits{} + ((1u << f.width) - 1)),
        nar(Full::Bits{} + (1u << (f.width - 1))),
        es(f.es),
        width(f.width) {}

  /// The code below a magnitude, which is first held to the numbers that there are, and what the
  /// code leaves out of its string of bits behind the sign: the last `by` of the string's 32.
  struct Cut {
    Full::Int held;
    Full::Bits below, rest;
    Full::Int by;
  };
  [[nodiscard]] Cut cut(const Full::Int& magnitude) const {
    Full::Int held = magnitude > smallest ? magnitude : smallest;
    held = held < largest ? held : largest;
    const Full::Int regime = ((held >> 23) - 127) >> es;
    // The regime's first bit and the one that ends it, then exponent and fraction. A shift that
    // repeats the first bit makes the rest of the regime.
    const Full::Bits first = ~lanes_of(regime) & 0x80000000u, end = lanes_of(regime) >> 31 << 30,
                     tail = lanes_of(held - (((regime << es) + 127) << 23)) << (7 - es);
    const Full::Bits string = first | end | tail;
    const Full::Int by = (regime ^ (regime >> 31)) + (33 - width);
    return {held, lanes_of(ints_of(string) >> by) & (all >> 1),
            string & (power_of_two(lanes_of(by)) - 1u), by};
  }
  /// With the sign of x, and NaR for what is no number.
  [[nodiscard]] Full::Bits finished(const Full::Bits& x, const Full::Bits& code) const {
    const Full::Bits negative = lanes_of(ints_of(x) >> 31),
                     no_number = lanes_of(ints_of(x & 0x7fffffffu) >= Full::Int{} + 0x7f800000);
    return (nar & no_number) | (((code ^ negative) - negative) & all & ~no_number);
  }
};

/// Codes of numbers that were divided, to nearest; ties to even.
struct NearestPosit : PositStrings {
  Full::Int vanishes;  ///< the largest magnitude that becomes zero

  explicit NearestPosit(const Posits& f)
      : PositStrings(f),
        vanishes(Full::Int{} + (f.underflow ? (127 - f.reach - (1 << f.es)) << 23 : 0)) {}
  [[nodiscard]] Full::Bits operator()(const Full::Float& x) const {
    const Full::Int magnitude = ints_of(bits_of(x) & 0x7fffffffu);
    const Cut at = cut(magnitude);
    const Full::Bits by = lanes_of(at.by), half = power_of_two(by - 1u),
                     up = (at.rest + (half - 1u) + (at.below & 1u)) >> by;
    return finished(bits_of(x), (at.below + up) & lanes_of(magnitude > vanishes));
  }
};

/// Codes of numbers that are not divided.
struct StochasticPosit : PositStrings {
  bool underflow;
  double share_of_tiny;  ///< 2^32 / minpos

  explicit StochasticPosit(const Posits& f)
      : PositStrings(f), underflow(f.underflow), share_of_tiny(long_power(32 + f.reach)) {}

  [[nodiscard]] Full::Bits operator()(const Full::Float& x, const Full::Bits& words) const {
    const Full::Int magnitude = ints_of(bits_of(x) & 0x7fffffffu);
    const Cut at = cut(magnitude);
    Full::Bits share = at.rest << lanes_of(32 - at.by), below = at.below;
    if (es > 0 || underflow) {
      const Full::Bits tiny = lanes_of(magnitude < smallest) & (underflow ? ~0u : 0u);
      Full::Int lost = at.by - (30 - es);  // bits of the exponent
      lost = lost > 0 ? lost : Full::Int{};
      lost = lost < es ? lost : Full::Int{} + es;
      const Full::Bits uneven = lanes_of(lost > 0) | tiny;
      share =
          (share & ~uneven) | (uneven_share(at.held, lost, lanes_of(magnitude) & tiny) & uneven);
      below &= ~tiny;
    }
    const Full::Bits up = lanes_of(share + words < share) & 1u;
    return finished(bits_of(x), (below + up) & lanes_of(magnitude != Full::Int{}));
  }

 private:
  /// Where j bits of the exponent are lost, the next number is 2^(2^j) times the lower one, so that
  /// shares are no whole multiples of 2^-32: (x / lower - 1) / (2^(2^j) - 1). They are no ties
  /// either, as the divisor is odd, and doubles are on the right side of every middle. Below the
  /// smallest number, of which `held` is a multiple, they are x / minpos.
  [[nodiscard]] Full::Bits uneven_share(const Full::Int& held, const Full::Int& lost,
                                        const Full::Bits& tiny) const {
    const Full::Bits within = lanes_of((held >> 23) - 127) & (power_of_two(lanes_of(lost)) - 1u),
                     units = (((lanes_of(held) & 0x7fffffu) | 0x800000u) << within) - 0x800000u;
    Full::Bits shares;
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t at = half * sizeof(HalfInt);
      HalfInt n, j;
      __builtin_memcpy(&n, reinterpret_cast<const char*>(&units) + at, sizeof n);
      __builtin_memcpy(&j, reinterpret_cast<const char*>(&lost) + at, sizeof j);
      const Half::Double bits = __builtin_convertvector(j, Half::Double),
                         by1 = broadcast<Half::Double>(512.0 / 3),
                         by2 = broadcast<Half::Double>(512.0 / 15),
                         by3 = broadcast<Half::Double>(512.0 / 255);
      const Half::Double per_unit = bits < 1.5 ? by1 : bits < 2.5 ? by2 : by3;
      const Half::Double share = __builtin_convertvector(n, Half::Double) * per_unit +
                                 half_of(floats_of(tiny), half) * share_of_tiny;
      const auto whole = __builtin_convertvector(long_bits_of(share + kWhole), Half::Bits);
      __builtin_memcpy(reinterpret_cast<char*>(&shares) + at, &whole, sizeof whole);
    }
    return shares;
  }
};

template <class Code>
constexpr FloatEncoders<Code, Posits> kPosits{nearest<NearestPosit, Code>,
                                              stochastic<StochasticPosit, Code>};
constexpr PositEncodeKernels kEncode{kPosits<std::int8_t>, kPosits<std::int16_t>};

}  // namespace

constinit const PositEncodeKernels PositEncodeKernels::EBB_TARGET = kEncode;

}  // namespace ebb::kernels
