#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/simd.h"
#include "quant/formats/expansion_op.h"
#include "quant/formats/format.h"

namespace ebb {

/// One number of an expansion: it is a number of `format` times 2^-offset. Formats of 8 bits need
/// an offset where what is left over by the number before would be below their smallest number.
struct Component {
  Format format{};
  int offset = 0;
  friend bool operator==(const Component&, const Component&) = default;
};

/// The arithmetic of expansions: a value is the unevaluated sum of 2 or 3 floating numbers of
/// decreasing magnitude, each at most half a unit in the last place of the one before. Every
/// operation is a stated sequence of sums, differences and products, each rounded once, to nearest
/// and ties to even; what overflows becomes what its format says, and nothing is exact then.
/// Sources: Dekker 1971, Knuth TAOCP 2, Shewchuk 1997; Yu et al., "Collage", ICML 2024.
class MultiFloat {
 public:
  static constexpr std::size_t kMost = 3;
  using Numbers = std::array<double, kMost>;  ///< those past the length are 0

  /// @throws ConfigError unless there are 2 or 3 components of floating formats with a sign
  explicit MultiFloat(std::vector<Component> components);
  MultiFloat(Format format, std::size_t length)
      : MultiFloat(std::vector<Component>(length, Component{format})) {}

  [[nodiscard]] const std::vector<Component>& components() const { return components_; }
  [[nodiscard]] std::size_t length() const { return components_.size(); }
  /// How many numbers an operation takes and gives.
  [[nodiscard]] std::size_t operands(ExpansionOp op) const;
  [[nodiscard]] std::size_t results(ExpansionOp op) const;

  /// x as a number of that component.
  [[nodiscard]] double rounded(std::size_t component, double x) const;
  /// x as an expansion: each number is what the ones before leave of x, rounded.
  [[nodiscard]] Numbers split(double x) const;

  /// The definition. Sums go to the first component's format and their errors to the next one's;
  /// what is between goes to their format or, if they differ, to e8mF with the most bits of
  /// fraction that one of them has.
  /// @throws ShapeError unless there are as many numbers as operands(op)
  [[nodiscard]] Numbers operator()(ExpansionOp op, std::span<const double> numbers) const;
  [[nodiscard]] Numbers operator()(ExpansionOp op, std::initializer_list<double> numbers) const {
    return (*this)(op, std::span(numbers.begin(), numbers.size()));
  }
  /// The same of n elements, each operand and result an array; results may be operands. Expansions
  /// of bf16 without offsets are done by vectors.
  void operator()(ExpansionOp op, std::span<const float* const> numbers, std::int64_t n,
                  std::span<float* const> results, Simd simd) const;

 private:
  std::vector<Component> components_;
  Component between_;
};

}  // namespace ebb
