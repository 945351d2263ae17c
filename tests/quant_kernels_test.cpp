#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/kernels/problem.h"
#include "quant_problems.h"

using namespace ebb;
using namespace ebb::testing;

namespace {

constexpr float kUntouched = 12345.0f;
constexpr std::int64_t kGap =
    3;  // elements between the rows of the result, which no kernel may write

/// The result of one run with the elements between its rows, and the overflow events.
struct Result {
  std::vector<float> memory;
  std::uint64_t events = 0;

  /// Bit for bit, but any NaN equals any other: IEEE leaves its payload open.
  friend bool operator==(const Result& x, const Result& y) {
    bool same = x.events == y.events && x.memory.size() == y.memory.size();
    for (std::size_t i = 0; same && i < x.memory.size(); ++i) {
      const float v = x.memory[i], w = y.memory[i];
      same =
          std::bit_cast<std::uint32_t>(v) == std::bit_cast<std::uint32_t>(w) || (v != v && w != w);
    }
    return same;
  }
};

/// Runs f(problem) as gemm would pose the product: a patch matrix comes to the left.
template <class F>
Result run(const RandomProduct& p, const F& f) {
  const std::int64_t rows = p.a().rows(), cols = p.b().cols();
  Result result{std::vector<float>(static_cast<std::size_t>(rows * (cols + kGap)), kUntouched)};
  const MutableMatrix out{result.memory.data(), rows, cols, cols + kGap};
  const Operand left = p.b().transposed(), right = p.a().transposed();
  const bool turned = p.b().codes().patches.has_value();
  result.events = turned ? f(kernels::Problem{left, right, p.accumulator, out, true})
                         : f(kernels::Problem{p.a(), p.b(), p.accumulator, out});
  return result;
}

Result by_reference(const RandomProduct& p) {
  return run(p, [](const kernels::Problem& problem) {
    return problem.linear() ? kernels::reference_integer(problem)
                            : kernels::reference_float(problem);
  });
}

/// Holds every kernel that applies and that this machine runs against the reference; counts the
/// products each one did.
void check_kernels(const RandomProduct& p, std::map<std::string, int>& done) {
  const Result expected = by_reference(p);
  for (const kernels::Kernel& kernel : kernels::all_kernels()) {
    if (kernel.simd > best_simd()) continue;
    bool applies = false;
    const Result got = run(p, [&](const kernels::Problem& problem) {
      applies = kernel.applies(problem);
      return applies ? kernel.run(problem) : 0;
    });
    if (!applies) continue;
    ++done[concat(kernel.name, ' ', kernel.simd, p.a().is_float() ? " float32" : "")];
    const bool equal = got == expected;
    CAPTURE(kernel.name);
    CAPTURE(to_text(kernel.simd));
    CAPTURE(p.what);
    CHECK(equal);
  }
}

/// A product of two dense operands whose stored codes are all as far from zero as they go.
RandomProduct extreme_product(std::int64_t m, std::int64_t k, std::int64_t n, int a_bits,
                              int b_bits, float a_value, float b_value) {
  RandomProduct p;
  p.what = concat("all codes extreme ", m, 'x', k, 'x', n, " int", a_bits, " int", b_bits, ' ',
                  a_value, ' ', b_value);
  p.memory = {Tensor::filled({m, k}, a_value), Tensor::filled({k, n}, b_value)};
  static const Range range{-1.0f, 1.0f};
  const Operand::Options options{.range = &range};
  p.sides.emplace_back(p.memory[0].matrix(), Encoding{Format::integer(a_bits)},
                       Granularity::per_tensor, Key(1), options);
  p.sides.emplace_back(p.memory[1].matrix(), Encoding{Format::integer(b_bits)},
                       Granularity::per_tensor, Key(2), options);
  return p;
}

/// The weights' gradient of a 1 x 1 convolution of stride 2 over few channels and many images, all
/// codes at one end.
RandomProduct deep_weight_gradient(std::int64_t images, int bits, float x_value, float g_value) {
  RandomProduct p;
  p.what = concat("weight gradient over ", images, " images, int", bits, ", all codes extreme ",
                  x_value, ' ', g_value);
  const PatchGeometry geometry{.images = images,
                               .height = 32,
                               .width = 31,
                               .channels = 1,
                               .pixel_stride = 1,
                               .out_height = 16,
                               .out_width = 16,
                               .taps_y = 1,
                               .taps_x = 1,
                               .step = 2,
                               .nominal_positions = images * 16 * 16};
  p.memory = {Tensor::filled({images * 32 * 31, 1}, x_value),
              Tensor::filled({images * 16 * 16, 1}, g_value)};
  static const Range range{-1.0f, 1.0f};
  const Operand::Options options{.range = &range};
  const Encoding encoding{Format::integer(bits)};
  p.sides.push_back(
      Operand(p.memory[1].matrix(), encoding, Granularity::per_tensor, Key(1), options)
          .transposed());
  p.sides.push_back(
      Operand(p.memory[0].matrix(), encoding, Granularity::per_tensor, Key(2), options)
          .patches(geometry));
  return p;
}

/// A convolution of an image, its codes and the other operand's at one end of their grids or, where
/// a value is 0, at either end at random. The weights' gradient if `turned`.
RandomProduct extreme_convolution(PatchGeometry g, std::int64_t n, int a_bits, int b_bits,
                                  float a_value, float b_value, bool turned,
                                  Accumulator accumulator) {
  RandomProduct p;
  p.accumulator = accumulator;
  p.what = concat("extreme convolution ", g.channels, " of ", g.pixel_stride, " channels, taps ",
                  g.taps_y, 'x', g.taps_x, " step ", g.step, " divide ", g.divide, " pad ",
                  g.pad_top, " n ", n, " int", a_bits, " int", b_bits, ' ', a_value, ' ', b_value,
                  turned ? " turned " : " ", accumulator);
  const std::int64_t rows = turned ? g.rows() : g.cols();
  p.memory = {Tensor::filled({g.images * g.height * g.width, g.pixel_stride}, a_value),
              Tensor::filled({rows, n}, b_value)};
  Dice dice(Key(11));
  for (Tensor& x : p.memory) {
    for (float& v : x.values()) v = v != 0.0f ? v : dice.one_in(2) ? 1.0f : -1.0f;
  }
  static const Range range{-1.0f, 1.0f};
  const Operand::Options options{.simd = best_simd(), .range = &range};
  const Operand image(p.memory[0].matrix(), Encoding{Format::integer(a_bits)},
                      Granularity::per_tensor, Key(1), options);
  const Operand patches = image.columns(g.pixel_stride - g.channels, g.channels).patches(g);
  p.sides.push_back(turned ? patches.transposed() : patches);
  p.sides.emplace_back(p.memory[1].matrix(), Encoding{Format::integer(b_bits)},
                       Granularity::per_tensor, Key(2), options);
  return p;
}

/// A product of two dense operands of random codes, either one possibly a transposed view.
RandomProduct dense_product(Key key, std::int64_t m, std::int64_t k, std::int64_t n, int a_bits,
                            int b_bits, bool a_turned, bool b_turned, Accumulator accumulator) {
  RandomProduct p;
  p.accumulator = accumulator;
  p.what = concat(m, 'x', k, 'x', n, " int", a_bits, a_turned ? " transposed" : "", " int", b_bits,
                  b_turned ? " transposed" : "", ' ', accumulator);
  const auto add = [&](std::int64_t rows, std::int64_t cols, int bits, bool turned,
                       Granularity granularity) {
    Dice dice(key.fold(p.sides.size()));
    p.memory.push_back(Tensor::uninitialized({turned ? cols : rows, turned ? rows : cols}));
    for (float& x : p.memory.back().values()) x = dice.normal();
    const Operand side(p.memory.back().matrix(),
                       Encoding{bits == 32 ? Format::fp32() : Format::integer(bits)}, granularity,
                       dice.key());
    p.sides.push_back(turned ? side.transposed() : side);
  };
  add(m, k, a_bits, a_turned, Granularity::per_tensor);
  add(k, n, b_bits, b_turned, b_turned ? Granularity::per_row : Granularity::per_column);
  return p;
}

}  // namespace

