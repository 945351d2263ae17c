#include "quant/kernels/int8.h"

#include <algorithm>

#include "quant/kernels/gather.h"

namespace ebb::kernels {

Panels pack_panels(const CodeMatrix& b, std::int64_t run, std::uint8_t flip) {
  const std::int64_t panels = (b.cols + 15) / 16;
  Panels packed{{}, (run + 3) / 4, b.rows / run};
  packed.bytes.resize(static_cast<std::size_t>(panels * packed.stride()));
  const bool k_contiguous = b.row_stride == 1 && b.col_stride != 1;
#pragma omp parallel for collapse(2) schedule(static) if (b.rows * b.cols > (1 << 16))
  for (std::int64_t p = 0; p < panels; ++p) {
    for (std::int64_t s = 0; s < packed.segments; ++s) {
      std::uint8_t* const panel = packed.bytes.data() + (p * packed.segments + s) * packed.groups * 64;
      if (!k_contiguous) {
        interleave_by_four(int8_codes(b) + 16 * p + s * run * b.row_stride, b.row_stride, run, 16, flip, panel, 64);
        continue;
      }
      for (std::int64_t j = 0; j < 16; ++j) {
        const std::int8_t* const column = int8_codes(b) + std::min(16 * p + j, b.cols - 1) * b.col_stride + s * run;
        for (std::int64_t k = 0; k < 4 * packed.groups; ++k) {
          const auto code = static_cast<std::uint8_t>(k < run ? column[k] ^ static_cast<std::int8_t>(flip) : 0);
          panel[k / 4 * 64 + 4 * j + k % 4] = code;
        }
      }
    }
  }
  return packed;
}

void finish_row(const Problem& p, const Int8Micro& micro, const Corrections& corrections, std::int64_t row, std::int64_t col,
                std::int64_t cols, const std::int32_t* sums, std::vector<double>& scratch) {
  const Corrections::Row r = corrections.row(row, scratch);
  const std::int64_t a_sum = corrections.row_sum(row);
  const auto bias = static_cast<std::int32_t>(micro.biased_b ? 128 * a_sum : 0);
  float line[kMaxPanels * kPanel];
  float* const out = p.transposed_out ? line : &p.c(row, col);
  micro.scale(sums, cols, bias, r.alpha + col, r.beta + col, static_cast<double>(a_sum), r.gamma + col, out);
  if (p.transposed_out) {
    for (std::int64_t j = 0; j < cols; ++j) p.c(row, col + j) = line[j];
  }
}

std::uint64_t finish_wide(const Problem& p, const Corrections& corrections, std::int64_t i, std::int64_t col,
                          std::span<std::int64_t> sums, std::vector<double>& scratch) {
  const std::uint64_t events = wrap_sums(p.accumulator, sums);
  corrections.write(p, i, col, sums, scratch);
  return events;
}

}  // namespace ebb::kernels
