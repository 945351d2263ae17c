#include "quant/kernels/aggregate.h"

#include "core/kernels/lanes.h"

// A strip of columns stays in registers down a row's neighbours; how wide it is cannot matter,
// since columns never meet.
namespace ebb::kernels {
namespace {

using Floats = Full::Float;
using Doubles = Full::Double;
using Sums = Full::Int;

// Codes of 16 bits that 32 bits can always add up.
constexpr std::int64_t kSafe = 1 << 15;

template <std::size_t kVectors, class Code>
inline void sum_codes(const AggregateRun& run, const Code* x, std::int64_t i, std::int64_t j,
                      std::int64_t count) {
  const std::int64_t begin = run.starts[i], end = run.starts[i + 1];
  Doubles total[kVectors] = {};  // exact: below 2^31 codes of 16 bits
  for (std::int64_t first = begin; first < end; first += kSafe) {
    const std::int64_t last = end - first < kSafe ? end : first + kSafe;
    Sums sum[kVectors] = {};
    for (std::int64_t e = first; e < last; ++e) {
      const Code* const from = x + run.columns[e] * run.stride + j;
      for (std::size_t v = 0; v < kVectors; ++v) {
        Sums codes;
        load_codes(from + v * kLanes, codes);
        sum[v] += codes;
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) total[v] += __builtin_convertvector(sum[v], Doubles);
  }
  const double offset = run.zero * static_cast<double>(end - begin);
  const double row_scale = run.row_scale != nullptr ? static_cast<double>(run.row_scale[i]) : 1.0;
  float result[kVectors * kLanes];
  for (std::size_t v = 0; v < kVectors; ++v) {
    const Doubles value = row_scale * (run.scale * total[v] + offset);
    const Floats rounded = __builtin_convertvector(value, Floats);
    __builtin_memcpy(result + v * kLanes, &rounded, sizeof rounded);
  }
  __builtin_memcpy(run.out + i * run.cols + j, result,
                   sizeof(float) * static_cast<std::size_t>(count));
}

template <class Code>
void code_rows(const AggregateRun& run, const Code* x, std::int64_t first, std::int64_t last) {
  constexpr std::int64_t narrow = kLanes, wide = 4 * narrow;
  for (std::int64_t i = first; i < last; ++i) {
    std::int64_t j = 0;
    for (; j + wide <= run.cols; j += wide) sum_codes<4>(run, x, i, j, wide);
    for (; j < run.cols; j += narrow)
      sum_codes<1>(run, x, i, j, run.cols - j < narrow ? run.cols - j : narrow);
  }
}

template <std::size_t kVectors>
inline void sum_floats(const AggregateRun& run, const float* x, std::int64_t i, std::int64_t j) {
  Floats sum[kVectors] = {};
  for (std::int64_t e = run.starts[i]; e < run.starts[i + 1]; ++e) {
    const float* const from = x + run.columns[e] * run.stride + j;
    for (std::size_t v = 0; v < kVectors; ++v) {
      Floats next;
      __builtin_memcpy(&next, from + v * kLanes, sizeof next);
      sum[v] += next;
    }
  }
  float* const to = run.out + i * run.cols + j;
  for (std::size_t v = 0; v < kVectors; ++v) {
    if (run.row_scale != nullptr) sum[v] *= run.row_scale[i];
    __builtin_memcpy(to + v * kLanes, &sum[v], sizeof sum[v]);
  }
}

void float_rows(const AggregateRun& run, const float* x, std::int64_t first, std::int64_t last) {
  constexpr std::int64_t narrow = kLanes, wide = 4 * narrow;
  for (std::int64_t i = first; i < last; ++i) {
    std::int64_t j = 0;
    for (; j + wide <= run.cols; j += wide) sum_floats<4>(run, x, i, j);
    for (; j + narrow <= run.cols; j += narrow) sum_floats<1>(run, x, i, j);
    for (; j < run.cols; ++j) {
      float sum = 0;
      for (std::int64_t e = run.starts[i]; e < run.starts[i + 1]; ++e)
        sum += x[run.columns[e] * run.stride + j];
      run.out[i * run.cols + j] = run.row_scale != nullptr ? sum * run.row_scale[i] : sum;
    }
  }
}

constexpr AggregateKernels kKernels{code_rows<std::int8_t>, code_rows<std::int16_t>, float_rows};

}  // namespace

constinit const AggregateKernels AggregateKernels::EBB_TARGET = kKernels;

}  // namespace ebb::kernels
