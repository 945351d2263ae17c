#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "quant/gemm.h"
#include "quant_problems.h"

#ifdef EBB_HAVE_MPFR
#include <gmp.h>
#include <mpfr.h>
#endif

using namespace ebb;
using namespace ebb::testing;

namespace {

const Site kSite{"conv1", {"first"}};

Multiply by_reference(Accumulator accumulator = {}) {
  return {.site = kSite, .accumulator = accumulator, .kernel = "reference"};
}

Tensor product(const Operand& a, const Operand& b, Accumulator accumulator = {}) {
  CostLedger ledger;
  return gemm(a, b, by_reference(accumulator), ledger);
}

/// Whole numbers as the codes of a symmetric grid of scale 1 and 16 bits: element 0 must be 32767
/// or -32767.
Operand whole_numbers(const Tensor& x) {
  return Operand(x.matrix(), {Format::integer(16), GridStyle::symmetric}, Granularity::per_tensor,
                 Key(0));
}

#ifdef EBB_HAVE_MPFR

/// A whole number without bounds.
class Whole {
 public:
  explicit Whole(long value = 0) { mpz_init_set_si(value_, value); }
  ~Whole() { mpz_clear(value_); }
  Whole(const Whole&) = delete;
  Whole& operator=(const Whole&) = delete;
  operator mpz_ptr() { return value_; }
  /// Exact: |value| < 2^53 in every use.
  double number() {
    CHECK(mpz_sizeinbase(value_, 2) <= 53);
    return mpz_get_d(value_);
  }

 private:
  mpz_t value_;
};

/// A real number with 2000 bits, which hold every sum of products of floats here exactly.
class Exact {
 public:
  explicit Exact(double value = 0) {
    mpfr_init2(value_, 2000);
    mpfr_set_d(value_, value, MPFR_RNDN);
  }
  ~Exact() { mpfr_clear(value_); }
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;
  operator mpfr_ptr() { return value_; }
  double number() { return mpfr_get_d(value_, MPFR_RNDN); }

 private:
  mpfr_t value_;
};

/// scale * (stored + centre) + offset, exactly.
void real_value(Exact& y, const Grid& grid, std::int64_t stored) {
  mpfr_set_d(y, double{grid.scale}, MPFR_RNDN);
  mpfr_mul_si(y, y, static_cast<long>(stored + grid.centre()), MPFR_RNDN);
  mpfr_add_d(y, y, double{grid.offset}, MPFR_RNDN);
}

/// What one output must be: the formula of docs/NUMERICS.md on sums without bounds, and the exact
/// real value with the error bound.
struct Oracle {
  float formula = 0;
  double exact = 0, bound = 0;
};

Oracle oracle(const RandomProduct& p, std::int64_t i, std::int64_t j) {
  const CodeMatrix &a = p.a().codes(), &b = p.b().codes();
  const Grid &ga = grid_of_row(p.a(), i), &gb = grid_of_column(p.b(), j);
  Whole sum, a_sum, b_sum, valid, term;
  Exact total, x, y, magnitude;
  for (std::int64_t k = 0; k < p.a().cols(); ++k) {
    const std::int64_t at_a = a.offset(i, k), at_b = b.offset(k, j);
    if (at_a < 0 || at_b < 0) continue;
    const std::int64_t ca = a.code_at(at_a), cb = b.code_at(at_b);
    mpz_set_si(term, static_cast<long>(ca));
    mpz_add(a_sum, a_sum, term);
    mpz_mul_si(term, term, static_cast<long>(cb));
    mpz_add(sum, sum, term);
    mpz_set_si(term, static_cast<long>(cb));
    mpz_add(b_sum, b_sum, term);
    mpz_add_ui(valid, valid, 1);
    real_value(x, ga, ca);
    real_value(y, gb, cb);
    mpfr_fma(total, x, y, total, MPFR_RNDN);
  }
  if (p.accumulator.kind ==
      Accumulator::Kind::wrap) {  // the sum modulo 2^W, in -2^(W-1) .. 2^(W-1) - 1
    Whole half(1);
    mpz_mul_2exp(half, half, static_cast<unsigned long>(p.accumulator.bits - 1));
    mpz_add(sum, sum, half);
    mpz_fdiv_r_2exp(sum, sum, p.accumulator.bits);
    mpz_sub(sum, sum, half);
  }
  const double sa = double{ga.scale}, sb = double{gb.scale};
  const double za = sa * ga.centre() + double{ga.offset}, zb = sb * gb.centre() + double{gb.offset};
  const double products = (sa * sb) * sum.number() + (sa * zb) * a_sum.number();
  const double offsets = (za * sb) * b_sum.number() + (za * zb) * valid.number();
  const double terms = std::abs(sa * sb * sum.number()) + std::abs(sa * zb * a_sum.number()) +
                       std::abs(za * sb * b_sum.number()) + std::abs(za * zb * valid.number());
  Oracle result{static_cast<float>(products + offsets), total.number(), 0};
  result.bound = 0x1p-24 * std::abs(result.exact) + 8 * 0x1p-53 * terms + 0x1p-149;
  return result;
}

/// Checks all outputs, or forty random ones of a large product.
void check_against_oracle(const RandomProduct& p, Dice& dice) {
  const Tensor c = product(p.a(), p.b(), p.accumulator);
  const std::int64_t rows = c.shape()[0], cols = c.shape()[1];
  const bool all = c.size() * p.a().cols() <= 4000;
  for (std::int64_t sample = 0; sample < (all ? c.size() : 8); ++sample) {
    const std::int64_t at = all ? sample : dice.below(c.size());
    const Oracle expected = oracle(p, at / cols, at % cols);
    const bool equals_formula = c[at] == expected.formula;
    const bool within = std::isinf(c[at]) || !p.accumulator.is_exact() ||
                        std::abs(double{c[at]} - expected.exact) <= expected.bound;
    CAPTURE(p.what);
    CAPTURE(rows);
    CAPTURE(at);
    CHECK(equals_formula);
    CHECK(within);
  }
}

#endif

}  // namespace

