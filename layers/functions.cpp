#include "layers/functions.h"

#include <algorithm>
#include <array>

#include "core/kernels/select.h"
#include "core/math.h"
#include "layers/kernels/functions.h"
#include "layers/kernels/rows.h"

namespace ebb {
namespace {

const kernels::FunctionKernels& functions(Simd simd) {
  return kernels::select<kernels::FunctionKernels>(simd);
}
const kernels::RowKernels& rows_of(Simd simd) { return kernels::select<kernels::RowKernels>(simd); }

}  // namespace

void exp_rows(const float* x, std::int64_t n, float shift, float* out, Simd simd) {
  functions(simd).exp(x, n, shift, out);
}
void exp_rows(const float* x, std::int64_t n, double shift, double* out, Simd simd) {
  if (functions(simd).exp_double(x, n, shift, out)) return;
  for (std::int64_t i = 0; i < n; ++i) out[i] = math::exp(static_cast<double>(x[i]) - shift);
}
void sigmoid_rows(const float* x, std::int64_t n, float* out, Simd simd) {
  functions(simd).sigmoid(x, n, out);
}
void tanh_rows(const float* x, std::int64_t n, float* out, Simd simd) {
  functions(simd).tanh(x, n, out);
}
void gated_rows(const float* x, std::int64_t n, float slope, float cube, float* gate, float* y,
                Simd simd) {
  functions(simd).gated(x, n, slope, cube, gate, y);
}
void gated_gradient_rows(const float* x, const float* gate, std::int64_t n, float slope, float cube,
                         float* g, Simd simd) {
  functions(simd).gated_gradient(x, gate, n, slope, cube, g);
}

double sum_row(const float* row, std::int64_t n, Simd simd) { return rows_of(simd).sum(row, n); }
void softmax_gradient_row(const float* p, std::int64_t n, float scale, float* g, Simd simd) {
  rows_of(simd).softmax_gradient(p, n, scale, g);
}
void layer_norm_rows(const float* x, const float* weight, const float* bias, double epsilon,
                     std::int64_t rows, std::int64_t width, float* normal, float* y, float* inverse,
                     Simd simd) {
  rows_of(simd).layer_norm(x, weight, bias, epsilon, rows, width, normal, y, inverse);
}
void layer_norm_gradient_rows(const float* normal, const float* weight, const float* inverse,
                              std::int64_t rows, std::int64_t width, float* g, Simd simd) {
  rows_of(simd).layer_norm_gradient(normal, weight, inverse, rows, width, g);
}

float largest(const float* x, std::int64_t n) {
  std::array<float, 16> chains;  // which a compiler turns into vectors
  chains.fill(x[0]);
  const auto take = [&](std::size_t c, float v) { chains[c] = v > chains[c] ? v : chains[c]; };
  std::int64_t j = 0;
  for (; j + 16 <= n; j += 16) {
    for (std::size_t c = 0; c < 16; ++c) take(c, x[static_cast<std::size_t>(j) + c]);
  }
  for (; j < n; ++j) take(0, x[j]);
  return *std::ranges::max_element(chains);
}

}  // namespace ebb
