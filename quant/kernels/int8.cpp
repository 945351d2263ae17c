#include "quant/kernels/int8.h"

#include <algorithm>
#include <cstring>

#include "quant/kernels/gather.h"

namespace ebb::kernels {

void pack_panel(const CodeMatrix& b, std::int64_t first, std::int64_t k, std::int64_t col, std::uint8_t flip, std::uint8_t* out) {
  const std::int64_t groups = (k + 3) / 4;
  if (b.row_stride != 1 || b.col_stride == 1) {
    return interleave_by_four(int8_codes(b) + first * b.row_stride + col, b.row_stride, k, 16, flip, out, 64);
  }
  const std::uint8_t all[4] = {flip, flip, flip, flip};
  for (std::int64_t j = 0; j < 16; ++j) {
    const std::int8_t* const column = int8_codes(b) + std::min(col + j, b.cols - 1) * b.col_stride + first;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto bytes = static_cast<std::size_t>(std::min<std::int64_t>(4, k - 4 * g));
      std::uint32_t four = 0, flips = 0;
      std::memcpy(&four, column + 4 * g, bytes);
      std::memcpy(&flips, all, bytes);
      four ^= flips;
      std::memcpy(out + 64 * g + 4 * j, &four, 4);
    }
  }
}

Panels pack_panels(const CodeMatrix& b, std::int64_t run, std::uint8_t flip) {
  const std::int64_t panels = (b.cols + 15) / 16;
  Panels packed{{}, (run + 3) / 4, b.rows / run};
  packed.bytes.resize(static_cast<std::size_t>(panels * packed.stride()));
#pragma omp parallel for collapse(2) schedule(static) if (b.rows * b.cols > (1 << 16))
  for (std::int64_t p = 0; p < panels; ++p) {
    for (std::int64_t s = 0; s < packed.segments; ++s) {
      pack_panel(b, s * run, run, 16 * p, flip, packed.bytes.data() + (p * packed.segments + s) * packed.groups * 64);
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
