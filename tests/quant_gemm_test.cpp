#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/gemm.h"
#include "quant/kernels/problem.h"
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

const Grid& grid_of_row(const Operand& a, std::int64_t i) {
  return a.grid(a.granularity() == Granularity::per_row ? i : 0);
}
const Grid& grid_of_column(const Operand& b, std::int64_t j) {
  return b.grid(b.granularity() == Granularity::per_column ? j : 0);
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

TEST_CASE(
    "float32 beside codes, gathered or dense, on either side: chains over the decoded values, at "
    "every SIMD level") {
  for (std::uint64_t i = 0; i < 300; ++i) {
    Dice dice(Key(36).fold(i));
    RandomProduct p;
    const bool float_patches = dice.one_in(2), on_the_left = dice.one_in(2);
    Operand gathered = random_patches(dice, p, float_patches);
    if (dice.one_in(2)) gathered = gathered.transposed();
    const std::int64_t free = dice.between(1, 40);
    const Operand other =
        on_the_left
            ? random_dense(dice, p, gathered.cols(), free, !float_patches, Granularity::per_column)
            : random_dense(dice, p, free, gathered.rows(), !float_patches, Granularity::per_row);
    const Operand &a = on_the_left ? gathered : other, &b = on_the_left ? other : gathered;
    const auto value = [](const Operand& q, const Grid& grid, std::int64_t row, std::int64_t col) {
      const std::int64_t at = q.codes().offset(row, col);
      return q.is_float() ? q.codes().value_at(at)
             : at < 0     ? 0.0f
                          : decode(q.codes().code_at(at) + grid.centre(), grid);
    };
    Tensor want = Tensor::uninitialized({a.rows(), b.cols()});
    for (std::int64_t r = 0; r < a.rows(); ++r) {
      for (std::int64_t c = 0; c < b.cols(); ++c) {
        float chain = 0;
        for (std::int64_t k = 0; k < a.cols(); ++k)
          chain = std::fma(value(a, a.is_float() ? Grid{} : grid_of_row(a, r), r, k),
                           value(b, b.is_float() ? Grid{} : grid_of_column(b, c), k, c), chain);
        want[r * b.cols() + c] = chain;
      }
    }
    CAPTURE(p.what);
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      CostLedger ledger;
      if (simd <= best_simd()) CHECK(gemm(a, b, {.site = kSite, .simd = simd}, ledger) == want);
    }
  }
}

