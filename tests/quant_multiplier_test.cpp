#include <doctest/doctest.h>
#include <omp.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/sha256.h"
#include "quant/depthwise.h"
#include "quant/gemm.h"
#include "quant/multiplier.h"
#include "quant_problems.h"

using namespace ebb;
using namespace ebb::testing;

namespace {

/// The bytes of a table whose product of the operands a and b is value(a, b).
template <class Value>
std::vector<std::byte> bytes_of(bool is_signed, const Value& value) {
  std::vector<std::byte> bytes;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const auto read = [&](int byte) { return is_signed && byte >= 128 ? byte - 256 : byte; };
      const auto entry = static_cast<std::uint16_t>(value(read(a), read(b)));
      bytes.push_back(std::byte(entry & 255));
      bytes.push_back(std::byte(entry >> 8));
    }
  }
  return bytes;
}

Multiplier exact_table(bool is_signed) {
  return Multiplier::parse(bytes_of(is_signed, [](int a, int b) { return a * b; }), is_signed, "");
}

/// Nothing like a product, and not commutative.
int odd_product(int a, int b) { return (a * 193 + b * 71 + a * a * 7 + ((a ^ 5 * b) & 63)) % 9973; }

Multiplier odd_table(bool is_signed) {
  return Multiplier::parse(bytes_of(is_signed, odd_product), is_signed, "");
}

bool fits(const RandomProduct& p) {
  return !p.a().is_float() && !p.b().is_float() && p.accumulator.is_exact() &&
         p.a().format().width <= 8 && p.b().format().width <= 8;
}

/// docs/NUMERICS.md in 64-bit integers and double: unsigned tables take u = code + 2^(N-1).
Tensor by_definition(const Operand& a, const Operand& b, bool is_signed) {
  Tensor c = Tensor::zeros({a.rows(), b.cols()});
  const int ca = is_signed ? 0 : 1 << (a.format().width - 1),
            cb = is_signed ? 0 : 1 << (b.format().width - 1);
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    for (std::int64_t j = 0; j < b.cols(); ++j) {
      std::int64_t sum = 0, as = 0, bs = 0, valid = 0;
      for (std::int64_t k = 0; k < a.cols(); ++k) {
        const std::int64_t at_a = a.codes().offset(i, k), at_b = b.codes().offset(k, j);
        if (at_a < 0 || at_b < 0) continue;
        const int x = a.codes().code_at(at_a), y = b.codes().code_at(at_b);
        sum += odd_product(x + ca, y + cb);
        as += x;
        bs += y;
        ++valid;
      }
      sum -= cb * as + ca * bs + std::int64_t{ca} * cb * valid;
      const Grid &ga = grid_of_row(a, i), &gb = grid_of_column(b, j);
      const double sa = static_cast<double>(ga.scale), sb = static_cast<double>(gb.scale),
                   za = ga.stored_zero(), zb = gb.stored_zero();
      // A product with its patches on the right is done turned, sides exchanged.
      const bool turned = b.codes().patches.has_value();
      const double by_a = sa * zb * static_cast<double>(as),
                   by_b = za * sb * static_cast<double>(bs);
      c[i * b.cols() + j] =
          static_cast<float>((sa * sb * static_cast<double>(sum) + (turned ? by_b : by_a)) +
                             ((turned ? by_a : by_b) + za * zb * static_cast<double>(valid)));
    }
  }
  return c;
}

}  // namespace

TEST_CASE("a table of the exact products gives the exact products, bit for bit") {
  const Multiplier tables[] = {exact_table(false), exact_table(true)};
  int done = 0;
  for (std::uint64_t i = 0; i < 1500; ++i) {
    const RandomProduct p = random_product(Key(77), i);
    if (!fits(p)) continue;
    CAPTURE(p.what);
    CostLedger ledger;
    const Tensor want = gemm(p.a(), p.b(), {.site = "fc", .simd = best_simd()}, ledger);
    for (const Multiplier& table : tables) {
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd > best_simd()) continue;
        const Multiply how{.site = "fc", .simd = simd, .multiplier = &table};
        const bool equal = gemm(p.a(), p.b(), how, ledger) == want;
        CHECK(equal);
        ++done;
      }
    }
  }
  CHECK(done > 300);
}

TEST_CASE("any table is summed exactly, its first operand being the left one, by every kernel") {
  const int threads = omp_get_max_threads();
  int done = 0;
  for (std::uint64_t i = 0; i < 1200; ++i) {
    const RandomProduct p = random_product(Key(78), i);
    if (!fits(p)) continue;
    omp_set_num_threads(static_cast<int>(i % 3) + 1);
    CAPTURE(p.what);
    for (const bool is_signed : {false, true}) {
      const Multiplier table = odd_table(is_signed);
      const Tensor want = by_definition(p.a(), p.b(), is_signed);
      for (const char* kernel : {"reference", "table", "table-avx512"}) {
        const std::string name = kernel;
        if (name.ends_with("avx512") && best_simd() < Simd::avx512) continue;
        if (name != "reference" && (p.a().rows() == 0 || p.b().cols() == 0)) continue;
        CostLedger ledger;
        const Multiply how{.site = "fc", .kernel = name, .multiplier = &table};
        CAPTURE(name);
        const bool equal = gemm(p.a(), p.b(), how, ledger) == want;
        CHECK(equal);
        ++done;
      }
    }
  }
  omp_set_num_threads(threads);
  CHECK(done > 300);
}