#ifdef EBB_HAVE_MPFR

TEST_CASE(
    "the reference equals arbitrary-precision arithmetic for all 256 pairs of widths, both grids, "
    "whole and along the free axis") {
  Dice dice(Key(30));
  for (int a_bits = 1; a_bits <= 16; ++a_bits) {
    for (int b_bits = 1; b_bits <= 16; ++b_bits) {
      for (int variant = 0; variant < 4; ++variant) {
        RandomProduct p;
        const std::int64_t m = dice.between(1, 3), k = dice.between(1, 30), n = dice.between(1, 3);
        p.memory = {random_values(dice, m, k), random_values(dice, k, n)};
        const auto style = [&](int bits) {
          return bits > 1 && dice.one_in(2) ? GridStyle::symmetric : GridStyle::affine;
        };
        const Granularity rows = variant % 2 == 0 ? Granularity::per_tensor : Granularity::per_row,
                          columns = variant < 2 ? Granularity::per_tensor : Granularity::per_column;
        p.sides.emplace_back(p.memory[0].matrix(), Encoding{Format::integer(a_bits), style(a_bits)},
                             rows, dice.key());
        p.sides.emplace_back(p.memory[1].matrix(),
                             Encoding{Format::integer(b_bits), style(b_bits), Rounding::stochastic},
                             columns, dice.key());
        p.what = concat("int", a_bits, " int", b_bits, ' ', m, 'x', k, 'x', n);
        check_against_oracle(p, dice);
      }
    }
  }
}

TEST_CASE(
    "the reference equals arbitrary-precision arithmetic on views, patches with padding, empty "
    "sizes and wrapped sums") {
  Dice dice(Key(31));
  int checked = 0;
  for (std::uint64_t i = 0; i < 1200; ++i) {
    const RandomProduct p = random_product(Key(32), i);
    if (p.a().is_float() || p.accumulator.kind == Accumulator::Kind::saturate) continue;
    check_against_oracle(p, dice);
    ++checked;
  }
  CHECK(checked > 500);
}

TEST_CASE("float32 products are one ascending-k chain of fused multiply-adds from +0") {
  Dice dice(Key(33));
  mpfr_t x, y, chain;
  mpfr_inits2(24, x, y, chain, static_cast<mpfr_ptr>(nullptr));
  for (int i = 0; i < 200; ++i) {
    const std::int64_t k = dice.below(60);
    Tensor a = Tensor::uninitialized({1, k}), b = Tensor::uninitialized({k, 1});
    for (float& v : a.values()) v = dice.normal();
    for (float& v : b.values()) v = dice.normal();
    mpfr_set_zero(chain, 1);
    for (std::int64_t at = 0; at < k; ++at) {
      mpfr_set_flt(x, a[at], MPFR_RNDN);
      mpfr_set_flt(y, b[at], MPFR_RNDN);
      mpfr_fma(chain, x, y, chain, MPFR_RNDN);
    }
    const Encoding fp32{};
    const Tensor c = product(Operand(a.matrix(), fp32, Granularity::per_tensor, Key(0)),
                             Operand(b.matrix(), fp32, Granularity::per_tensor, Key(0)));
    CHECK(c[0] == mpfr_get_flt(chain, MPFR_RNDN));
    CHECK((c[0] != 0 || !std::signbit(c[0])));
  }
  mpfr_clears(x, y, chain, static_cast<mpfr_ptr>(nullptr));
}

