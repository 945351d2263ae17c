// Ebb's products and encodes next to those of other libraries. Contenders take turns, so that
// whatever else the machine does meets them alike. Writes one JSON object a contender: {"group",
// "case", "threads", "contender", "seconds": [a round, ...]}.
//   compare_products THREADS ROUNDS
#include "products.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/process.h"
#include "peak.h"
#include "rivals.h"

namespace {

using namespace ebb;
using rivals::Contender;

// Every round times enough calls in a row to outlast the clock and the start of threads.
constexpr double kRoundSeconds = 0.01;

double seconds_of(const Contender& contender, int calls) {
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) contender.run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() / calls;
}

void take_turns(const char* group, const std::string& name, int rounds,
                const std::vector<Contender>& contenders) {
  std::vector<int> calls;
  std::vector<std::vector<double>> seconds(contenders.size());
  for (const Contender& contender : contenders) {
    seconds_of(contender, 1);
    calls.push_back(
        std::clamp(static_cast<int>(kRoundSeconds / seconds_of(contender, 1)), 1, 1000));
  }
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i)
      seconds[i].push_back(seconds_of(contenders[i], calls[i]));
  }
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::printf(R"({"group": "%s", "case": "%s", "threads": %d, "contender": "%s", "seconds": [)",
                group, name.c_str(), omp_get_max_threads(), contenders[i].name.c_str());
    for (std::size_t r = 0; r < seconds[i].size(); ++r)
      std::printf("%s%.6g", r == 0 ? "" : ", ", seconds[i][r]);
    std::printf("]}\n");
  }
  std::fflush(stdout);
}

void compare_product(const bench::ProductShape& shape, int rounds) {
  bench::RandomProduct int8(shape, Format::integer(8)), float32(shape, Format::fp32());
  const Tensor &a = float32.a(), &b = float32.b();
  Tensor c = Tensor::zeros({shape.m, shape.n});
  std::vector<signed char> codes_a(static_cast<std::size_t>(a.size())),
      codes_b(static_cast<std::size_t>(b.size()));
  const auto to_code = [](float x) {
    return static_cast<signed char>(std::clamp(32.0f * x, -128.0f, 127.0f));
  };
  std::transform(a.values().begin(), a.values().end(), codes_a.begin(), to_code);
  std::transform(b.values().begin(), b.values().end(), codes_b.begin(), to_code);
  std::vector<int> sums(static_cast<std::size_t>(c.size()));

  std::vector<Contender> contenders{{"Ebb int8", [&] { int8(); }}, {"Ebb f32", [&] { float32(); }}};
  const auto join = [&](std::vector<Contender> more) {
    contenders.insert(contenders.end(), more.begin(), more.end());
  };
  const rivals::Shape theirs{shape.m, shape.n, shape.k, shape.role == Product::grad_right};
#ifdef EBB_COMPARE_ONEDNN
  join(rivals::onednn_int8(theirs, codes_a.data(), codes_b.data(), sums.data()));
  join(rivals::onednn_float(theirs, a.data(), b.data(), c.data()));
#endif
  join(rivals::eigen(theirs, a.data(), b.data(), c.data()));
  take_turns(
      "product",
      concat(shape.m, 'x', shape.n, 'x', shape.k, theirs.a_transposed ? " (a transposed)" : ""),
      rounds, contenders);
}

// A tensor of 32 MB against the copy of the same tensor.
void compare_encode(int rounds) {
  const Tensor x = bench::random_tensor({8192, 1024}, "x");
  Tensor copy = Tensor::zeros(x.shape());
  const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
  std::vector<Contender> contenders{
      {"memcpy", [&] { bench::copy(x.data(), copy.data(), bytes, omp_get_max_threads()); }}};
  for (const int bits : {8, 16}) {
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      const Encoding encoding{.format = Format::integer(bits), .rounding = rounding};
      contenders.push_back({concat("Ebb int", bits, ' ', to_text(rounding)), [&x, encoding] {
                              const Operand codes(x.matrix(), encoding, Granularity::per_tensor,
                                                  Key(1), {.simd = best_simd()});
                            }});
    }
  }
  take_turns("encode", "32 MB", rounds, contenders);
}

void print_versions_and_peak() {
  const auto print_version = [](const std::string& text) {
    std::printf("{\"group\": \"version\", \"text\": \"%s\"}\n", text.c_str());
  };
  print_version(rivals::eigen_version());
#ifdef EBB_COMPARE_ONEDNN
  print_version(rivals::onednn_version());
#endif
  const int threads = omp_get_max_threads();
  const bench::Peak& most = bench::peak(threads);
  std::printf(
      "{\"group\": \"peak\", \"threads\": %d, \"int8\": %.4g, \"int8_loop\": \"%s\", \"float\": "
      "%.4g, \"float_loop\": \"%s\"}\n",
      threads, most.int8_ops, std::string(most.int8_loop).c_str(), most.float_ops,
      std::string(most.float_loop).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: compare_products THREADS ROUNDS\n"), 1;
  start_tuned(argv);  // as the programs that train do
  omp_set_num_threads(std::atoi(argv[1]));
  const int rounds = std::atoi(argv[2]);
  keep_memory();
  print_versions_and_peak();
  for (const bench::ProductShape& shape : bench::kComparedProducts) compare_product(shape, rounds);
  compare_encode(rounds);
}