TEST_CASE(
    "an integer operand beside a float32 one is decoded; simulated operands multiply decoded "
    "values and charge their format") {
  Dice dice(Key(35));
  for (int i = 0; i < 100; ++i) {
    const std::int64_t m = dice.between(1, 5), k = dice.between(0, 30), n = dice.between(1, 5);
    const Tensor x = random_values(dice, m, k), w = random_values(dice, k, n);
    const Encoding e8{Format::integer(8)}, e5{Format::integer(5), GridStyle::symmetric}, fp32{};
    const Operand a(x.matrix(), e8, Granularity::per_row, Key(1)),
        b(w.matrix(), e5, Granularity::per_column, Key(2));
    const Operand a32(x.matrix(), fp32, Granularity::per_tensor, Key(1)),
        b32(w.matrix(), fp32, Granularity::per_tensor, Key(2));
    const Operand::Options simulate{.simulate = true};
    const Operand sa(x.matrix(), e8, Granularity::per_row, Key(1), simulate),
        sb(w.matrix(), e5, Granularity::per_column, Key(2), simulate);
    CostLedger ledger;
    const Tensor mixed = gemm(a, b32, {kSite}, ledger);
    CHECK(ledger.total_bit_ops() == static_cast<uint128>(m * k * n * 8 * 32));
    const Tensor other = gemm(a32, b, {kSite}, ledger), simulated = gemm(sa, sb, {kSite}, ledger);
    CHECK(ledger.total_bit_ops() == static_cast<uint128>(m * k * n * (8 * 32 + 32 * 5 + 8 * 5)));
    const auto value = [](const Operand& q, const Grid& g, std::int64_t r, std::int64_t c) {
      return decode(q.codes().code_at(q.codes().offset(r, c)) + g.centre(), g);
    };
    int wrong = 0;
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t c = 0; c < n; ++c) {
        float chains[3] = {0, 0, 0};
        for (std::int64_t t = 0; t < k; ++t) {
          const float xa = x[r * k + t], wb = w[t * n + c], da = value(a, a.grid(r), r, t),
                      db = value(b, b.grid(c), t, c);
          chains[0] = std::fma(da, wb, chains[0]);
          chains[1] = std::fma(xa, db, chains[1]);
          chains[2] = std::fma(da, db, chains[2]);
        }
        const std::int64_t at = r * n + c;
        wrong += mixed[at] != chains[0] || other[at] != chains[1] || simulated[at] != chains[2];
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE(
    "finished rows are reported once each, in ranges that begin at multiples of 64, and hold what "
    "they will hold at the end") {
  Dice dice(Key(36));
  // Images of one block and of several, of lines that fill blocks of 64 rows and of lines that do
  // not, with 1 and 2 parts an axis.
  const PatchGeometry geometries[] = {{.images = 3,
                                       .height = 16,
                                       .width = 16,
                                       .channels = 8,
                                       .out_height = 16,
                                       .out_width = 16,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 80,
                                       .width = 48,
                                       .channels = 32,
                                       .out_height = 80,
                                       .out_width = 48,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 70,
                                       .width = 50,
                                       .channels = 33,
                                       .out_height = 69,
                                       .out_width = 47,
                                       .taps_y = 2,
                                       .taps_x = 4},
                                      {.images = 2,
                                       .height = 65,
                                       .width = 41,
                                       .channels = 16,
                                       .out_height = 33,
                                       .out_width = 21,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .step = 2,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 16,
                                       .width = 16,
                                       .channels = 16,
                                       .out_height = 32,
                                       .out_width = 32,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .divide = 2,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 5,
                                       .height = 3,
                                       .width = 4,
                                       .channels = 5,
                                       .out_height = 3,
                                       .out_width = 4,
                                       .taps_y = 1,
                                       .taps_x = 1}};
  for (PatchGeometry g : geometries) {
    g.pixel_stride = g.channels;
    g.nominal_positions = g.rows();
    const Tensor image = random_values(dice, g.images * g.height * g.width, g.channels),
                 w = random_values(dice, g.cols(), 20);
    for (const int bits : {8, 12, 32}) {
      const Encoding e{bits == 32 ? Format::fp32() : Format::integer(bits)};
      const Operand patches =
          Operand(image.matrix(), e, Granularity::per_tensor, Key(1)).patches(g);
      const Operand b(w.matrix(), e, Granularity::per_column, Key(2));
      CostLedger ledger;
      const Tensor expected = gemm(patches, b, {.site = kSite, .kernel = "reference"}, ledger);
      Tensor c = Tensor::filled(expected.shape(), -1.0f);
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(g.rows()));
      std::atomic<int> wrong = 0;
      const RowsDone rows_done = [&](std::int64_t first, std::int64_t last) {
        wrong += first % kRowsDone != 0 || (last % kRowsDone != 0 && last != g.rows());
        for (std::int64_t i = first; i < last; ++i) ++times[static_cast<std::size_t>(i)];
        wrong +=
            !std::equal(c.data() + first * 20, c.data() + last * 20, expected.data() + first * 20);
      };
      gemm_into(patches, b, {.site = kSite, .simd = best_simd(), .rows_done = rows_done}, ledger,
                {c.data(), g.rows(), 20, 20});
      CAPTURE(g.height);
      CAPTURE(bits);
      CHECK(wrong == 0);
      CHECK(std::all_of(times.begin(), times.end(),
                        [](const std::atomic<int>& n) { return n == 1; }));
    }
  }
}

TEST_CASE("gemm refuses what does not fit, before it writes or charges anything") {
  const Tensor x = Tensor::filled({4, 6}, 1.0f), w = Tensor::filled({6, 3}, 2.0f),
               image = Tensor::filled({4, 6}, 1.0f);
  const Encoding e{Format::integer(8)};
  const Operand a(x.matrix(), e, Granularity::per_tensor, Key(0)),
      b(w.matrix(), e, Granularity::per_tensor, Key(0));
  const Operand by_column(x.matrix(), e, Granularity::per_column, Key(0)),
      by_row(w.matrix(), e, Granularity::per_row, Key(0));
  const PatchGeometry pointwise{.images = 1,
                                .height = 2,
                                .width = 2,
                                .channels = 6,
                                .pixel_stride = 6,
                                .out_height = 2,
                                .out_width = 2,
                                .taps_y = 1,
                                .taps_x = 1,
                                .nominal_positions = 4};
  const Operand patches =
      Operand(image.matrix(), e, Granularity::per_tensor, Key(0)).patches(pointwise);
  CostLedger ledger;
  const auto run = [&](const Operand& left, const Operand& right) {
    gemm(left, right, {kSite, Product::grad_left}, ledger);
  };
  CHECK_THROWS_WITH_AS(run(a, a), "[conv1 grad_left] cannot multiply 4 x 6 by 4 x 6", ShapeError);
  CHECK_THROWS_AS(run(by_column, b), ShapeError);
  CHECK_THROWS_AS(run(a, by_row), ShapeError);
  CHECK_THROWS_AS(run(patches, patches.transposed()), ShapeError);
  float room[12];
  std::fill(std::begin(room), std::end(room), -1.0f);
  CHECK_THROWS_AS(gemm_into(a, b, {kSite}, ledger, {room, 3, 4, 4}), ShapeError);
  CHECK(std::all_of(std::begin(room), std::end(room), [](float v) { return v == -1.0f; }));
  CHECK(ledger.total_macs() == 0);
  gemm_into(a, b, {kSite}, ledger, {room, 4, 3, 3});
  CHECK(room[11] == 12.0f);
}

TEST_CASE("products of formats that are decoded are float32 products of what they decode to") {
  struct Case {
    const char *left, *right;
    int bits;
  };
  const Case cases[] = {{"e4m3", "e4m3", 64}, {"e4m3", "e5m2", 64},  {"bf16", "e2m1", 64},
                        {"e3m0", "int4", 16}, {"int8", "fp16", 128}, {"tf32", "bf16", 304},
                        {"fp32", "e4m3", 256}};
  Dice dice(Key(93));
  for (const Case& c : cases) {
    CAPTURE(c.left);
    CAPTURE(c.right);
    Tensor x = Tensor::uninitialized({17, 70}), y = Tensor::uninitialized({70, 9});
    for (Tensor* each : {&x, &y}) {
      for (std::int64_t i = 0; i < each->size(); ++i) (*each)[i] = dice.normal();
    }
    const Operand a(x.matrix(), {Format::parse(c.left)}, Granularity::per_row, Key(1)),
        b(y.matrix(), {Format::parse(c.right)}, Granularity::per_column, Key(2));
    Tensor want = Tensor::uninitialized({17, 9});
    const Operand da = a.decoded(), db = b.decoded();
    for (std::int64_t i = 0; i < 17; ++i) {
      for (std::int64_t j = 0; j < 9; ++j) {
        float chain = 0;
        for (std::int64_t k = 0; k < 70; ++k)
          chain = std::fma(static_cast<float>(da.value(i, k)), static_cast<float>(db.value(k, j)),
                           chain);
        want[i * 9 + j] = chain;
      }
    }
    CostLedger ledger;
    CHECK(gemm(a, b, {.site = kSite}, ledger) == want);
    CHECK(gemm(a, b, {.site = kSite, .simd = best_simd()}, ledger) == want);
    CHECK(ledger.total_bit_ops() == uint128{2} * 17 * 70 * 9 * static_cast<uint128>(c.bits));
  }
}
