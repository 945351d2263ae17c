#include <algorithm>
#include <cmath>

#include "quant/kernels/problem.h"
#include "quant/multiplier.h"

// The definition of integer and of float32 products, one output at a time. Nothing here is fast and
// nothing here changes: the other kernels are held against it bit for bit, so it shares no code
// with them.
namespace ebb::kernels {

std::int64_t wrapped(std::int64_t sum, int bits, std::uint64_t& events) {
  const int unused = 64 - bits;
  const std::int64_t kept =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) << unused) >> unused;
  events += static_cast<std::uint64_t>(std::abs((sum - kept) >> bits));
  return kept;
}

std::int64_t narrow_add(std::int64_t sum, std::int64_t product, Accumulator accumulator,
                        std::uint64_t& events) {
  const std::int64_t high = (std::int64_t{1} << (accumulator.bits - 1)) - 1, low = -high - 1;
  const auto hold = [&](std::int64_t value) {
    const std::int64_t held = std::clamp(value, low, high);
    events += held != value ? 1u : 0u;
    return held;
  };
  return hold(sum + hold(product));
}

namespace {

/// float((s_a s_b) S + (s_a z_b) A + (z_a s_b) B + (z_a z_b) V), see docs/NUMERICS.md.
float scaled(const Problem& p, std::int64_t i, std::int64_t j, std::int64_t sum, std::int64_t a_sum,
             std::int64_t b_sum, std::int64_t valid) {
  const Grid &ga = p.a.grid(p.a.granularity() == Granularity::per_row ? i : 0),
             &gb = p.b.grid(p.b.granularity() == Granularity::per_column ? j : 0);
  const double sa = static_cast<double>(ga.scale), sb = static_cast<double>(gb.scale),
               za = ga.stored_zero(), zb = gb.stored_zero();
  const double products =
      (sa * sb) * static_cast<double>(sum) + (sa * zb) * static_cast<double>(a_sum);
  const double offsets =
      (za * sb) * static_cast<double>(b_sum) + (za * zb) * static_cast<double>(valid);
  return static_cast<float>(products + offsets);
}

}  // namespace

std::uint64_t reference_integer(const Problem& p) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  std::uint64_t events = 0;
  for (std::int64_t i = 0; i < p.m(); ++i) {
    for (std::int64_t j = 0; j < p.n(); ++j) {
      std::int64_t sum = 0, a_sum = 0, b_sum = 0, valid = 0;
      for (std::int64_t k = 0; k < p.k(); ++k) {
        const std::int64_t at = a.offset(i, k);
        if (at < 0) continue;  // a padded tap is an exact zero: no code, no offset
        const std::int64_t x = a.code_at(at), y = b.code_at(b.offset(k, j));
        if (p.accumulator.kind == Accumulator::Kind::saturate) {
          sum = narrow_add(sum, x * y, p.accumulator, events);
        } else {
          sum += x * y;
        }
        a_sum += x;
        b_sum += y;
        ++valid;
      }
      if (p.accumulator.kind == Accumulator::Kind::wrap)
        sum = wrapped(sum, p.accumulator.bits, events);
      p.c(i, j) = scaled(p, i, j, sum, a_sum, b_sum, valid);
    }
  }
  return events;
}

std::uint64_t reference_table(const Problem& p) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const Multiplier& table = *p.multiplier;
  const int centre_a = table.is_signed() ? 0 : 1 << (p.a.format().width - 1),
            centre_b = table.is_signed() ? 0 : 1 << (p.b.format().width - 1);
  for (std::int64_t i = 0; i < p.m(); ++i) {
    for (std::int64_t j = 0; j < p.n(); ++j) {
      std::int64_t sum = 0, a_sum = 0, b_sum = 0, valid = 0;
      for (std::int64_t k = 0; k < p.k(); ++k) {
        const std::int64_t at = a.offset(i, k);
        if (at < 0) continue;
        const std::int32_t x = a.code_at(at), y = b.code_at(b.offset(k, j));
        const auto u = static_cast<std::uint8_t>(x + centre_a),
                   v = static_cast<std::uint8_t>(y + centre_b);
        sum += p.turned ? table.entry(v, u) : table.entry(u, v);
        a_sum += x;
        b_sum += y;
        ++valid;
      }
      // (u - centre_a) (v - centre_b) = u v - centre_b x - centre_a y - centre_a centre_b
      sum -= centre_b * a_sum + centre_a * b_sum + std::int64_t{centre_a} * centre_b * valid;
      p.c(i, j) = scaled(p, i, j, sum, a_sum, b_sum, valid);
    }
  }
  return 0;
}

std::uint64_t reference_float(const Problem& p) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  for (std::int64_t i = 0; i < p.m(); ++i) {
    for (std::int64_t j = 0; j < p.n(); ++j) {
      float sum = 0.0f;
      for (std::int64_t k = 0; k < p.k(); ++k)
        sum = std::fma(a.value_at(a.offset(i, k)), b.value_at(b.offset(k, j)), sum);
      p.c(i, j) = sum;
    }
  }
  return 0;
}

}  // namespace ebb::kernels
