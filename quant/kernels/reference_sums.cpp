#include <algorithm>
#include <cmath>
#include <functional>

#include "quant/kernels/problem.h"
#include "quant/kernels/sums/wide_sum.h"

// The definition of sums in a floating accumulator, one output at a time. The kernels of sums/ are
// held against it bit for bit; they share the exact addition with it, which has tests of its own.
namespace ebb::kernels {
namespace {

/// The products that one output sums, each exact in float64: no two formats have more than 53 bits
/// of significand together.
using Products = std::function<double(std::int64_t k)>;

/// x, already rounded to odd in float64, to nearest in a format.
double to_format(Format format, double x) {
  if (std::isnan(x)) return x;
  const std::uint32_t code = traits_of(format).encode(format, x, Rounding::nearest_even, {});
  return static_cast<double>(traits_of(format).decode(format, code)) + 0.0;  // no sum is -0
}

double exact_sum(std::initializer_list<double> first, const Products& product, std::int64_t begin,
                 std::int64_t end) {
  WideSum sum;
  for (const double x : first) sum.add(x);
  for (std::int64_t k = begin; k < end; ++k) sum.add(product(k));
  return sum.rounded_to_odd();
}

double sequential(Format format, const Products& product, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t k = begin; k < end; ++k)
    sum = to_format(format, exact_sum({sum, product(k)}, product, 0, 0));
  return sum;
}

/// The exponent of a number's binade; subnormals have that of the smallest normal number.
int binade(double x, int lowest) { return std::max(std::ilogb(x), lowest); }

/// Toward zero to a multiple of 2^exponent.
double cut(double x, int exponent) {
  return std::ldexp(std::trunc(std::ldexp(x, -exponent)), exponent);
}

}  // namespace

int lowest_binade(Format format) {
  return format.kind == Format::Kind::floating ? 1 - format.bias : -1000;
}

std::uint64_t reference_sums(const Problem& p) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const Accumulator& how = p.accumulator;
  const std::int64_t chunk = how.chunk > 0 ? how.chunk : p.k();
  const int a_lowest = lowest_binade(p.a.format()), b_lowest = lowest_binade(p.b.format());
  for (std::int64_t i = 0; i < p.m(); ++i) {
    for (std::int64_t j = 0; j < p.n(); ++j) {
      const auto left = [&](std::int64_t k) {
        return static_cast<double>(a.value_at(a.offset(i, k)));
      };
      const auto right = [&](std::int64_t k) {
        return static_cast<double>(b.value_at(b.offset(k, j)));
      };
      const Products product = [&](std::int64_t k) { return left(k) * right(k); };
      double sum = 0, promoted = 0, special = 0;
      for (std::int64_t k = 0; k < p.k(); ++k)
        special += std::isfinite(product(k)) ? 0 : product(k);
      if (special != 0) {  // infinities and NaNs go through any accumulator
        p.finish(i, j, special);
        continue;
      }
      if (how.kind == Accumulator::Kind::exact) sum = exact_sum({}, product, 0, p.k());
      if (how.kind == Accumulator::Kind::sequential)
        sum = sequential(how.format, product, 0, p.k());
      for (std::int64_t begin = 0; begin < p.k(); begin += chunk) {
        const std::int64_t end = std::min(p.k(), begin + chunk);
        if (how.kind == Accumulator::Kind::blocked)
          sum = static_cast<double>(static_cast<float>(exact_sum({sum}, product, begin, end)));
        if (how.kind == Accumulator::Kind::chunked) {
          const double part = sequential(how.format, product, begin, end);
          sum = to_format(how.format, exact_sum({sum, part}, product, 0, 0));
        }
        if (how.kind != Accumulator::Kind::tensor_core) continue;
        int top = sum == 0 ? -10000 : std::ilogb(sum);
        for (std::int64_t k = begin; k < end; ++k) {
          if (product(k) != 0)
            top = std::max(top, binade(left(k), a_lowest) + binade(right(k), b_lowest));
        }
        const auto aligned = [&](std::int64_t k) { return cut(product(k), top - how.bits); };
        sum = exact_sum({cut(sum, top - how.bits)}, aligned, begin, end);
        if (sum != 0) sum = cut(sum, std::ilogb(sum) - how.bits);
        if (how.promote > 0 && (end % how.promote == 0 || end == p.k())) {
          promoted = static_cast<double>(static_cast<float>(promoted + sum));
          sum = 0;
        }
      }
      p.finish(i, j, how.promote > 0 ? promoted : sum);
    }
  }
  return 0;
}

}  // namespace ebb::kernels
