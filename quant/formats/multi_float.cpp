#include "quant/formats/multi_float.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/parallel.h"
#include "quant/formats/kernels/expansion.h"
#include "quant/formats/kernels/expansions_bf16.h"

namespace ebb {
namespace {

constexpr Format kBf16{.width = 16, .exponent = 8, .fraction = 7};

double round_once(const Component& component, double x) {
  const Format format = component.format;
  if (format.is_fp32() && component.offset == 0) return static_cast<double>(static_cast<float>(x));
  const FormatTraits& traits = traits_of(format);
  const std::uint32_t code =
      traits.encode(format, std::ldexp(x, component.offset), Rounding::nearest_even, {});
  return std::ldexp(static_cast<double>(traits.decode(format, code)), -component.offset);
}

/// a + b in double with an odd last bit unless it is exact, so that rounding it again is rounding
/// the sum.
double sum_to_odd(double a, double b) {
  const double sum = a + b, part = sum - a, error = (a - (sum - part)) + (b - part);
  auto bits = std::bit_cast<std::uint64_t>(sum);
  if (!std::isfinite(sum) || error == 0 || bits % 2 == 1) return sum;
  return std::bit_cast<double>((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

/// One number by itself. Numbers have up to 24 bits: their products are exact in double, and
/// rounding a sum in double is rounding the sum.
struct ByItself {
  using Number = double;
  const std::vector<Component>& components;
  const Component& between;

  template <int C>
  [[nodiscard]] double round(double x) const {
    return round_once(C < 0 ? between : components[static_cast<std::size_t>(C)], x);
  }
  template <int C>
  [[nodiscard]] double sum(double a, double b) const {
    return round<C>(a + b);
  }
  template <int C>
  [[nodiscard]] double difference(double a, double b) const {
    return round<C>(a - b);
  }
  template <int C>
  [[nodiscard]] double product(double a, double b) const {
    return round<C>(a * b);
  }
  template <int C>
  [[nodiscard]] double residual(double a, double b, double x) const {
    return round<C>(a * b - x) + 0.0;
  }
  template <int C>
  [[nodiscard]] double product_sum(double a, double b, double c) const {
    return round<C>(sum_to_odd(a * b, c));
  }
};

template <ExpansionOp kOp>
void evaluate(const ByItself& f, const double* in, double* out) {
  if (f.components.size() == 2) {
    kernels::evaluate<kOp, 2>(f, in, out);
  } else {
    kernels::evaluate<kOp, 3>(f, in, out);
  }
}

void evaluate(ExpansionOp op, const ByItself& f, const double* in, double* out) {
  using enum ExpansionOp;
  switch (op) {
    case fast_two_sum: return evaluate<fast_two_sum>(f, in, out);
    case two_sum: return evaluate<two_sum>(f, in, out);
    case two_prod: return evaluate<two_prod>(f, in, out);
    case grow_fast: return evaluate<grow_fast>(f, in, out);
    case grow_safe: return evaluate<grow_safe>(f, in, out);
    case add: return evaluate<add>(f, in, out);
    case mul: return evaluate<mul>(f, in, out);
    case scale: return evaluate<scale>(f, in, out);
    case renormalise: return evaluate<renormalise>(f, in, out);
  }
}

}  // namespace

MultiFloat::MultiFloat(std::vector<Component> components) : components_(std::move(components)) {
  require<ConfigError>(length() == 2 || length() == 3,
                       "[multi float] expected 2 or 3 numbers an expansion, got ", length());
  for (const Component& component : components_) {
    require_valid(component.format);
    require<ConfigError>(component.format.kind == Format::Kind::floating && component.format.sign &&
                             component.format.scaling.block == 0,
                         "[multi float] expected floating formats such as bf16, got ",
                         component.format);
  }
  between_ = components_.front();
  if (std::ranges::count(components_, between_) == std::ssize(components_)) return;
  const auto fraction = [](const Component& component) { return component.format.fraction; };
  between_ = {Format::floating(8, std::ranges::max(components_, {}, fraction).format.fraction)};
}

std::size_t MultiFloat::operands(ExpansionOp op) const {
  if (op <= ExpansionOp::two_prod) return 2;
  if (op == ExpansionOp::add || op == ExpansionOp::mul) return 2 * length();
  return op == ExpansionOp::renormalise ? length() : length() + 1;
}

std::size_t MultiFloat::results(ExpansionOp op) const {
  return op <= ExpansionOp::two_prod ? 2 : length();
}

double MultiFloat::rounded(std::size_t component, double x) const {
  return round_once(components_.at(component), x);
}

MultiFloat::Numbers MultiFloat::split(double x) const {
  Numbers numbers{};
  for (std::size_t i = 0; i < length(); ++i) {
    numbers[i] = rounded(i, x);
    x -= numbers[i];
  }
  return numbers;
}

MultiFloat::Numbers MultiFloat::operator()(ExpansionOp op, std::span<const double> numbers) const {
  require<ShapeError>(numbers.size() == operands(op), "[multi float] expected ", operands(op),
                      " numbers, got ", numbers.size());
  Numbers results{};
  evaluate(op, ByItself{components_, between_}, numbers.data(), results.data());
  return results;
}

void MultiFloat::operator()(ExpansionOp op, std::span<const float* const> numbers, std::int64_t n,
                            std::span<float* const> out, Simd simd) const {
  require<ShapeError>(numbers.size() == operands(op) && out.size() == results(op),
                      "[multi float] expected ", operands(op), " operands and ", results(op),
                      " results, got ", numbers.size(), " and ", out.size());
  bool bf16 = true;
  for (const Component& component : components_) bf16 = bf16 && component == Component{kBf16};
  const auto& kernels = kernels::select<kernels::ExpansionKernels>(simd);
  const auto run = (length() == 2 ? kernels.of_two : kernels.of_three)[static_cast<int>(op)];
  parallel_for(n, [&](std::int64_t first, std::int64_t last) {
    if (bf16) {
      std::array<const float*, 2 * kMost> from{};
      std::array<float*, kMost> to{};
      for (std::size_t k = 0; k < numbers.size(); ++k) from[k] = numbers[k] + first;
      for (std::size_t k = 0; k < out.size(); ++k) to[k] = out[k] + first;
      return run(from.data(), last - first, to.data());
    }
    for (std::int64_t i = first; i < last; ++i) {
      std::array<double, 2 * kMost> in{};
      Numbers result{};
      for (std::size_t k = 0; k < numbers.size(); ++k) in[k] = static_cast<double>(numbers[k][i]);
      evaluate(op, ByItself{components_, between_}, in.data(), result.data());
      for (std::size_t k = 0; k < out.size(); ++k) out[k][i] = static_cast<float>(result[k]);
    }
  });
}

}  // namespace ebb
