#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "core/simd.h"
#include "core/tensor.h"
#include "quant/accumulator.h"
#include "quant/ledger.h"
#include "quant/operand.h"
#include "quant/plan.h"

namespace ebb {

/// Called with rows first .. last of a product as soon as they are final, while they are in cache.
/// Calls are disjoint, cover all rows, begin at multiples of kRowsDone and come from any thread.
using RowsDone = std::function<void(std::int64_t first, std::int64_t last)>;
inline constexpr std::int64_t kRowsDone = 64;

/// What a product is for and how to run it.
struct Multiply {
  const Site& site;
  Product product = Product::forward;
  Accumulator accumulator{};  ///< of products of encoded operands, see resolve()
  Simd simd = Simd::scalar;   ///< highest instruction set to use
  std::string_view kernel =
      {};  ///< force a kernel by name (see kernel_names()); empty chooses the first that applies
  RowsDone rows_done = {};
  /// What multiplies integer codes of up to 8 bits in place of exact multiplication, null for none;
  /// its first operand is a code of `a`. Wider codes and other formats are refused, float32 is not.
  const Multiplier* multiplier = nullptr;
  const float* bias = nullptr;  ///< added to every row of the rounded result, [n]
  bool count_only = false;  ///< only charge the product: its result is zeros, see Pass::counting
};

/// A writable [rows, cols] matrix laid over float32 memory, columns next to each other.
struct MutableMatrix {
  float* data = nullptr;  ///< null where nobody reads the result, of products that are only counted
  std::int64_t rows = 0, cols = 0, row_stride = 0;

  void fill(float value) const;
};

/// The matrix product: a [m, k] times b [k, n].
///
/// Linear codes: every output is one exact integer sum over k (or a narrow accumulator's), then one
/// affine scaling in double, rounded once to float32. Codes of other formats: the numbers are
/// summed in the accumulator, scales come in at the end. Float32 operands: per output one chain of
/// fma with ascending k, started at +0. Every other pair is decoded to float32 and multiplied in
/// the same way. A bias is added to the rounded result. docs/NUMERICS.md has the formulas.
///
/// Charges `ledger` with m n k times the operands' widths; patch operands charge their geometry's
/// nominal positions instead of their rows.
/// @throws ShapeError unless the shapes fit; ConfigError for an unknown kernel or one that cannot
/// do this product
Tensor gemm(const Operand& a, const Operand& b, const Multiply& how, CostLedger& ledger);
/// The same into memory of the caller.
void gemm_into(const Operand& a, const Operand& b, const Multiply& how, CostLedger& ledger,
               const MutableMatrix& out);

/// Adds a bias [cols] to every row of y [rows, cols].
void add_bias(const MutableMatrix& y, const float* bias);

/// Both operands in one representation: two linear ones stay codes; else codes of formats with a
/// codec become their numbers; every other pair is decoded to float32. gemm does this itself.
/// Callers that cut operands into slices call it once before cutting, since it converts whole
/// matrices.
std::pair<Operand, Operand> same_kind(const Operand& a, const Operand& b);

/// Rows first .. first + rows of a product that need only a part of it: k_first .. k_last of what
/// is contracted, and columns 0 .. cols of the result. A product of its own, as far as values and
/// costs go.
struct Strip {
  std::int64_t first, rows, k_first, k_last, cols;
  [[nodiscard]] std::int64_t k() const { return k_last - k_first; }
};
/// k_first, and k_last unless it is the end of the contraction, are multiples of this.
inline constexpr std::int64_t kStripUnit = 4;

/// One of several products of a site that do not depend on each other, as the heads of an
/// attention.
struct BatchedProduct {
  Operand a, b;
  MutableMatrix out;
  std::span<const Strip> strips =
      {};  ///< all that is computed, if not empty; what is outside stays as it was
};
/// Called with the number of a product that is final, by the thread that has it in cache.
using ProductDone = std::function<void(std::size_t product)>;
/// All of them, each as gemm_into does it. Threads take whole products, so many small ones keep
/// them busier than each by itself could. @throws ShapeError as gemm, or for strips outside their
/// product, or that are not aligned to kStripUnit; ConfigError for a bias or rows_done
void gemm_batch(std::span<const BatchedProduct> products, const Multiply& how, CostLedger& ledger,
                const ProductDone& done = {});

/// Names of the kernels, fastest first. "reference" applies to everything and is what the others
/// are tested against.
std::span<const std::string_view> kernel_names();
/// The kernel that gemm would choose.
std::string_view choose_kernel(const Operand& a, const Operand& b, const Multiply& how);

}  // namespace ebb
