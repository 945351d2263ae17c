#pragma once

#include <cstddef>

#include "quant/formats/expansion_op.h"

/// The operations on expansions, once for numbers by themselves in double and for vectors. An
/// arithmetic F has the type Number and, each rounded to the component C,
///   sum<C>(a, b), difference<C>(a, b), product<C>(a, b), residual<C>(a, b, x) = a b - x, which is
///   never -0, and
///   product_sum<C>(a, b, c) = a b + c.
/// All is in an unnamed namespace and includes no library code, as kernels have to.
namespace ebb::kernels {
namespace {

constexpr int kBetween = -1;  ///< the component of what is neither a sum nor an error

template <class Number>
struct SumAndError {
  Number sum, error;
};
template <class F>
using Parts = SumAndError<typename F::Number>;

/// The sum in component C, its error in the next.
template <int C, class F, class N>
inline Parts<F> fast_two_sum(const F& f, const N& a, const N& b) {
  const N sum = f.template sum<C>(a, b), taken = f.template difference<kBetween>(sum, a);
  return {sum, f.template difference<C + 1>(b, taken)};
}
template <int C, class F, class N>
inline Parts<F> two_sum(const F& f, const N& a, const N& b) {
  const N sum = f.template sum<C>(a, b), of_a = f.template difference<kBetween>(sum, b),
          of_b = f.template difference<kBetween>(sum, of_a),
          left_of_a = f.template difference<kBetween>(a, of_a),
          left_of_b = f.template difference<kBetween>(b, of_b);
  return {sum, f.template sum<C + 1>(left_of_a, left_of_b)};
}
template <int C, class F, class N>
inline Parts<F> two_prod(const F& f, const N& a, const N& b) {
  const N product = f.template product<C>(a, b);
  return {product, f.template residual<C + 1>(a, b, product)};
}

/// Numbers of decreasing magnitude made to overlap no longer, from the last one up and down again.
template <class F, class N>
inline void renormalise(const F& f, N (&x)[2]) {
  const Parts<F> whole = fast_two_sum<0>(f, x[0], x[1]);
  x[0] = whole.sum;
  x[1] = whole.error;
}
template <class F, class N>
inline void renormalise(const F& f, N (&x)[3]) {
  const Parts<F> low = fast_two_sum<1>(f, x[1], x[2]), high = fast_two_sum<0>(f, x[0], low.sum),
                 rest = fast_two_sum<1>(f, high.error, low.error),
                 // An error of half a unit may have grown by what was below it.
      top = fast_two_sum<0>(f, high.sum, rest.sum),
                 bottom = fast_two_sum<1>(f, top.error, rest.error);
  x[0] = top.sum;
  x[1] = bottom.sum;
  x[2] = bottom.error;
}

template <bool kSafe, class F, class N>
inline void grow(const F& f, N (&x)[2], const N& a) {
  const Parts<F> first = kSafe ? two_sum<0>(f, x[0], a) : fast_two_sum<0>(f, x[0], a);
  x[0] = first.sum;
  x[1] = f.template sum<1>(x[1], first.error);
  renormalise(f, x);
}
template <bool kSafe, class F, class N>
inline void grow(const F& f, N (&x)[3], const N& a) {
  const Parts<F> first = kSafe ? two_sum<0>(f, x[0], a) : fast_two_sum<0>(f, x[0], a),
                 second = two_sum<1>(f, x[1], first.error);
  x[0] = first.sum;
  x[1] = second.sum;
  x[2] = f.template sum<2>(x[2], second.error);
  renormalise(f, x);
}

template <class F, class N>
inline void add(const F& f, N (&x)[2], const N (&y)[2]) {
  const Parts<F> first = two_sum<0>(f, x[0], y[0]);
  x[1] = f.template sum<1>(first.error, f.template sum<1>(x[1], y[1]));
  x[0] = first.sum;
  renormalise(f, x);
}
template <class F, class N>
inline void add(const F& f, N (&x)[3], const N (&y)[3]) {
  const Parts<F> first = two_sum<0>(f, x[0], y[0]), second = two_sum<1>(f, x[1], y[1]),
                 third = two_sum<1>(f, second.sum, first.error);
  x[2] = f.template sum<2>(f.template sum<2>(second.error, third.error),
                           f.template sum<2>(x[2], y[2]));
  x[0] = first.sum;
  x[1] = third.sum;
  renormalise(f, x);
}

template <class F, class N>
inline void mul(const F& f, N (&x)[2], const N (&y)[2]) {
  const Parts<F> first = two_prod<0>(f, x[0], y[0]);
  const N cross =
      f.template sum<1>(f.template product<1>(x[0], y[1]), f.template product<1>(x[1], y[0]));
  x[0] = first.sum;
  x[1] = f.template sum<1>(first.error, cross);
  renormalise(f, x);
}
template <class F, class N>
inline void mul(const F& f, N (&x)[3], const N (&y)[3]) {
  const Parts<F> first = two_prod<0>(f, x[0], y[0]), right = two_prod<1>(f, x[0], y[1]),
                 left = two_prod<1>(f, x[1], y[0]), cross = two_sum<1>(f, right.sum, left.sum),
                 second = two_sum<1>(f, cross.sum, first.error);
  const auto plus = [&f](const N& a, const N& b) { return f.template sum<2>(a, b); };
  const auto times = [&f](const N& a, const N& b) { return f.template product<2>(a, b); };
  const N errors = plus(plus(right.error, left.error), plus(cross.error, second.error)),
          low = plus(plus(times(x[0], y[2]), times(x[2], y[0])), times(x[1], y[1]));
  x[0] = first.sum;
  x[1] = second.sum;
  x[2] = plus(errors, low);
  renormalise(f, x);
}

template <class F, class N>
inline void scale(const F& f, N (&x)[2], const N& c) {
  const Parts<F> first = two_prod<0>(f, x[0], c);
  x[1] = f.template product_sum<1>(x[1], c, first.error);
  x[0] = first.sum;
  renormalise(f, x);
}
template <class F, class N>
inline void scale(const F& f, N (&x)[3], const N& c) {
  const Parts<F> first = two_prod<0>(f, x[0], c), second = two_prod<1>(f, x[1], c),
                 middle = two_sum<1>(f, second.sum, first.error);
  x[2] = f.template product_sum<2>(x[2], c, f.template sum<2>(second.error, middle.error));
  x[0] = first.sum;
  x[1] = middle.sum;
  renormalise(f, x);
}

/// One operation on expansions of kLength numbers.
template <ExpansionOp kOp, std::size_t kLength, class F, class N>
inline void evaluate(const F& f, const N* in, N* out) {
  if constexpr (kOp <= ExpansionOp::two_prod) {
    const Parts<F> parts = kOp == ExpansionOp::fast_two_sum ? fast_two_sum<0>(f, in[0], in[1])
                           : kOp == ExpansionOp::two_sum    ? two_sum<0>(f, in[0], in[1])
                                                            : two_prod<0>(f, in[0], in[1]);
    out[0] = parts.sum;
    out[1] = parts.error;
  } else {
    N x[kLength], y[kLength];
    for (std::size_t i = 0; i < kLength; ++i) x[i] = in[i];
    if constexpr (kOp == ExpansionOp::add || kOp == ExpansionOp::mul) {
      for (std::size_t i = 0; i < kLength; ++i) y[i] = in[kLength + i];
    }
    if constexpr (kOp == ExpansionOp::grow_fast) grow<false>(f, x, in[kLength]);
    if constexpr (kOp == ExpansionOp::grow_safe) grow<true>(f, x, in[kLength]);
    if constexpr (kOp == ExpansionOp::add) add(f, x, y);
    if constexpr (kOp == ExpansionOp::mul) mul(f, x, y);
    if constexpr (kOp == ExpansionOp::scale) scale(f, x, in[kLength]);
    if constexpr (kOp == ExpansionOp::renormalise) renormalise(f, x);
    for (std::size_t i = 0; i < kLength; ++i) out[i] = x[i];
  }
}

}  // namespace
}  // namespace ebb::kernels