TEST_CASE(
    "every kernel equals the reference at the borders of tiles, panels, blocks and chunks, for "
    "every layout") {
  struct Size {
    const char* why;
    std::int64_t m, k, n;
  };
  const Size sizes[] = {{"one row more than a tile", 7, 9, 17},
                        {"one column less than a strip", 13, 31, 63},
                        {"one column more than a strip, one row more than a block", 49, 65, 65},
                        {"blocks of rows and a tail of each size", 203, 130, 33},
                        {"more k than a vector of codes, not a whole group", 6, 67, 130},
                        {"a chunk less one", 3, 4095, 5},
                        {"whole chunks", 18, 4096, 17},
                        {"chunks and one", 5, 5121, 3},
                        {"more than 512 codes", 4, 513, 70}};
  const std::pair<int, int> widths[] = {{8, 8},   {4, 8},   {12, 12}, {13, 13},
                                        {14, 14}, {16, 16}, {8, 16},  {16, 3}};
  const Accumulator accumulators[] = {Accumulator::exact(), Accumulator::wrap(12),
                                      Accumulator::saturate(16), Accumulator::saturate(13)};
  std::map<std::string, int> done;
  std::uint64_t i = 0;
  for (const Size& size : sizes) {
    CAPTURE(size.why);
    for (const auto& [a_bits, b_bits] : widths) {
      for (int layout = 0; layout < 4; ++layout, ++i) {
        check_kernels(dense_product(Key(7).fold(i), size.m, size.k, size.n, a_bits, b_bits,
                                    layout % 2 != 0, layout / 2 != 0, accumulators[i % 4]),
                      done);
      }
    }
  }
}

