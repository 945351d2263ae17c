#include <bit>
#include <cmath>
#include <limits>

#include "quant/kernels/registry.h"
#include "quant/kernels/sums/numbers.h"
#include "quant/kernels/sums/wide_sum.h"

// Sums in every other accumulator, as reference_sums.cpp defines them, for rows and columns that
// lie in order.
namespace ebb::kernels {
namespace {

/// Rounds to nearest in a floating format, from float64 rounded to odd.
class RoundTo {
 public:
  explicit RoundTo(Format format)
      : format_(format), lowest_(lowest_binade(format)), max_(traits_of(format).max(format)) {}

  /// A zero is +0, as of every sum.
  double operator()(double x) const {
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const std::uint64_t sign = bits & kSign, magnitude = bits & ~kSign;
    const int exponent = static_cast<int>(magnitude >> 52) - 1023;
    const int drop = 52 - format_.fraction + std::max(0, lowest_ - exponent);
    if (drop > 52 || !format_.subnormals) return by_codec(x);
    const std::uint64_t half = (std::uint64_t{1} << drop) >> 1, odd = magnitude >> drop & 1;
    const std::uint64_t rounded =
        drop == 0 ? magnitude : (magnitude + half - 1 + odd) >> drop << drop;
    const auto value = std::bit_cast<double>(sign | rounded);
    return std::abs(value) <= max_ ? value + 0.0 : by_codec(x);  // infinities and NaNs too
  }

 private:
  [[nodiscard]] double by_codec(double x) const {
    if (std::isnan(x)) return x;
    const FormatTraits& traits = traits_of(format_);
    return static_cast<double>(
               traits.decode(format_, traits.encode(format_, x, Rounding::nearest_even, {}))) +
           0.0;
  }

  Format format_;
  int lowest_;
  double max_;
};

double in_format(const RoundTo& round, const double* a, const double* b, std::int64_t k) {
  double sum = 0;
  for (std::int64_t s = 0; s < k; ++s) {
    const double product = a[s] * b[s];
    sum = round(std::isfinite(sum) ? add_to_odd(sum, product) : sum + product);
  }
  return sum;
}

double exact_of(double first, const double* a, const double* b, std::int64_t k) {
  WideSum sum;
  sum.add(first);
  for (std::int64_t s = 0; s < k; ++s) sum.add(a[s] * b[s]);
  return sum.rounded_to_odd();
}

/// Chunks aligned to their largest addend, with `bits` of fraction.
class TensorCore {
 public:
  TensorCore(const Accumulator& how, Format a, Format b)
      : how_(how), a_lowest_(lowest_binade(a)), b_lowest_(lowest_binade(b)) {}

  double operator()(const double* a, const double* b, std::int64_t k) const {
    double sum = 0, promoted = 0;
    for (std::int64_t begin = 0; begin < k; begin += how_.chunk) {
      const std::int64_t end = std::min(k, begin + how_.chunk);
      sum = chunk(sum, a + begin, b + begin, end - begin);
      if (how_.promote == 0 || (end % how_.promote != 0 && end != k)) continue;
      promoted = static_cast<double>(static_cast<float>(promoted + sum));
      sum = 0;
    }
    return how_.promote > 0 ? promoted : sum;
  }

 private:
  static int exponent(double x) {
    return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ff) - 1023;
  }

  [[nodiscard]] double chunk(double sum, const double* a, const double* b, std::int64_t k) const {
    int top = sum == 0 ? -10000 : exponent(sum);
    for (std::int64_t s = 0; s < k; ++s) {
      const int of_product =
          std::max(exponent(a[s]), a_lowest_) + std::max(exponent(b[s]), b_lowest_);
      top = a[s] == 0 || b[s] == 0 ? top : std::max(top, of_product);
    }
    if (top == -10000) return 0;
    const double units = std::ldexp(1.0, how_.bits - top);
    auto whole = static_cast<std::int64_t>(sum * units);
    for (std::int64_t s = 0; s < k; ++s) whole += static_cast<std::int64_t>(a[s] * b[s] * units);
    const auto magnitude = static_cast<std::uint64_t>(std::abs(whole));
    const int drop = std::max(0, static_cast<int>(std::bit_width(magnitude)) - 1 - how_.bits);
    const auto kept = static_cast<double>(magnitude >> drop << drop);
    return (whole < 0 ? -kept : kept) / units;
  }

  Accumulator how_;
  int a_lowest_, b_lowest_;
};

}  // namespace

bool sums_apply(const Problem& p) { return p.both_float() && !p.float_chain(); }

std::uint64_t multiply_sums(const Problem& p) {
  if (!all_finite(p.a.codes()) || !all_finite(p.b.codes())) return reference_sums(p);
  const Accumulator& how = p.accumulator;
  const RoundTo round(how.format);
  const auto each = [&](const auto& sum_of) { for_outputs<double>(p, 1, 1, sum_of); };
  const auto by_chunk = [&](std::int64_t k, const auto& then) {
    for (std::int64_t begin = 0; begin < k; begin += how.chunk)
      then(begin, std::min<std::int64_t>(how.chunk, k - begin));
  };
  switch (how.kind) {
    case Accumulator::Kind::sequential:
      each([&](const double* a, const double* b, std::int64_t k) {
        return in_format(round, a, b, k);
      });
      break;
    case Accumulator::Kind::chunked:
      each([&](const double* a, const double* b, std::int64_t k) {
        double sum = 0;
        by_chunk(k, [&](std::int64_t begin, std::int64_t count) {
          const double part = in_format(round, a + begin, b + begin, count);
          sum =
              round(std::isfinite(sum) && std::isfinite(part) ? add_to_odd(sum, part) : sum + part);
        });
        return sum;
      });
      break;
    case Accumulator::Kind::blocked:
      each([&](const double* a, const double* b, std::int64_t k) {
        double sum = 0;
        by_chunk(k, [&](std::int64_t begin, std::int64_t count) {
          sum = static_cast<double>(static_cast<float>(exact_of(sum, a + begin, b + begin, count)));
        });
        return sum;
      });
      break;
    case Accumulator::Kind::tensor_core: each(TensorCore(how, p.a.format(), p.b.format())); break;
    default:
      each([](const double* a, const double* b, std::int64_t k) { return exact_of(0, a, b, k); });
  }
  return 0;
}

}  // namespace ebb::kernels
