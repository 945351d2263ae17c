#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// What kernels are written in: vectors as wide as the registers of the instruction set that a file
/// is compiled for. They are the compilers' vector types, whose operators have the same bits in
/// every lane as a number by itself; what operators cannot say, or g++ 12 says badly, is a function
/// here, by intrinsics.
///
/// All is in an unnamed namespace: files are compiled once for each instruction set, and the linker
/// must not hand one's functions to another. For the same reason a kernel includes no inline
/// library code. Vectors wider than a register come and go by reference, since they have no calling
/// convention.
namespace ebb::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

/// kNumbers numbers of 32 bits side by side, and as many of other widths.
template <int kNumbers>
struct Vector {
  static constexpr int kCount = kNumbers;
  typedef float Float __attribute__((vector_size(4 * kNumbers)));
  typedef std::int32_t Int __attribute__((vector_size(4 * kNumbers)));
  typedef std::uint32_t Bits __attribute__((vector_size(4 * kNumbers)));
  typedef double Double __attribute__((vector_size(8 * kNumbers)));
  typedef std::uint64_t LongBits __attribute__((vector_size(8 * kNumbers)));
};
template <>
struct Vector<1> {
  static constexpr int kCount = 1;
  using Float = float;
  using Int = std::int32_t;
  using Bits = std::uint32_t;
  using Double = double;
  using LongBits = std::uint64_t;
};
/// As many numbers as a register holds of 32 and of 64 bits; one by itself; a register of int16.
using Full = Vector<kLanes>;
using Half = Vector<kLanes / 2>;
using Single = Vector<1>;
typedef std::int16_t Words __attribute__((vector_size(4 * kLanes)));

template <class Lanes>
inline typename Lanes::Float load(const float* from) {
  typename Lanes::Float v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <class Lanes>
inline typename Lanes::Bits load_bits(const void* from) {
  typename Lanes::Bits v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <class V>
inline void fetch(V& v, const void* from) {
  __builtin_memcpy(&v, from, sizeof v);
}
template <class V>
inline void store(void* to, const V& v) {
  __builtin_memcpy(to, &v, sizeof v);
}

/// The same number in every lane. Not 0 + x, which would turn -0 into +0.
template <class V, class Number>
inline V broadcast(Number x) {
  return x - V{};
}

inline void widen(float from, double& to) { to = static_cast<double>(from); }
template <class Floats, class Doubles>
inline void widen(const Floats& from, Doubles& to) {
#if defined(__AVX512F__)
  if constexpr (sizeof to == 64) {  // g++ 12 would convert halves and put them together
    to = reinterpret_cast<Doubles>(_mm512_cvtps_pd(reinterpret_cast<__m256>(from)));
    return;
  }
#endif
  to = __builtin_convertvector(from, Doubles);
}
inline void narrow_to(double from, float& to) { to = static_cast<float>(from); }
template <class Doubles, class Floats>
inline void narrow_to(const Doubles& from, Floats& to) {
#if defined(__AVX512F__)
  if constexpr (sizeof from == 64) {  // likewise
    to = reinterpret_cast<Floats>(_mm512_cvtpd_ps(reinterpret_cast<__m512d>(from)));
    return;
  }
#endif
  to = __builtin_convertvector(from, Floats);
}

/// The first `count` numbers from `from` on, at most kLanes, and zeros in the other lanes.
inline Full::Float load_first(const float* from, std::int64_t count) {
  if (count >= kLanes) return load<Full>(from);
#if defined(__AVX512F__)
  const auto lanes = static_cast<__mmask16>(count > 0 ? (1u << count) - 1 : 0);
  return reinterpret_cast<Full::Float>(_mm512_maskz_loadu_ps(lanes, from));
#else
  Full::Float v{};
  if (count > 0) __builtin_memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(float));
  return v;
#endif
}
inline void store_first(float* to, const Full::Float& v, std::int64_t count) {
  if (count >= kLanes) return store(to, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>(count > 0 ? (1u << count) - 1 : 0), v);
#else
  if (count > 0) __builtin_memcpy(to, &v, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

/// Reads kLanes codes; compilers do this lane by lane.
inline void load_codes(const std::int8_t* from, Full::Int& to) {
#if defined(__AVX512F__)
  to = reinterpret_cast<Full::Int>(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__AVX2__)
  to = reinterpret_cast<Full::Int>(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  typedef std::int8_t Bytes __attribute__((vector_size(kLanes)));
  Bytes codes;
  fetch(codes, from);
  to = __builtin_convertvector(codes, Full::Int);
#endif
}
inline void load_codes(const std::int16_t* from, Full::Int& to) {
#if defined(__AVX512F__)
  to = reinterpret_cast<Full::Int>(
      _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif defined(__AVX2__)
  to = reinterpret_cast<Full::Int>(
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
  typedef std::int16_t Narrow __attribute__((vector_size(2 * kLanes)));
  Narrow codes;
  fetch(codes, from);
  to = __builtin_convertvector(codes, Full::Int);
#endif
}

/// Writes vectors of codes, kNarrowed together, which fit the narrower type.
#if defined(__AVX512F__)
constexpr int kNarrowed = 1;
inline void store_codes(std::int8_t* to, const Full::Int (&codes)[1]) {
  // In a register: narrowing stores are microcode on some processors.
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(codes[0])));
}
inline void store_codes(std::int16_t* to, const Full::Int (&codes)[1]) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(codes[0])));
}
#elif defined(__AVX2__)
constexpr int kNarrowed = 4;
inline __m256i packed(const Full::Int& low, const Full::Int& high) {
  return _mm256_packs_epi32(reinterpret_cast<__m256i>(low), reinterpret_cast<__m256i>(high));
}
inline void store_codes(std::int8_t* to, const Full::Int (&codes)[4]) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_packs_epi16(packed(codes[0], codes[1]), packed(codes[2], codes[3]));
  store(to, _mm256_permutevar8x32_epi32(bytes, order));
}
inline void store_codes(std::int16_t* to, const Full::Int (&codes)[4]) {
  for (int half = 0; half < 2; ++half)
    store(to + 16 * half,
          _mm256_permute4x64_epi64(packed(codes[2 * half], codes[2 * half + 1]), 0xd8));
}
#else
constexpr int kNarrowed = 4;
template <class Code>
inline void store_codes(Code* to, const Full::Int (&codes)[4]) {
  for (int v = 0; v < 4; ++v) {
    for (int lane = 0; lane < kLanes; ++lane)
      to[v * kLanes + lane] = static_cast<Code>(codes[v][lane]);
  }
}
#endif

