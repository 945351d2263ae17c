#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quant/codes.h"
#include "quant/gemm.h"
#include "quant/operand.h"

namespace ebb::kernels {

/// One product as kernels receive it. If a patch matrix takes part it is `a`: gemm turns c = a b
/// into c^T = b^T a^T where needed, and `store` writes transposed.
struct Problem {
  const Operand& a;  ///< [m, k]
  const Operand& b;  ///< [k, n]
  Accumulator accumulator;
  MutableMatrix out;  ///< [m, n], or [n, m] when transposed_out
  bool transposed_out = false;
  /// Where a kernel that finishes rows early reports them; it reports all of them or none.
  struct Report {
    const RowsDone& rows_done;
    std::atomic<bool> used = false;
    void operator()(std::int64_t first, std::int64_t last) {
      used.store(true, std::memory_order_relaxed);
      rows_done(first, last);
    }
  };
  Report* report = nullptr;  ///< null if nobody wants to know
  /// What only kernels of dense codes meet: strips, which are all that is to be computed if there
  /// are any, and a bias [n] to add.
  std::span<const Strip> strips = {};
  const float* bias = nullptr;
  /// Both sides are the numbers of codes, whose scales a kernel brings in at the end by finish().
  bool unscaled = false;
  /// What multiplies the codes, null where they are multiplied exactly. Of a product that was
  /// turned its first operand is a code of b.
  const Multiplier* multiplier = nullptr;
  bool turned = false;

  [[nodiscard]] std::int64_t m() const { return a.rows(); }
  [[nodiscard]] std::int64_t n() const { return b.cols(); }
  [[nodiscard]] std::int64_t k() const { return a.cols(); }
  [[nodiscard]] float& c(std::int64_t i, std::int64_t j) const {
    return transposed_out ? out.data[j * out.row_stride + i] : out.data[i * out.row_stride + j];
  }
  /// The product of the scales of an output, exact in float64.
  [[nodiscard]] double scale(std::int64_t i, std::int64_t j) const {
    const Grid &left = a.grid(a.granularity() == Granularity::per_row ? i : 0),
               &right = b.grid(b.granularity() == Granularity::per_column ? j : 0);
    return static_cast<double>(left.scale) * static_cast<double>(right.scale);
  }
  /// Stores an output whose sum is exact or rounded to odd in float64.
  void finish(std::int64_t i, std::int64_t j, double sum) const {
    c(i, j) = static_cast<float>(unscaled ? sum * scale(i, j) : sum);
  }
  /// Both sides are linear codes, to be multiplied exactly. A kernel says by this, or by
  /// both_float(), what it can multiply.
  [[nodiscard]] bool linear() const {
    return a.arithmetic() == Arithmetic::linear && b.arithmetic() == Arithmetic::linear &&
           multiplier == nullptr;
  }
  [[nodiscard]] bool both_float() const {
    return a.arithmetic() == Arithmetic::float32 && b.arithmetic() == Arithmetic::float32;
  }
  /// Both sides are float32, and every output is one chain of fma in float32.
  [[nodiscard]] bool float_chain() const {
    return both_float() && accumulator == Accumulator::fp32();
  }
  /// Both sides have a scale per block.
  [[nodiscard]] bool blocks() const {
    return a.arithmetic() == Arithmetic::blocks && b.arithmetic() == Arithmetic::blocks;
  }
  [[nodiscard]] bool int8() const {
    return a.codes().container == CodeMatrix::Container::int8 &&
           b.codes().container == CodeMatrix::Container::int8;
  }
  /// Largest magnitude that a stored code of the operand can have.
  static std::int64_t largest(const Operand& x) {
    return traits_of(x.format()).largest(x.format());
  }
};

/// What multiplies the codes of two operands, null where they are multiplied exactly, or as
/// float32.
/// @throws ConfigError for encoded operands that no multiplier multiplies
const Multiplier* multiplier_for(const Operand& a, const Operand& b, const Multiply& how);

/// Runs the product and returns the number of overflow events of a narrow accumulator.
using Run = std::uint64_t (*)(const Problem&);
struct Kernel {
  std::string_view name;
  Simd simd;
  bool (*applies)(const Problem&);
  Run run;
  bool dense_codes = false;  ///< takes strips and a bias
};

/// Fastest first; the last is the reference.
std::span<const Kernel> all_kernels();
/// The first that applies and needs no more than `simd`. @throws ConfigError if no kernel
/// multiplies what the operands hold
const Kernel& first_kernel(const Problem& problem, Simd simd);

std::uint64_t reference_integer(const Problem& problem);
std::uint64_t reference_float(const Problem& problem);
/// Products of numbers whose accumulator is not one chain in float32.
std::uint64_t reference_sums(const Problem& problem);
/// The binade below which numbers of a format are subnormal; far below all others if none is.
int lowest_binade(Format format);
std::uint64_t reference_blocks(const Problem& problem);
/// Of codes that a Multiplier multiplies.
std::uint64_t reference_table(const Problem& problem);

/// One addition of a product into a W-bit register, as the definition says it; counts what happened
/// in `events`.
std::int64_t narrow_add(std::int64_t sum, std::int64_t product, Accumulator accumulator,
                        std::uint64_t& events);
/// The low `bits` bits of an exact sum as two's complement; counts how often it went round.
std::int64_t wrapped(std::int64_t sum, int bits, std::uint64_t& events);

}  // namespace ebb::kernels
