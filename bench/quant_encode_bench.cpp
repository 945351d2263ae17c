// Range and rounding of a 32 MB tensor, next to the copy of the same tensor.
#include "peak.h"
#include "rows.h"

namespace {

using namespace ebb;

const Tensor& tensor() {
  static const Tensor x = bench::random_tensor({8192, 1024}, "x");
  return x;
}

const bool registered = [] {
  const double elements = 8192.0 * 1024.0;
  bench::add_row("memcpy", [=](benchmark::State& state) {
    const Tensor& x = tensor();
    Tensor copy = Tensor::zeros(x.shape());
    bench::time_row(state, {.bytes = 8 * elements}, [&] {
      return bench::seconds_of([&] {
        bench::copy(x.data(), copy.data(), static_cast<std::size_t>(x.size()) * sizeof(float),
                    static_cast<int>(state.range(0)));
      });
    });
  });
  bench::add_row("range", [=](benchmark::State& state) {
    const ConstMatrix x = tensor().matrix();
    bench::time_row(state, {.bytes = 4 * elements}, [&] {
      return bench::seconds_of([&] { benchmark::DoNotOptimize(measure_range(x, best_simd())); });
    });
  });
  for (const int bits : {2, 4, 8, 16}) {
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      for (const Granularity axis :
           {Granularity::per_tensor, Granularity::per_row, Granularity::per_column}) {
        const char* const axes[]{"", "/grid_by_row", "/grid_by_column"};
        bench::add_row(concat("int", bits, '/', to_text(rounding), axes[static_cast<int>(axis)]),
                       [=](benchmark::State& state) {
                         const ConstMatrix x = tensor().matrix();
                         bench::time_row(state, {.bytes = (bits > 8 ? 6 : 5) * elements}, [&] {
                           return bench::seconds_of([&] {
                             const Encoding encoding{.format = Format::integer(bits),
                                                     .rounding = rounding};
                             const Operand codes(x, encoding, axis, Key(1), {.simd = best_simd()});
                             benchmark::DoNotOptimize(codes.codes().data);
                           });
                         });
                       });
      }
    }
  }
  for (const char* name : {"bf16", "fp16", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "posit8",
                           "posit16", "mxfp8", "mxfp6", "mxfp4", "mxint8", "nvfp4"}) {
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      bench::add_row(concat(name, '/', to_text(rounding)), [=](benchmark::State& state) {
        const ConstMatrix x = tensor().matrix();
        const Encoding encoding{.format = Format::parse(name), .rounding = rounding};
        const Granularity axis =
            has_blocks(encoding.format) ? Granularity::per_row : Granularity::per_tensor;
        const bool bytes = traits_of(encoding.format).container(encoding.format) == Container::int8;
        bench::time_row(state, {.bytes = (bytes ? 5 : 6) * elements}, [&] {
          return bench::seconds_of([&] {
            const Operand codes(x, encoding, axis, Key(1), {.simd = best_simd()});
            benchmark::DoNotOptimize(codes.codes().data);
          });
        });
      });
    }
  }
  return true;
}();

}  // namespace