/// The largest integer that is not above x, of lanes below 2^22.
inline Full::Float floor_of(const Full::Float& x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Full::Float>(
      _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
#elif defined(__AVX2__)
  return reinterpret_cast<Full::Float>(_mm256_floor_ps(x));
#else
  const Full::Float rounded = (x + 12582912.0f) - 12582912.0f;
  return rounded > x ? rounded - 1.0f : rounded;
#endif
}

/// Writes the first `count` codes of kNarrowed vectors.
template <class Code>
inline void store_codes_first(Code* to, const Full::Int (&codes)[kNarrowed], std::int64_t count) {
#if defined(__AVX512F__)
  const auto lanes = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (sizeof(Code) == 1) {
    _mm512_mask_cvtepi32_storeu_epi8(to, lanes, reinterpret_cast<__m512i>(codes[0]));
  } else {
    _mm512_mask_cvtepi32_storeu_epi16(to, lanes, reinterpret_cast<__m512i>(codes[0]));
  }
#else
  Code some[kNarrowed * kLanes];
  store_codes(some, codes);
  __builtin_memcpy(to, some, static_cast<std::size_t>(count) * sizeof(Code));
#endif
}

/// Has g++ 12 read a vector from memory once, where it would do so for every use.
inline void keep_in_register([[maybe_unused]] Full::Float& v) {
#if defined(__x86_64__)
  asm("" : "+x"(v));
#endif
}

/// Every lane is a pair of int16: the sum of the products of first and of second numbers.
inline Full::Int multiply_pairs(const Full::Int& x, const Full::Int& y) {
#if defined(__AVX512F__)
  return reinterpret_cast<Full::Int>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y)));
#elif defined(__AVX2__)
  return reinterpret_cast<Full::Int>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y)));
#elif defined(__SSE2__)
  return reinterpret_cast<Full::Int>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(y)));
#else
  const auto first = [](const Full::Int& v) {
    return reinterpret_cast<Full::Int>(reinterpret_cast<Full::Bits>(v) << 16) >> 16;
  };
  return first(x) * first(y) + (x >> 16) * (y >> 16);
#endif
}

/// Products of the low 32 bits of each lane.
inline Half::LongBits multiply_low(const Half::LongBits& x, const Half::LongBits& y) {
#if defined(__AVX512F__)
  return reinterpret_cast<Half::LongBits>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y)));
#elif defined(__AVX2__)
  return reinterpret_cast<Half::LongBits>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y)));
#elif defined(__SSE2__)
  return reinterpret_cast<Half::LongBits>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(y)));
#else
  return (x & 0xffffffffu) * (y & 0xffffffffu);
#endif
}