TEST_CASE("long sums of a table's largest entries do not overflow") {
  const auto most = [](int, int) { return 65535; };
  const Multiplier table = Multiplier::parse(bytes_of(false, most), false, "");
  const Tensor ones = Tensor::filled({1, 70000}, 1.0f);
  const Range range{-1.0f, 1.0f};
  const Operand::Options options{.range = &range};
  const Encoding int8{.format = Format::integer(8), .grid = GridStyle::symmetric};
  const Operand a(ones.matrix(), int8, Granularity::per_tensor, Key(0), options);
  CostLedger ledger;
  const Multiply how{.site = "fc", .simd = best_simd(), .multiplier = &table};
  const double sum = 70000.0 * (65535 - 128.0 * 254 - 128.0 * 128), scale = a.grid().scale;
  CHECK(gemm(a, a.transposed(), how, ledger).item() == static_cast<float>(scale * scale * sum));
}

TEST_CASE("depthwise convolutions multiply by the table as dense ones do") {
  Dice dice(Key(79));
  for (int i = 0; i < 40; ++i) {
    const std::int64_t channels = dice.between(1, 20);
    const PatchGeometry g = random_geometry(dice, channels, channels);
    const Tensor image = random_values(dice, g.images * g.height * g.width, channels),
                 weight = random_values(dice, g.taps_y * g.taps_x, channels),
                 gradient = random_values(dice, g.rows(), channels);
    const Encoding encoding{.format = Format::integer(8)};
    const auto encoded = [&](const Tensor& x) {
      return Operand(x.matrix(), encoding, Granularity::per_tensor, Key(1));
    };
    const Operand x = encoded(image), w = encoded(weight), dy = encoded(gradient);
    const Multiplier exact = exact_table(false), odd = odd_table(false);
    PatchGeometry one = g;
    one.channels = 1;
    const auto run = [&](const Multiplier* table, std::string_view kernel) {
      CostLedger ledger;
      const Multiply how{.site = "dw", .simd = best_simd(), .kernel = kernel, .multiplier = table};
      Tensor y = Tensor::zeros({g.rows(), channels}), gw = Tensor::zeros({channels, w.rows()});
      depthwise_into(x, g, w, how, ledger, {y.data(), g.rows(), channels, channels});
      depthwise_grad_weight_into(x, g, dy, how, ledger, gw.data());
      return std::pair(y, gw);
    };
    CHECK(run(&exact, "") == run(nullptr, ""));
    const auto [y, gw] = run(&odd, "");
    CHECK(std::pair(y, gw) == run(&odd, "reference"));
    // The weights' gradient has the output's gradient as its first operand.
    const Tensor want =
        by_definition(dy.columns(0, 1).transposed(), x.columns(0, 1).patches(one), false);
    for (std::int64_t t = 0; t < w.rows(); ++t) CHECK(gw[t] == want[t]);
  }
}

TEST_CASE("float32 is left alone; other formats, wider codes and narrow sums are refused") {
  const Multiplier table = exact_table(false);
  const Tensor x = Tensor::filled({2, 2}, 1.0f);
  const auto with = [&](Format left, Format right, Accumulator accumulator = {}) {
    const auto encoded = [&](Format format) {
      return Operand(x.matrix(), {.format = format}, Granularity::per_tensor, Key(0));
    };
    CostLedger ledger;
    return gemm(encoded(left), encoded(right),
                {.site = "fc", .accumulator = accumulator, .multiplier = &table}, ledger);
  };
  CHECK(with(Format::fp32(), Format::integer(8))[0] == 2.0f);
  CHECK(with(Format::fp32(), Format::floating(4, 3))[0] == 2.0f);
  CHECK_THROWS_WITH_AS(with(Format::integer(9), Format::integer(8)),
                       doctest::Contains("int1 .. int8, not int9 by int8"), ConfigError);
  CHECK_THROWS_WITH_AS(with(Format::integer(8), Format::floating(4, 3)),
                       doctest::Contains("not int8 by e4m3"), ConfigError);
  CHECK_THROWS_WITH_AS(with(Format::integer(8), Format::integer(8), Accumulator::wrap(16)),
                       doctest::Contains("are summed exactly, not in wrap16"), ConfigError);
}

TEST_CASE("a file that is no table is refused; a table is known by the hash of its bytes") {
  std::vector<std::byte> bytes = bytes_of(true, odd_product);
  const Multiplier table = Multiplier::parse(bytes, true, "mul8s.bin");
  CHECK(table.sha256() == sha256_hex(bytes));
  CHECK(table.entry(250, 3) == odd_product(-6, 3));
  bytes.pop_back();
  CHECK_THROWS_WITH_AS(Multiplier::parse(bytes, true, "mul\x1b.bin"),
                       "[multiplier] mul\\x1b.bin: a table of 256 x 256 products of 16 bits has "
                       "131072 bytes, got 131071",
                       DataError);
  CHECK_THROWS_AS(Multiplier::parse({}, false, "empty"), DataError);
}
