#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "quant/gemm.h"

using namespace ebb;

namespace {

const Site kSite{"attention.qk"};

Tensor matrix(std::uint64_t key, std::int64_t rows, std::int64_t cols, double mean = 0) {
  Tensor x = Tensor::uninitialized({rows, cols});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(Key(key).normal(static_cast<std::uint64_t>(i)) + mean);
  return x;
}

/// Whether the kernel that is asked for does this product.
bool does(const Operand& a, const Operand& b, const Multiply& how) {
  try {
    static_cast<void>(choose_kernel(a, b, how));
  } catch (const ConfigError&) {
    return false;
  }
  return true;
}

}  // namespace

TEST_CASE(
    "products side by side are the same products, charged alike, for codes, float32 and narrow "
    "accumulators") {
  constexpr std::int64_t heads = 5, m = 9, k = 16, n = 7;
  const Tensor x = matrix(1, m, heads * k), y = matrix(2, heads * k, n);
  for (const Format format : {Format::fp32(), Format::integer(3), Format::integer(12)}) {
    for (const Accumulator accumulator :
         {Accumulator::exact(), Accumulator::wrap(6), Accumulator::saturate(6)}) {
      const Operand a(x.matrix(), {format}, Granularity::per_row, Key(3)),
          b(y.matrix(), {format}, Granularity::per_column, Key(4));
      Tensor together = Tensor::filled({heads, m, n + 1}, -1.0f);
      std::vector<BatchedProduct> products;
      CostLedger one_by_one, batched;
      for (std::int64_t h = 0; h < heads; ++h) {
        products.push_back({a.columns(h * k, k),
                            b.rows(h * k, k),
                            {together.data() + h * m * (n + 1), m, n, n + 1}});
      }
      const Multiply how{.site = kSite, .accumulator = accumulator, .simd = best_simd()};
      gemm_batch(products, how, batched);
      for (std::int64_t h = 0; h < heads; ++h) {
        const Tensor alone = gemm(products[static_cast<std::size_t>(h)].a,
                                  products[static_cast<std::size_t>(h)].b, how, one_by_one);
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t j = 0; j < n; ++j)
            REQUIRE(together[(h * m + i) * (n + 1) + j] == alone[i * n + j]);
          REQUIRE(together[(h * m + i) * (n + 1) + n] == -1.0f);
        }
      }
      CHECK(batched == one_by_one);
      products[3].out.rows = m + 1;
      CHECK_THROWS_AS(gemm_batch(products, how, batched), ShapeError);
      Multiply more = how;
      more.bias = together.data();
      CHECK_THROWS_AS(gemm_batch(products, more, batched), ConfigError);
      CHECK(batched == one_by_one);
    }
  }
}

TEST_CASE(
    "strips of a product are products of their own, in every kernel; what is outside stays as it "
    "was") {
  struct Case {
    std::int64_t m, k, n;
    std::vector<Strip> strips;
  };
  const Case cases[]{
      {70,
       74,
       77,
       {{0, 10, 0, 8, 5}, {10, 33, 4, 40, 77}, {50, 19, 4, 40, 64}, {69, 1, 72, 74, 16}}},
      {200, 8, 130, {{0, 200, 0, 4, 130}}},
      {6, 4100, 5, {{0, 2, 0, 4100, 5}, {2, 4, 2048, 4100, 4}}}};
  std::set<std::string_view> kernels;
  for (const Case& c : cases) {
    const Tensor x = matrix(1, c.m, c.k, 0.7), y = matrix(2, c.k, c.n, 0.7);
    for (const auto& [left, right] : {std::pair{Format::fp32(), Format::fp32()},
                                      {Format::integer(8), Format::integer(8)},
                                      {Format::integer(3), Format::integer(12)},
                                      {Format::integer(16), Format::integer(16)}}) {
      for (const Accumulator accumulator :
           {Accumulator::exact(), Accumulator::wrap(9), Accumulator::saturate(9)}) {
        for (const Granularity granularity : {Granularity::per_tensor, Granularity::per_row}) {
          for (const bool turned :
               {false, true}) {  // codes along k next to each other, or codes of a row of b
            const Operand a = Operand(x.matrix(), {left}, granularity, Key(3));
            const Operand b =
                turned ? Operand(y.matrix().transposed(), {right}, granularity, Key(4)).transposed()
                       : Operand(y.matrix(), {right},
                                 granularity == Granularity::per_row ? Granularity::per_column
                                                                     : granularity,
                                 Key(4));
            for (const std::string_view kernel : kernel_names()) {
              const Multiply how{
                  .site = kSite, .accumulator = accumulator, .simd = best_simd(), .kernel = kernel};
              const Multiply reference{
                  .site = kSite, .accumulator = accumulator, .kernel = "reference"};
              if (!does(a, b, how)) continue;
              CAPTURE(kernel);
              kernels.insert(kernel);
              Tensor out = Tensor::filled({c.m, c.n}, -1.0f);
              std::vector<float> expected(static_cast<std::size_t>(out.size()), -1.0f);
              CostLedger charged, one_by_one;
              std::vector<std::size_t> done;
              const BatchedProduct product{a, b, {out.data(), c.m, c.n, c.n}, c.strips};
              gemm_batch({&product, 1}, how, charged, [&](std::size_t i) { done.push_back(i); });
              CHECK(done == std::vector<std::size_t>{0});
              for (const Strip& s : c.strips) {
                const Tensor part =
                    gemm(a.rows(s.first, s.rows).columns(s.k_first, s.k()),
                         b.rows(s.k_first, s.k()).columns(0, s.cols), reference, one_by_one);
                for (std::int64_t i = 0; i < part.size(); ++i)
                  expected[static_cast<std::size_t>((s.first + i / s.cols) * c.n + i % s.cols)] =
                      part[i];
              }
              REQUIRE(std::equal(expected.begin(), expected.end(), out.values().begin()));
              CHECK(charged == one_by_one);
            }
          }
        }
      }
    }
  }
  CHECK(kernels.size() >= 5);

  const Tensor x = matrix(1, 8, 8);
  const Operand a(x.matrix(), {}, Granularity::per_tensor, Key(3));
  for (const std::vector<Strip>& wrong :
       std::vector<std::vector<Strip>>{{{0, 9, 0, 8, 8}},
                                       {{0, 8, 0, 9, 8}},
                                       {{0, 8, 0, 8, 9}},
                                       {{0, 8, 2, 8, 8}},
                                       {{0, 8, 0, 6, 8}},
                                       {{0, 0, 0, 8, 8}},
                                       {{0, 8, 4, 4, 8}},
                                       {{0, 4, 0, 8, 8}, {3, 4, 0, 8, 8}}}) {
    Tensor out = Tensor::filled({8, 8}, -1.0f);
    CostLedger ledger;
    const BatchedProduct product{a, a, {out.data(), 8, 8, 8}, wrong};
    CHECK_THROWS_AS(gemm_batch({&product, 1}, {.site = kSite}, ledger), ShapeError);
    CHECK(out == Tensor::filled({8, 8}, -1.0f));
  }
}