#endif

TEST_CASE("sums far beyond 32 bits are right to the last bit of their one rounding") {
  struct Case {
    int bits;
    float value;
    std::int64_t k;
    double sum;
  };
  const Case cases[] = {{8, 255.0f, 131072, 255.0 * 255.0 * 131072},
                        {8, 255.0f, 200000, 255.0 * 255.0 * 200000},
                        {16, 65535.0f, 200000, 65535.0 * 65535.0 * 200000},
                        {1, 1.0f, 200000, 200000}};
  for (const Case& c : cases) {
    const Range range{0, c.value};  // scale 1, offset 0
    const Operand::Options options{.range = &range};
    const Tensor a = Tensor::filled({1, c.k}, c.value), b = Tensor::filled({c.k, 1}, c.value);
    const Encoding encoding{Format::integer(c.bits)};
    const Tensor y =
        product(Operand(a.matrix(), encoding, Granularity::per_tensor, Key(0), options),
                Operand(b.matrix(), encoding, Granularity::per_tensor, Key(0), options));
    CHECK(y.item() == static_cast<float>(c.sum));
  }
}

TEST_CASE(
    "narrow accumulators wrap or saturate as the definition's loop does, and count their events") {
  Dice dice(Key(34));
  for (int i = 0; i < 4000; ++i) {
    const std::int64_t k = dice.between(1, 40), size = dice.one_in(3)   ? 32767
                                                       : dice.one_in(2) ? 3000
                                                                        : 100;
    Tensor a = Tensor::uninitialized({1, k}), b = Tensor::uninitialized({k, 1});
    for (Tensor* x : {&a, &b}) {
      for (float& v : x->values()) v = static_cast<float>(dice.between(-size, size));
      (*x)[0] = dice.one_in(2) ? 32767.0f : -32767.0f;  // makes the scale exactly 1
    }
    const std::int64_t bits = dice.between(2, 40), high = (std::int64_t{1} << (bits - 1)) - 1,
                       low = -high - 1;
    std::int64_t exact = 0, held = 0;
    std::uint64_t saturations = 0;
    for (std::int64_t at = 0; at < k; ++at) {
      std::int64_t term = static_cast<std::int64_t>(a[at]) * static_cast<std::int64_t>(b[at]);
      exact += term;
      if (term > high || term < low) ++saturations;
      term = std::min(high, std::max(low, term));
      held += term;
      if (held > high || held < low) ++saturations;
      held = std::min(high, std::max(low, held));
    }
    const std::int64_t modulus = 2 * (high + 1), above = exact - low;
    const std::int64_t turns = above >= 0 ? above / modulus : -((-above + modulus - 1) / modulus);
    const std::int64_t wrapped = exact - turns * modulus;
    const Operand qa = whole_numbers(a), qb = whole_numbers(b);
    CostLedger saturating, wrapping;
    const float s = gemm(qa, qb, by_reference(Accumulator::saturate(bits)), saturating).item();
    const float w = gemm(qa, qb, by_reference(Accumulator::wrap(bits)), wrapping).item();
    CAPTURE(bits);
    CAPTURE(exact);
    CHECK(s == static_cast<float>(held));
    CHECK(w == static_cast<float>(wrapped));
    CHECK(saturating.overflow_events() == saturations);
    CHECK(wrapping.overflow_events() == static_cast<uint128>(std::abs(turns)));
  }
}

TEST_CASE(
    "the register holds the products of the centred codes; the corrections of an affine grid stay "
    "wide") {
  // Affine int8 over 0 .. 255: value v has the stored code v - 128. All values 255: 100 products of
  // 127 x 127 = 16129.
  const Range range{0, 255};
  const Operand::Options options{.range = &range};
  const Tensor ones = Tensor::filled({1, 100}, 255.0f), column = Tensor::filled({100, 1}, 255.0f);
  const Operand a(ones.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(0), options);
  const Operand b(column.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(0), options);
  CostLedger ledger;
  // 255 * 255 * 100 = 6,502,500 = sum of products + 128 * 12700 * 2 + 128 * 128 * 100 with the sum
  // 1,612,900 held to 32767.
  CHECK(gemm(a, b, by_reference(Accumulator::saturate(16)), ledger).item() ==
        32767 + 2 * 128 * 12700 + 128 * 128 * 100);
  CHECK(ledger.overflow_events() ==
        98);  // 2 x 16129 still fits, each of the other 98 additions saturates
  CHECK(gemm(a, b, by_reference(Accumulator::wrap(16)), ledger).item() ==
        1612900 - 25 * 65536 + 2 * 128 * 12700 + 128 * 128 * 100);
  CHECK(ledger.overflow_events() == 98 + 25);
}