TEST_CASE(
    "float32 kernels equal the reference wherever the elements of a lie, for any number of "
    "threads") {
  struct Size {
    const char* why;
    std::int64_t m, k, n;
    bool a_turned;
  };
  const Size sizes[] = {{"rows that share a set of the cache, a panel", 21, 1024, 16, false},
                        {"the same, some columns of a second", 15, 2048, 30, false},
                        {"the same, three panels", 9, 1024, 48, false},
                        {"columns read where they lie, over a chunk", 150, 1100, 16, true},
                        {"the same, more rows than a block", 203, 130, 33, true},
                        {"columns brought together", 256, 1030, 7, true},
                        {"a block less one", 95, 40, 70, true}};
  const int all = omp_get_max_threads();
  std::map<std::string, int> done;
  for (const Size& size : sizes) {
    CAPTURE(size.why);
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      for (const bool b_turned : {false, true}) {
        check_kernels(
            dense_product(Key(17).fold(static_cast<std::uint64_t>(threads)), size.m, size.k, size.n,
                          32, 32, size.a_turned, b_turned, Accumulator::fp32()),
            done);
      }
    }
  }
  omp_set_num_threads(all);
  CHECK(done["float-portable scalar float32"] == 42);
}

TEST_CASE(
    "saturating kernels equal the reference for every width of the register, with bounds that "
    "hold, fail, and just fail") {
  std::map<std::string, int> done;
  for (int bits = 2; bits <= 62; ++bits) {
    const Accumulator accumulator = Accumulator::saturate(bits);
    for (const auto& [a_bits, b_bits] : {std::pair{1, 1}, {2, 3}, {4, 4}, {8, 8}, {9, 8}, {16, 16}})
      check_kernels(dense_product(Key(8).fold(static_cast<std::uint64_t>(bits)), 6, 130, 35, a_bits,
                                  b_bits, false, bits % 2 != 0, accumulator),
                    done);
  }
  // All codes extreme: 128 products of 128 x 128 are 2^21, which 22 bits hold only on the negative
  // side.
  for (const float a : {-1.0f, 1.0f}) {
    for (const std::int64_t k : {127, 128, 129, 5000}) {
      for (const int bits : {8, 15, 16, 17, 21, 22, 23, 31, 32}) {
        RandomProduct p = extreme_product(5, k, 40, 8, 8, a, -1.0f);
        p.accumulator = Accumulator::saturate(bits);
        check_kernels(p, done);
      }
    }
  }
}