/// x[0] y[0] x[1] y[1] ..., which fill two vectors.
inline void zip(const Full::Bits& x, const Full::Bits& y, Full::Bits& low, Full::Bits& high) {
#if defined(__AVX512F__)
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  const auto a = reinterpret_cast<__m512i>(x), b = reinterpret_cast<__m512i>(y);
  low = reinterpret_cast<Full::Bits>(_mm512_permutex2var_epi32(a, first, b));
  high = reinterpret_cast<Full::Bits>(_mm512_permutex2var_epi32(a, second, b));
#elif defined(__AVX2__)
  const auto a = reinterpret_cast<__m256i>(x), b = reinterpret_cast<__m256i>(y);
  const __m256i even = _mm256_unpacklo_epi32(a, b), odd = _mm256_unpackhi_epi32(a, b);
  low = reinterpret_cast<Full::Bits>(_mm256_permute2x128_si256(even, odd, 0x20));
  high = reinterpret_cast<Full::Bits>(_mm256_permute2x128_si256(even, odd, 0x31));
#else
  low = Full::Bits{x[0], y[0], x[1], y[1]};
  high = Full::Bits{x[2], y[2], x[3], y[3]};
#endif
}

/// The sum of int16 modulo 2^16.
inline Words add_wrapped(const Words& x, const Words& y) {
  typedef std::uint16_t Unsigned __attribute__((vector_size(4 * kLanes)));
  return reinterpret_cast<Words>(reinterpret_cast<Unsigned>(x) + reinterpret_cast<Unsigned>(y));
}
/// The sum of int16, held to what int16 can be.
inline Words add_saturated(const Words& x, const Words& y) {
#if defined(__AVX512F__)
  return reinterpret_cast<Words>(
      _mm512_adds_epi16(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y)));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(
      _mm256_adds_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y)));
#elif defined(__SSE2__)
  return reinterpret_cast<Words>(
      _mm_adds_epi16(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(y)));
#else
  const Words sum = add_wrapped(x, y), bound = (x >> 15) ^ 32767;
  return ((sum ^ x) & (sum ^ y)) < 0 ? bound : sum;
#endif
}

/// `counts` goes up by one in the lanes where x and y differ.
template <class V>
inline void count_unequal(const V& x, const V& y, V& counts) {
#if defined(__AVX512F__)
  const auto a = reinterpret_cast<__m512i>(x), b = reinterpret_cast<__m512i>(y),
             c = reinterpret_cast<__m512i>(counts), all = _mm512_set1_epi32(-1);
  if constexpr (sizeof x[0] == 2) {
    counts = reinterpret_cast<V>(_mm512_mask_sub_epi16(c, _mm512_cmpneq_epi16_mask(a, b), c, all));
  } else {
    counts = reinterpret_cast<V>(_mm512_mask_sub_epi32(c, _mm512_cmpneq_epi32_mask(a, b), c, all));
  }
#else
  counts -= x != y;
#endif
}

/// fma in float32 where there is no instruction: the product is exact in double; the sum is rounded
/// to odd (an inexact sum with an even last bit moves to its odd neighbour on the side of the
/// error), so that the final rounding to float sees on which side of a tie it lies.
inline float fma_of(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c;
  const double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  auto bits = __builtin_bit_cast(std::uint64_t, sum);
  const bool inexact = error > 0.0 || error < 0.0;  // false for NaN: infinities pass through
  const std::uint64_t away = (error > 0.0) == (sum > 0.0) ? 1 : ~std::uint64_t{0};
  bits += inexact && (bits & 1) == 0 ? away : 0;
  return static_cast<float>(__builtin_bit_cast(double, bits));
#endif
}

/// sum becomes fma(x, y, sum), lane by lane.
inline void add_product(const Full::Float& x, const Full::Float& y, Full::Float& sum) {
#if defined(__AVX512F__)
  sum = reinterpret_cast<Full::Float>(_mm512_fmadd_ps(x, y, sum));
#elif defined(__FMA__)
  sum = reinterpret_cast<Full::Float>(_mm256_fmadd_ps(x, y, sum));
#else
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum[lane] = fma_of(x[lane], y[lane], sum[lane]);
#endif
}
inline void add_product(double x, double y, double& sum) { sum = __builtin_fma(x, y, sum); }
inline void add_product(const Half::Double& x, const Half::Double& y, Half::Double& sum) {
#if defined(__AVX512F__)
  sum = reinterpret_cast<Half::Double>(_mm512_fmadd_pd(x, y, sum));
#elif defined(__FMA__)
  sum = reinterpret_cast<Half::Double>(_mm256_fmadd_pd(x, y, sum));
#else
  for (std::size_t lane = 0; lane < kLanes / 2; ++lane)
    sum[lane] = __builtin_fma(x[lane], y[lane], sum[lane]);
#endif
}

/// Calls run(Lanes, first column) for strips that cover all columns.
template <class Lanes, class Run>
void for_each_strip(std::int64_t cols, const Run& run) {
  std::int64_t j = 0;
  for (; j + Lanes::kCount <= cols; j += Lanes::kCount) run(Lanes{}, j);
  for (; j < cols; ++j) run(Single{}, j);
}

}  // namespace
}  // namespace ebb::kernels
