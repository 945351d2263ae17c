#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/parallel.h"
#include "quant/kernels/dense/packing.h"
#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/registry.h"
#include "quant/kernels/table/lookup.h"
#include "quant/multiplier.h"

// Products of codes by a table. Left codes become indices plus one, so that padding, which
// multiplies nothing, is the zero that gathering patches fills in.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunk = 1024;
constexpr std::int64_t kRowBlock = 64;

class TableProduct {
 public:
  TableProduct(const Problem& p, const LookupKernels& micro)
      : p_(p),
        micro_(micro),
        offset_a_(p.multiplier->index_offset(p.a.format())),
        offset_b_(p.multiplier->index_offset(p.b.format())),
        cols_(round_up(p.n(), kLookupColumns)),
        marked_(p.a.codes()),
        sums_(static_cast<std::size_t>(p.m() * p.n()), 0),
        right_(static_cast<std::size_t>(std::min(kChunk, p.k()) * cols_)) {
    for (int place = 0; place < kLookupColumns; ++place)
      columns_[static_cast<std::size_t>(place)] = micro.column_at(place);
    mark_left();
  }

  void run() {
    const bool across = marked_.patches && marked_.patches_transposed;
    PackBuffers shared;
    CodeLines all{};
#pragma omp parallel if (p_.m() * p_.n() * p_.k() > (1 << 13))
    {
      PackBuffers buffers;
      std::vector<std::uint32_t> row_sums(static_cast<std::size_t>(cols_));
      for (std::int64_t first = 0; first < p_.k(); first += kChunk) {
        const std::int64_t k = std::min(kChunk, p_.k() - first);
#pragma omp for schedule(static)
        for (std::int64_t s = 0; s < k; ++s) pack_row(first + s, right_.data() + s * cols_);
        if (across) {
#pragma omp single
          all = left_codes(marked_, 0, p_.m(), first, k, shared);
        }
#pragma omp for schedule(dynamic)
        for (std::int64_t row = 0; row < p_.m(); row += kRowBlock) {
          const std::int64_t rows = std::min(kRowBlock, p_.m() - row);
          CodeLines left = all;
          if (across) {
            left.data += row * left.row;
          } else {
            left = left_codes(marked_, row, rows, first, k, buffers);
          }
          for (std::int64_t i = 0; i < rows; ++i) add(left, i, row + i, k, row_sums);
        }
      }
    }
  }

  void write() {
    const RowClasses classes = RowClasses::of(p_.a.codes(), p_.b.codes());
    const std::vector<std::int64_t> a_sums = sum_rows(p_.a.codes());
    const Epilogue epilogue(p_, classes);
    // An unsigned table multiplies code + centre: the centres' part is taken off.
    const bool centred = p_.multiplier->is_signed();
    const std::int64_t centre_a = centred ? 0 : offset_a_, centre_b = centred ? 0 : offset_b_,
                       each = centre_a * centre_b + p_.multiplier->entry_offset();
#pragma omp parallel if (p_.m() * p_.n() > (1 << 13))
    {
      std::vector<double> scratch;
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < p_.m(); ++i) {
        const auto row = static_cast<std::size_t>(i);
        const std::size_t c =
            classes.of_row.empty() ? 0 : static_cast<std::size_t>(classes.of_row[row]);
        const std::int64_t* const b_sums =
            classes.column_sums.data() + static_cast<std::int64_t>(c) * p_.n();
        const std::int64_t common = centre_b * a_sums[row] + each * classes.valid[c];
        const std::span<std::int64_t> sums(sums_.data() + i * p_.n(),
                                           static_cast<std::size_t>(p_.n()));
        for (std::size_t j = 0; j < sums.size(); ++j) sums[j] -= common + centre_a * b_sums[j];
        epilogue.finish(i, 0, sums, a_sums[row], scratch);
      }
    }
  }

 private:
  /// Makes marked_ the matrix a with its codes' indices plus one.
  void mark_left() {
    const CodeMatrix& a = p_.a.codes();
    if (!a.patches) {
      indices_.resize(static_cast<std::size_t>(a.rows * a.cols));
      parallel_rows(a.rows, a.cols, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          for (std::int64_t k = 0; k < a.cols; ++k) mark(i * a.cols + k, a.code_at(a.offset(i, k)));
        }
      });
      marked_.row_stride = a.cols;
      marked_.col_stride = 1;
    } else {
      const PatchGeometry& g = *a.patches;
      const std::int64_t pixels = g.images * g.height * g.width;
      indices_.resize(static_cast<std::size_t>(pixels * g.channels));
      parallel_rows(pixels, g.channels, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t pixel = first; pixel < last; ++pixel) {
          for (std::int64_t channel = 0; channel < g.channels; ++channel)
            mark(pixel * g.channels + channel, a.code_at(pixel * g.pixel_stride + channel));
        }
      });
      marked_.patches->pixel_stride = g.channels;
      marked_.row_stride = g.channels;
    }
    indices_.resize(indices_.size() + kPackSlack, 0);
    marked_.data = indices_.data();
    marked_.container = CodeMatrix::Container::int16;
  }
  void mark(std::int64_t at, std::int32_t code) {
    indices_[static_cast<std::size_t>(at)] = static_cast<std::int16_t>(code + offset_a_ + 1);
  }

  void pack_row(std::int64_t k, std::uint8_t* to) const {
    const CodeMatrix& b = p_.b.codes();
    for (std::int64_t group = 0; group < cols_; group += kLookupColumns) {
      for (int place = 0; place < kLookupColumns; ++place) {
        const std::int64_t j = group + columns_[static_cast<std::size_t>(place)];
        const std::int32_t code = j < p_.n() ? b.code_at(b.offset(k, j)) : 0;
        to[group + place] = static_cast<std::uint8_t>(code + offset_b_);
      }
    }
  }

  void add(const CodeLines& left, std::int64_t i, std::int64_t row, std::int64_t k,
           std::vector<std::uint32_t>& sums) {
    std::ranges::fill(sums, 0u);
    micro_.add({.table = p_.multiplier->entries(p_.turned),
                .a = left.data + i * left.row,
                .a_k = left.k,
                .k = k,
                .b = right_.data(),
                .cols = cols_,
                .sums = sums.data()});
    std::int64_t* const to = sums_.data() + row * p_.n();
    for (std::int64_t j = 0; j < p_.n(); ++j) to[j] += sums[static_cast<std::size_t>(j)];
  }

  const Problem& p_;
  const LookupKernels& micro_;
  int offset_a_, offset_b_;
  std::int64_t cols_;
  std::array<int, kLookupColumns> columns_{};  ///< at each place of a group
  CodeMatrix marked_;
  Aligned<std::int16_t> indices_;
  std::vector<std::int64_t> sums_;  ///< [m, n]
  Aligned<std::uint8_t> right_;     ///< a chunk of b
};

}  // namespace

bool table_applies(const Problem& p) {
  return p.multiplier != nullptr && p.int8() && p.m() > 0 && p.n() > 0;
}

std::uint64_t multiply_by_table(const Problem& p, [[maybe_unused]] Simd simd) {
  const LookupKernels* micro = &LookupKernels::portable;
#if defined(__x86_64__)
  if (simd == Simd::avx512) micro = &LookupKernels::avx512;
#endif
  TableProduct product(p, *micro);
  product.run();
  product.write();
  return 0;
}

}  // namespace ebb::kernels
