#include "layers/kernels/functions.h"

#include "core/kernels/lanes.h"

// Without branches and with IEEE operations only, so every lane has the bits of the scalar loop.
// Polynomials and the parts of ln 2 are those of S. Moshier's Cephes (expf, tanhf).

namespace ebb::kernels {
namespace {

template <class Lanes>
inline typename Lanes::Float exp_of(const typename Lanes::Float& x) {
  using Float = typename Lanes::Float;
  using Bits = typename Lanes::Bits;
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRounder =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  constexpr float kLowest = -86.9f,
                  kHighest = 88.72283f;  // beyond them 0, short of subnormals, and infinity
  const Float kept = x < kLowest ? Float{} + kLowest : x > kHighest ? Float{} + kHighest : x;
  const Float shifted = kept * kLog2E + kRounder;
  const Float k = shifted - kRounder;
  const Float r = (kept - k * kLn2High) - k * kLn2Low;
  Float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  Bits bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (126u << 23);  // 2^(k - 1), so that k = 128 has room
  Float half_scale;
  __builtin_memcpy(&half_scale, &bits, sizeof half_scale);
  const Float y = p * half_scale * 2.0f;
  return x < kLowest ? Float{} : x > kHighest ? Float{} + __builtin_inff() : y;
}

template <class Lanes>
inline typename Lanes::Float tanh_of(const typename Lanes::Float& x) {
  using Float = typename Lanes::Float;
  const Float magnitude = x < Float{} ? -x : x, z = x * x;
  Float p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Float small = p * z * x + x;
  const Float large = 1.0f - 2.0f / (exp_of<Lanes>(magnitude + magnitude) + 1.0f);
  return magnitude < 0.625f ? small : x < Float{} ? -large : large;
}

template <class Of>
void apply(const float* x, std::int64_t n, float* out, const Of& of) {
  for_each_strip<Full>(n, [&](auto lanes, std::int64_t i) {
    using Lanes = decltype(lanes);
    store(out + i, of(lanes, load<Lanes>(x + i)));
  });
}

void exp_all(const float* x, std::int64_t n, float shift, float* out) {
  apply(x, n, out, [=](auto lanes, const auto& v) { return exp_of<decltype(lanes)>(v - shift); });
}
void sigmoid_all(const float* x, std::int64_t n, float* out) {
  apply(x, n, out, [](auto lanes, const auto& v) -> typename decltype(lanes)::Float {
    return 1.0f / (exp_of<decltype(lanes)>(-v) + 1.0f);
  });
}
void gated_all(const float* x, std::int64_t n, float slope, float cube, float* gate, float* y) {
  for_each_strip<Full>(n, [&](auto lanes, std::int64_t i) {
    using Lanes = decltype(lanes);
    using Float = typename Lanes::Float;
    const Float v = load<Lanes>(x + i), z = v * (slope + cube * (v * v));
    const Float s = 1.0f / (exp_of<Lanes>(-z) + 1.0f);
    const Float product =
        s == Float{} ? Float{} - 0.0f : v * s;  // -infinity times a gate of 0 is the limit, not NaN
    store(gate + i, s);
    store(y + i, product);
  });
}
void gated_gradient_all(const float* x, const float* gate, std::int64_t n, float slope, float cube,
                        float* g) {
  for_each_strip<Full>(n, [&](auto lanes, std::int64_t i) {
    using Lanes = decltype(lanes);
    using Float = typename Lanes::Float;
    const Float v = load<Lanes>(x + i), s = load<Lanes>(gate + i);
    const Float along = v * (slope + 3.0f * cube * (v * v)), flat = s * (1.0f - s);
    // Where the gate is 0 or 1 it does not turn, however fast its argument does: from |x| = 1e13 on
    // that is infinite.
    const Float result = load<Lanes>(g + i) * (s + (flat == Float{} ? Float{} : flat * along));
    store(g + i, result);
  });
}
void tanh_all(const float* x, std::int64_t n, float* out) {
  apply(x, n, out, [](auto lanes, const auto& v) { return tanh_of<decltype(lanes)>(v); });
}

/// math::exp, operation by operation. By reference: a return would have a calling convention of its
/// own on every machine.
template <class Double, class LongBits>
inline void exp_double_of(const Double& x, Double& out) {
  constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33,
                   kInvLn2 = 0x1.71547652b82fep+0;
  constexpr double c[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                          1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                          1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
  const Double scaled = x * kInvLn2;
  const Double rounder = scaled < Double{} ? Double{} - 0x1p52 : Double{} + 0x1p52;
  const Double k = (scaled + rounder) - rounder;
  const Double high = x - k * kLn2High, low = k * kLn2Low, r = high - low, r_low = (high - r) - low;
  Double p = Double{} + c[0];
  for (int i = 1; i < 12; ++i) p = p * r + c[i];
  const Double y = 1.0 + (r + (r * r * p + (r_low + r_low * r)));
  const Double shifted = k + 0x1.8p52;  // the integer k in the low bits
  LongBits bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 52) + (std::uint64_t{1023} << 52);
  Double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  out = y * power;
}

/// Counts the numbers outside in `outside`.
template <class Lanes>
inline void exp_double_at(const float* x, double shift, double* out,
                          typename Lanes::Double& outside) {
  using Double = typename Lanes::Double;
  Double v, y;
  widen(load<Lanes>(x), v);
  v -= shift;
  outside += v >= -700.0 ? (v <= 700.0 ? Double{} : Double{} + 1.0) : Double{} + 1.0;
  exp_double_of<Double, typename Lanes::LongBits>(v, y);
  __builtin_memcpy(out, &y, sizeof y);
}

bool exp_double_all(const float* x, std::int64_t n, double shift, double* out) {
  constexpr std::int64_t kHalf = Half::kCount;  // twice as many go through memory
  Half::Double strips_outside{};
  double outside = 0;
  std::int64_t i = 0;
  for (; i + kHalf <= n; i += kHalf) exp_double_at<Half>(x + i, shift, out + i, strips_outside);
  for (; i < n; ++i) exp_double_at<Single>(x + i, shift, out + i, outside);
  for (int lane = 0; lane < kHalf; ++lane) outside += strips_outside[lane];
  return outside == 0;
}

constexpr FunctionKernels kFunctions{exp_all,   sigmoid_all,        tanh_all,
                                     gated_all, gated_gradient_all, exp_double_all};

}  // namespace

constinit const FunctionKernels FunctionKernels::EBB_TARGET = kFunctions;

}  // namespace ebb::kernels