// Random products first .. last, each with another number of threads; how often each kernel did
// one.
static std::map<std::string, int> check_random_products(std::uint64_t first, std::uint64_t last) {
  const int threads = omp_get_max_threads();
  std::map<std::string, int> done;
  for (std::uint64_t i = first; i < last; ++i) {
    omp_set_num_threads(static_cast<int>(i % 3) + 1);
    check_kernels(random_product(Key(2026).fold("kernels"), i), done);
  }
  omp_set_num_threads(threads);
  return done;
}

TEST_CASE("every kernel equals the reference on random products, whatever the number of threads") {
  CHECK(!check_random_products(0, 800).empty());
}

TEST_CASE("every kernel equals the reference on thousands of random products" *
          doctest::test_suite("large")) {
  std::map<std::string, int> done = check_random_products(800, 4000);
  for (const kernels::Kernel& kernel : kernels::all_kernels()) {
    const bool of_numbers = kernel.name.starts_with("slices") || kernel.name == "sums";
    if (kernel.simd > best_simd() || of_numbers) continue;  // those: quant_sums_test.cpp
    if (kernel.name.starts_with("block")) continue;         // quant_block_test.cpp does those
    if (kernel.name.starts_with("table")) continue;         // quant_multiplier_test.cpp
    const std::string name = concat(kernel.name, ' ', kernel.simd);
    CAPTURE(name);
    CHECK(done[name] + done[name + " float32"] >=
          10);  // a kernel that never applied was not tested
  }
}

TEST_CASE(
    "every kernel equals the reference where all codes are extreme and where sums pass 32 bits") {
  std::map<std::string, int> done;
  for (const float a : {-1.0f, 1.0f}) {
    for (const float b : {-1.0f, 1.0f}) {
      for (const int a_bits : {1, 2, 4, 7, 8, 9, 15, 16}) {
        for (const int b_bits : {1, 3, 8, 12, 16})
          check_kernels(extreme_product(5, 517, 9, a_bits, b_bits, a, b), done);
      }
      check_kernels(extreme_product(2, 131072, 2, 8, 8, a, b),
                    done);  // 255 x 255 at this depth does not fit 32 bits
      check_kernels(extreme_product(1, 200000, 2, 16, 16, a, b), done);
      check_kernels(extreme_product(2, 200000, 1, 16, 8, a, b), done);
      for (const int bits : {8, 16}) check_kernels(deep_weight_gradient(300, bits, a, b), done);
    }
  }
}

TEST_CASE(
    "every kernel equals the reference where a convolution's sums pass 32 bits, run by run and "
    "part by part" *
    doctest::test_suite("large")) {
  struct Geometry {
    const char* why;
    std::int64_t channels, taps, step, divide, pad;
  };
  const Geometry geometries[] = {{"1 x 1", 40, 1, 1, 1, 0},
                                 {"1 x 1 of stride 2", 7, 1, 2, 1, 0},
                                 {"one code in a group", 1, 3, 1, 1, 1},
                                 {"whole vectors of channels", 16, 3, 1, 1, 1},
                                 {"several runs of a pixel, the last one shorter", 66, 3, 1, 1, 1},
                                 {"stride 2", 33, 3, 2, 1, 1},
                                 {"the gradient of stride 2", 20, 3, 1, 2, 1},
                                 {"more taps than a run of whole codes", 3, 5, 1, 1, 2},
                                 {"no tap beyond the image", 12, 2, 1, 1, -1}};
  const std::pair<int, int> widths[] = {{8, 8},   {9, 9},  {12, 12}, {13, 13}, {14, 14},
                                        {16, 16}, {8, 16}, {16, 8},  {3, 16}};
  const Accumulator accumulators[] = {Accumulator::exact(), Accumulator::wrap(12),
                                      Accumulator::exact(), Accumulator::wrap(31),
                                      Accumulator::wrap(36)};
  const std::pair<float, float> values[] = {{1.0f, -1.0f}, {0.0f, 0.0f}, {-1.0f, 1.0f}};
  std::map<std::string, int> done;
  std::size_t i = 0;
  for (const Geometry& of : geometries) {
    CAPTURE(of.why);
    for (const auto& [a_bits, b_bits] : widths) {
      for (const bool turned : {false, true}) {
        const std::int64_t out = (9 * of.divide + 2 * of.pad - of.taps) / of.step + 1;
        const PatchGeometry g{.images = 2,
                              .height = 9,
                              .width = 9,
                              .channels = of.channels,
                              .pixel_stride = of.channels + static_cast<std::int64_t>(i % 2),
                              .out_height = out,
                              .out_width = out,
                              .taps_y = of.taps,
                              .taps_x = of.taps,
                              .step = of.step,
                              .divide = of.divide,
                              .pad_top = of.pad,
                              .pad_left = of.pad,
                              .nominal_positions = 2 * out * out};
        const std::int64_t columns[] = {5, 16, 50};
        for (const auto& [a, b] : {std::pair{-1.0f, -1.0f}, values[i % 3]})
          check_kernels(extreme_convolution(g, columns[i % 3], a_bits, b_bits, a, b, turned,
                                            accumulators[i % 5]),
                        done);
        ++i;
      }
    }
  }
}

