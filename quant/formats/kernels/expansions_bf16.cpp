#include "quant/formats/kernels/expansions_bf16.h"

#include "quant/formats/kernels/expansion.h"
#include "quant/formats/kernels/round_floats.h"

namespace ebb::kernels {
namespace {

/// a b + c in double, as the float that lies toward zero from it, with an odd last bit unless it is
/// exact: rounding that to bf16 is rounding a b + c. The product is exact in double.
inline float product_sum_to_odd(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c, sum = product + addend, part = sum - product,
               error = (product - (sum - part)) + (addend - part);
  const auto narrow = static_cast<float>(sum);
  const double beyond = static_cast<double>(narrow) - sum;  // of zero, if it has the sum's sign
  auto bits = __builtin_bit_cast(std::uint32_t, narrow);
  const bool exact = beyond == 0.0 && error == 0.0;
  if (exact || !(sum - sum == 0.0) || !(narrow - narrow == 0.0f)) return narrow;
  const bool negative = sum < 0.0 || (sum == 0.0 && error < 0.0);
  const double above = beyond != 0.0 ? beyond : -error;
  if ((above > 0.0) != negative) bits -= 1;
  return __builtin_bit_cast(float, bits | 1u);
}

struct Bf16 {
  using Number = Full::Float;

  static Number rounded(const Number& x) { return chosen(x == x, round_to_bf16(x), x); }
  template <int>
  [[nodiscard]] Number sum(const Number& a, const Number& b) const {
    return rounded(a + b);
  }
  template <int>
  [[nodiscard]] Number difference(const Number& a, const Number& b) const {
    return rounded(a - b);
  }
  template <int>
  [[nodiscard]] Number product(const Number& a, const Number& b) const {
    return rounded(a * b);
  }
  /// The product has 16 bits. Where float32 cannot hold them its lowest is below 2^-149, so it is
  /// below 2^-133, and what is left of it rounds to zero as it does.
  template <int>
  [[nodiscard]] Number residual(const Number& a, const Number& b, const Number& x) const {
    return rounded(a * b - x) + Number{};
  }
  template <int>
  [[nodiscard]] Number product_sum(const Number& a, const Number& b, const Number& c) const {
    Number result{};
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      result[lane] = product_sum_to_odd(a[lane], b[lane], c[lane]);
    return rounded(result);
  }
};

constexpr std::size_t operands_of(ExpansionOp op, std::size_t length) {
  if (op <= ExpansionOp::two_prod) return 2;
  if (op == ExpansionOp::add || op == ExpansionOp::mul) return 2 * length;
  return op == ExpansionOp::renormalise ? length : length + 1;
}

template <ExpansionOp kOp, std::size_t kLength>
void run(const float* const* in, std::int64_t n, float* const* out) {
  constexpr std::size_t kOperands = operands_of(kOp, kLength),
                        kResults = kOp <= ExpansionOp::two_prod ? 2 : kLength;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    Full::Float numbers[kOperands], results[kResults];
    for (std::size_t k = 0; k < kOperands; ++k) numbers[k] = load_first(in[k] + i, n - i);
    evaluate<kOp, kLength>(Bf16{}, numbers, results);
    for (std::size_t k = 0; k < kResults; ++k) store_first(out[k] + i, results[k], n - i);
  }
}

using Op = ExpansionOp;

constexpr ExpansionKernels kExpansions{
    {run<Op::fast_two_sum, 2>, run<Op::two_sum, 2>, run<Op::two_prod, 2>, run<Op::grow_fast, 2>,
     run<Op::grow_safe, 2>, run<Op::add, 2>, run<Op::mul, 2>, run<Op::scale, 2>,
     run<Op::renormalise, 2>},
    {run<Op::fast_two_sum, 2>, run<Op::two_sum, 2>, run<Op::two_prod, 2>, run<Op::grow_fast, 3>,
     run<Op::grow_safe, 3>, run<Op::add, 3>, run<Op::mul, 3>, run<Op::scale, 3>,
     run<Op::renormalise, 3>}};

}  // namespace

constinit const ExpansionKernels ExpansionKernels::EBB_TARGET = kExpansions;

}  // namespace ebb::kernels
