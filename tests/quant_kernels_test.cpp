#include <doctest/doctest.h>
#include <omp.h>

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
constexpr std::int64_t kGap = 3;  // elements between the rows of the result, which no kernel may write

/// The result of one run with the elements between its rows, and the overflow events.
struct Result {
  std::vector<float> memory;
  std::uint64_t events = 0;

  /// Bit for bit, but any NaN equals any other: IEEE leaves its payload open.
  friend bool operator==(const Result& x, const Result& y) {
    bool same = x.events == y.events && x.memory.size() == y.memory.size();
    for (std::size_t i = 0; same && i < x.memory.size(); ++i) {
      const float v = x.memory[i], w = y.memory[i];
      same = std::bit_cast<std::uint32_t>(v) == std::bit_cast<std::uint32_t>(w) || (v != v && w != w);
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
  result.events =
      turned ? f(kernels::Problem{left, right, p.accumulator, out, true}) : f(kernels::Problem{p.a(), p.b(), p.accumulator, out});
  return result;
}

Result by_reference(const RandomProduct& p) {
  return run(p, [](const kernels::Problem& problem) {
    return problem.integer() ? kernels::reference_integer(problem) : kernels::reference_float(problem);
  });
}

/// Holds every kernel that applies and that this machine runs against the reference; counts the products each one did.
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
RandomProduct extreme_product(std::int64_t m, std::int64_t k, std::int64_t n, int a_bits, int b_bits, float a_value,
                              float b_value) {
  RandomProduct p;
  p.what = concat("all codes extreme ", m, 'x', k, 'x', n, " int", a_bits, " int", b_bits, ' ', a_value, ' ', b_value);
  p.memory = {Tensor::filled({m, k}, a_value), Tensor::filled({k, n}, b_value)};
  static const Range range{-1.0f, 1.0f};
  const Operand::Options options{.range = &range};
  p.sides.emplace_back(p.memory[0].matrix(), Encoding{Format::integer(a_bits)}, GridAxis::whole, Key(1), options);
  p.sides.emplace_back(p.memory[1].matrix(), Encoding{Format::integer(b_bits)}, GridAxis::whole, Key(2), options);
  return p;
}

/// The weights' gradient of a 1 x 1 convolution of stride 2 over few channels and many images, all codes at one end.
RandomProduct deep_weight_gradient(std::int64_t images, float x_value, float g_value) {
  RandomProduct p;
  p.what = concat("weight gradient over ", images, " images, all codes extreme ", x_value, ' ', g_value);
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
  p.memory = {Tensor::filled({images * 32 * 31, 1}, x_value), Tensor::filled({images * 16 * 16, 1}, g_value)};
  static const Range range{-1.0f, 1.0f};
  const Operand::Options options{.range = &range};
  const Encoding int8{Format::integer(8)};
  p.sides.push_back(Operand(p.memory[1].matrix(), int8, GridAxis::whole, Key(1), options).transposed());
  p.sides.push_back(Operand(p.memory[0].matrix(), int8, GridAxis::whole, Key(2), options).patches(geometry));
  return p;
}

}  // namespace

TEST_CASE("every kernel equals the reference on thousands of random products, whatever the number of threads") {
  const int threads = omp_get_max_threads();
  std::map<std::string, int> done;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    omp_set_num_threads(static_cast<int>(i % 3) + 1);
    check_kernels(random_product(Key(2026).fold("kernels"), i), done);
  }
  omp_set_num_threads(threads);
  for (const kernels::Kernel& kernel : kernels::all_kernels()) {
    if (kernel.simd > best_simd()) continue;
    const std::string name = concat(kernel.name, ' ', kernel.simd);
    CAPTURE(name);
    CHECK(done[name] + done[name + " float32"] >= 10);  // a kernel that never applied was not tested
  }
}

TEST_CASE("every kernel equals the reference where all codes are extreme and where sums pass 32 bits") {
  std::map<std::string, int> done;
  for (const float a : {-1.0f, 1.0f}) {
    for (const float b : {-1.0f, 1.0f}) {
      for (const int a_bits : {1, 2, 4, 7, 8, 9, 15, 16}) {
        for (const int b_bits : {1, 3, 8, 12, 16}) check_kernels(extreme_product(5, 517, 9, a_bits, b_bits, a, b), done);
      }
      check_kernels(extreme_product(2, 131072, 2, 8, 8, a, b), done);  // 255 x 255 at this depth does not fit 32 bits
      check_kernels(extreme_product(1, 200000, 2, 16, 16, a, b), done);
      check_kernels(extreme_product(2, 200000, 1, 16, 8, a, b), done);
      check_kernels(deep_weight_gradient(600, a, b), done);
    }
  }
}

TEST_CASE("gemm gives the reference's result at every SIMD level and through every kernel it can be told to use") {
  const Site site{"fc", {}};
  for (std::uint64_t i = 0; i < 300; ++i) {
    const RandomProduct p = random_product(Key(2026).fold("gemm"), i);
    CAPTURE(p.what);
    CostLedger expected_ledger;
    const Tensor expected =
        gemm(p.a(), p.b(), {.site = site, .accumulator = p.accumulator, .kernel = "reference"}, expected_ledger);
    const auto equals = [&](const Multiply& how) {
      CostLedger ledger;
      const Tensor got = gemm(p.a(), p.b(), how, ledger);
      const auto memory = [](const Tensor& t) { return std::vector<float>(t.values().begin(), t.values().end()); };
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

TEST_CASE("a kernel that does not exist is refused by name, with the ones there are") {
  const RandomProduct p = extreme_product(1, 1, 1, 8, 8, 1.0f, 1.0f);
  CostLedger ledger;
  const Site site{"fc", {}};
  try {
    gemm(p.a(), p.b(), {.site = site, .kernel = "warp"}, ledger);
    FAIL("accepted");
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    CHECK(message.find("'warp'") != std::string::npos);
    CHECK(message.find("reference") != std::string::npos);
  }
  CHECK(ledger.total_macs() == 0);
}