TEST_CASE(
    "gemm gives the reference's result at every SIMD level and through every kernel it can be told "
    "to use") {
  const Site site{"fc"};
  for (std::uint64_t i = 0; i < 300; ++i) {
    const RandomProduct p = random_product(Key(2026).fold("gemm"), i);
    CAPTURE(p.what);
    CostLedger expected_ledger;
    const Tensor expected =
        gemm(p.a(), p.b(), {.site = site, .accumulator = p.accumulator, .kernel = "reference"},
             expected_ledger);
    const auto equals = [&](const Multiply& how) {
      CostLedger ledger;
      const Tensor got = gemm(p.a(), p.b(), how, ledger);
      const auto memory = [](const Tensor& t) {
        return std::vector<float>(t.values().begin(), t.values().end());
      };
      return Result{memory(got)} == Result{memory(expected)} && ledger == expected_ledger;
    };
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      CHECK(equals({.site = site, .accumulator = p.accumulator, .simd = simd}));
    }
    for (const std::string_view name : kernel_names()) {
      const Multiply how{.site = site, .accumulator = p.accumulator, .kernel = name};
      bool applies = true;
      try {
        applies = choose_kernel(p.a(), p.b(), how) == name;
      } catch (const ConfigError&) {
        applies = false;
      }
      if (applies) CHECK(equals(how));
    }
  }
}

TEST_CASE("an operand that is kept gives the same products, however often and beside whatever") {
  const int threads = omp_get_max_threads();
  const Site site{"recurrent"};
  const auto matrix = [](std::uint64_t key, std::int64_t rows, std::int64_t cols) {
    Tensor x = Tensor::uninitialized({rows, cols});
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(Key(key).normal(static_cast<std::uint64_t>(i)));
    return x;
  };
  for (const auto& [k, n] : {std::pair<std::int64_t, std::int64_t>{5, 16}, {70, 130}, {33, 700}}) {
    const Tensor w = matrix(1, n, k);
    for (const int bits : {2, 8, 12}) {
      const Operand right =
                        Operand(w.matrix(), {Format::integer(bits)}, Granularity::per_row, Key(1))
                            .transposed(),
                    kept = right.kept();
      CHECK(right.packed_cache() == nullptr);
      CHECK(kept.transposed().packed_cache() == nullptr);
      CHECK(kept.columns(0, 3).packed_cache() == nullptr);
      for (std::uint64_t time = 0; time < 12; ++time) {
        omp_set_num_threads(static_cast<int>(time % 3) + 1);
        const std::int64_t m = std::array{1, 20, 61}[time % 3];
        const int left_bits = std::array{8, 3, 16, 12}[time % 4];
        const Tensor x = matrix(10 + time, m, k);
        const Operand left(x.matrix(), {Format::integer(left_bits)}, Granularity::per_tensor,
                           Key(2));
        CostLedger ledger;
        const Tensor expected = gemm(left, right, {.site = site, .kernel = "reference"}, ledger);
        for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512})
          CHECK(gemm(left, kept, {.site = site, .simd = std::min(simd, best_simd())}, ledger) ==
                expected);
      }
    }
  }
  omp_set_num_threads(threads);
}