TEST_CASE("a bias is added to the rounded result, in every kernel and before rows are reported") {
  std::set<std::string_view> kernels;
  for (const auto& size :
       {std::array<std::int64_t, 3>{67, 20, 83}, {5, 4200, 7}}) {  // in rows and in depth
    const std::int64_t m = size[0], k = size[1], n = size[2];
    const Tensor x = matrix(1, m, k), y = matrix(2, k, n), bias = matrix(3, 1, n);
    for (const Format format :
         {Format::fp32(), Format::integer(4), Format::integer(8), Format::integer(16)}) {
      for (const Accumulator accumulator :
           {Accumulator::exact(), Accumulator::wrap(9), Accumulator::saturate(9)}) {
        const Operand a(x.matrix(), {format}, Granularity::per_row, Key(4)),
            b(y.matrix(), {format}, Granularity::per_column, Key(5));
        for (const std::string_view kernel : kernel_names()) {
          Multiply how{
              .site = kSite, .accumulator = accumulator, .simd = best_simd(), .kernel = kernel};
          if (!does(a, b, how)) continue;
          CAPTURE(kernel);
          kernels.insert(kernel);
          CostLedger ledger;
          const Tensor plain = gemm(a, b, how, ledger);
          Tensor out = Tensor::uninitialized({m, n});
          std::atomic<int> early = 0;
          how.bias = bias.data();
          how.rows_done = [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first * n; i < last * n; ++i)
              early += out[i] != plain[i] + bias[i % n] ? 1 : 0;
          };
          gemm_into(a, b, how, ledger, {out.data(), m, n, n});
          CHECK(early == 0);
          bool right = true;
          for (std::int64_t i = 0; i < m * n; ++i)
            right = right && out[i] == plain[i] + bias[i % n];
          CHECK(right);
        }
      }
    }
  }
  CHECK(kernels.size() >= 5);
  // Patch matrices on either side; lines of 64 positions are reported early.
  const Tensor image = matrix(6, 81, 3), weights = matrix(7, 12, 5), bias = matrix(8, 1, 64);
  const PatchGeometry corners{.images = 1,
                              .height = 9,
                              .width = 9,
                              .channels = 3,
                              .pixel_stride = 3,
                              .out_height = 8,
                              .out_width = 8,
                              .taps_y = 2,
                              .taps_x = 2,
                              .nominal_positions = 64};
  const Operand patches =
                    Operand(image.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(1))
                        .patches(corners),
                w(weights.matrix(), {Format::integer(8)}, Granularity::per_tensor, Key(2));
  CostLedger ledger;
  Multiply how{.site = kSite, .simd = best_simd()};
  const Tensor plain = gemm(patches, w, how, ledger),
               turned = gemm(w.transposed(), patches.transposed(), how, ledger);
  how.bias = bias.data();
  Tensor with = Tensor::uninitialized(plain.shape());
  how.rows_done = [&](std::int64_t first,
                      std::int64_t last) {  // as soon as a convolution's lines are final
    for (std::int64_t i = first * 5; i < last * 5; ++i) CHECK(with[i] == plain[i] + bias[i % 5]);
  };
  gemm_into(patches, w, how, ledger, {with.data(), plain.shape()[0], 5, 5});
  how.rows_done = {};
  for (std::int64_t i = 0; i < with.size(); ++i) CHECK(with[i] == plain[i] + bias[i % 5]);
  const Tensor turned_with = gemm(w.transposed(), patches.transposed(), how, ledger);
  for (std::int64_t i = 0; i < turned_with.size(); ++i)
    CHECK(turned_with[i] == turned[i] + bias[i % 64]);
}
