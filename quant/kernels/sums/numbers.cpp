#include "quant/kernels/sums/numbers.h"

#include "quant/formats/grid.h"
#include "quant/kernels/conv/gather.h"

namespace ebb::kernels {
Span span_of(Format format) {
  const FormatTraits& traits = traits_of(format);
  return {traits.max(format), traits.unit(format)};
}

bool all_finite(const CodeMatrix& x) {
  std::int64_t rows = x.rows, cols = x.cols, row_stride = x.row_stride, col_stride = x.col_stride;
  if (x.patches) {  // the image that they lie over
    rows = x.patches->images * x.patches->height * x.patches->width;
    cols = x.patches->channels;
    row_stride = x.patches->pixel_stride;
    col_stride = 1;
  }
  return measure_range({static_cast<const float*>(x.data), rows, cols, row_stride, col_stride},
                       best_simd())
      .finite();
}

template <class Number>
std::vector<Number> left_rows(const Problem& p, std::int64_t first, std::int64_t rows,
                              double unit) {
  const CodeMatrix& a = p.a.codes();
  const std::int64_t k = p.k();
  std::vector<Number> out(static_cast<std::size_t>(rows * k));
  const double factor = 1 / unit;  // a power of two
  const auto write = [&](const auto& x) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t s = 0; s < k; ++s)
        out[static_cast<std::size_t>(i * k + s)] =
            static_cast<Number>(static_cast<double>(x(i, s)) * factor);
    }
  };
  const auto* const data = static_cast<const float*>(a.data);
  if (!a.patches) {
    write([&, from = data + first * a.row_stride](std::int64_t i, std::int64_t s) {
      return from[i * a.row_stride + s * a.col_stride];
    });
  } else if (!a.patches_transposed) {
    std::vector<float> gathered(out.size());
    gather_patch_rows(*a.patches, data, first, rows, gathered.data(), k);
    write([&](std::int64_t i, std::int64_t s) {
      return gathered[static_cast<std::size_t>(i * k + s)];
    });
  } else {
    write([&](std::int64_t i, std::int64_t s) { return a.value_at(a.offset(first + i, s)); });
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
            static_cast<Number>(static_cast<double>(b.value_at(b.offset(s, j))) * factor);
    }
  });
  return out;
}

template std::vector<float> left_rows(const Problem&, std::int64_t, std::int64_t, double);
template std::vector<double> left_rows(const Problem&, std::int64_t, std::int64_t, double);
template std::vector<float> right_columns(const Problem&, double);
template std::vector<double> right_columns(const Problem&, double);

}  // namespace ebb::kernels
