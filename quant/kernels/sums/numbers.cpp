#include "quant/kernels/sums/numbers.h"

#include <cmath>

#include "quant/kernels/conv/gather.h"

namespace ebb::kernels {
namespace {

float value_at(const CodeMatrix& x, std::int64_t i, std::int64_t j) {
  return x.value_at(x.offset(i, j));
}

}  // namespace

Span span_of(Format format) {
  const FormatTraits& traits = traits_of(format);
  return {traits.max(format), traits.unit(format)};
}

double largest_sum(const Problem& p) {
  const Span a = span_of(p.a.format()), b = span_of(p.b.format());
  return static_cast<double>(p.k()) * (a.max / a.unit) * (b.max / b.unit);
}

bool all_finite(const CodeMatrix& x) {
  std::int64_t rows = x.rows, cols = x.cols, row_stride = x.row_stride, col_stride = x.col_stride;
  if (x.patches) {  // the image that they lie over
    rows = x.patches->images * x.patches->height * x.patches->width;
    cols = x.patches->channels;
    row_stride = x.patches->pixel_stride;
    col_stride = 1;
  }
  const float* const data = static_cast<const float*>(x.data);
  float zero_or_nan = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j)
      zero_or_nan += data[i * row_stride + j * col_stride] * 0.0f;
  }
  return zero_or_nan == 0;
}

template <class Number>
std::vector<Number> left_rows(const Problem& p, std::int64_t first, std::int64_t rows,
                              double unit) {
  const CodeMatrix& a = p.a.codes();
  const std::int64_t k = p.k();
  std::vector<Number> out(static_cast<std::size_t>(rows * k));
  const double factor = 1 / unit;  // a power of two
  std::vector<float> gathered;
  if (a.patches && !a.patches_transposed) {
    gathered.resize(out.size());
    gather_patch_rows(*a.patches, static_cast<const float*>(a.data), first, rows, gathered.data(),
                      k);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t s = 0; s < k; ++s) {
      const auto at = static_cast<std::size_t>(i * k + s);
      const float x = gathered.empty() ? value_at(a, first + i, s) : gathered[at];
      out[at] = static_cast<Number>(static_cast<double>(x) * factor);
    }
  }
  return out;
}

template <class Number>
std::vector<Number> right_columns(const Problem& p, double unit) {
  const CodeMatrix& b = p.b.codes();
  const std::int64_t k = p.k();
  std::vector<Number> out(static_cast<std::size_t>(k * p.n()));
  const double factor = 1 / unit;
  parallel_rows(p.n(), k, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = 0; s < k; ++s) {
      for (std::int64_t j = begin; j < end; ++j)
        out[static_cast<std::size_t>(j * k + s)] =
            static_cast<Number>(static_cast<double>(value_at(b, s, j)) * factor);
    }
  });
  return out;
}

template std::vector<float> left_rows(const Problem&, std::int64_t, std::int64_t, double);
template std::vector<double> left_rows(const Problem&, std::int64_t, std::int64_t, double);
template std::vector<std::int64_t> left_rows(const Problem&, std::int64_t, std::int64_t, double);
template std::vector<float> right_columns(const Problem&, double);
template std::vector<double> right_columns(const Problem&, double);
template std::vector<std::int64_t> right_columns(const Problem&, double);

}  // namespace ebb::kernels
