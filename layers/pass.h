#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/key.h"
#include "core/params.h"
#include "core/simd.h"
#include "core/tape.h"
#include "layers/effects.h"
#include "layers/observer.h"
#include "quant/gemm.h"
#include "quant/ledger.h"
#include "quant/operand.h"
#include "quant/plan.h"

namespace ebb {

/// A matrix on its way into the products of a site, see Pass::quantize.
class Quantized {
 public:
  /// The codes for a product that contracts this axis of the matrix: 0 down its rows, 1 along them.
  /// One scale never varies along the axis that is contracted; blocks lie along it. Where all
  /// products can share codes these were made once, by quantize(); otherwise every call makes those
  /// of its axis and product, from the matrix, which must still be there. @throws NonFiniteError
  /// naming site and role
  [[nodiscard]] Operand along(int axis, Product product) const {
    return shared_ ? *shared_ : encode_(axis, product);
  }

 private:
  friend struct Pass;
  explicit Quantized(Operand shared) : shared_(std::move(shared)) {}
  using Encode = std::function<Operand(int axis, Product product)>;
  explicit Quantized(Encode encode) : encode_(std::move(encode)) {}

  std::optional<Operand> shared_;
  Encode encode_;
};

/// How scales are shared by the elements of a matrix.
enum class Scales : std::uint8_t {
  by_role,     ///< per channel for weights, per tensor for activations and gradients
  per_tensor,  ///< one, so that both axes share codes
  per_channel  ///< one for every line along the contracted axis
};

/// What is known, or asked, of a matrix that is quantized. A given range needs Scales::per_tensor.
struct QuantizeOptions {
  std::optional<Range> range = std::nullopt;  ///< of all elements, if their producer has found it
  /// The running range of a layer's input, see add_running_range: in training the range of this use
  /// is noted for it (Effects::ranges); in evaluation scales go over that range, once training has
  /// set it.
  ParamId running_range = {};
  std::uint64_t step = 0;  ///< index among the operands of one role in one use of a site, such as
                           ///< the time step of a recurrence; 0 folds nothing into the key
  Scales scales = Scales::by_role;
  bool whole = false;  ///< products take the whole matrix at once, so that it can be transformed
                       ///< along the axis that they contract
  std::span<const Operand::Part> parts = {};  ///< as in Operand::Options
};

/// One forward and backward sweep under one precision plan. Built anew for every iteration from
/// explicit parts; it is neither copied nor moved, since backward functions refer to it. It writes
/// its tape, its ledger and its effects, which the caller applies to the parameters if the step is
/// kept.
///
/// A backward sweep refuses a plan with names that mean no site, see require_known_sites.
struct Pass {
  enum class Mode : std::uint8_t { train, evaluate };

  const ParamStore& params;
  PrecisionPlan plan;
  CostLedger& ledger;  ///< charged by every product
  Key key;             ///< of this iteration: every random draw of the pass derives from it
  Mode mode = Mode::train;
  Simd simd = best_simd();
  const Observer* observer = nullptr;  ///< is shown what the pass does, if set
  /// Products are charged but not computed: a dry run that tells what a step costs. Products are
  /// charged at float32's widths whatever the plan says; CostLedger::bit_ops_under gives their cost
  /// under any plan. Values mean nothing then; most are shapes without memory (Tape::record_shape).
  bool counting = false;
  /// False where no backward sweep follows, as under torch.no_grad(): ops then keep nothing for
  /// one, so that an evaluation takes less memory. Its values are the same.
  bool gradients = true;
  Tape tape{params, [this] { check_plan(); }, gradients};
  std::map<std::string, std::uint64_t, std::less<>> uses = {};  ///< how often, by place
  Effects effects = {};

  /// The value of x as a matrix for an operand: in a pass that counts, only its shape.
  [[nodiscard]] ConstMatrix matrix_of(Var x) const;
  /// Memory for a product's result; in a pass that counts, only its shape.
  [[nodiscard]] Tensor empty(const Shape& shape) const {
    return counting ? Tensor::shape_only(shape) : Tensor::uninitialized(shape);
  }

  /// require_known_sites, unless the plan is shared.
  void check_plan() const;
  [[nodiscard]] bool training() const { return mode == Mode::train; }

  /// The site with the number of this use. A layer calls this once, in its forward function, and
  /// passes the result to quantize() in both directions, so that each use of the layer in this pass
  /// draws random bits of its own.
  [[nodiscard]] Site visit(const Site& site) { return {site.name, site.tags, uses[site.name]++}; }
  /// The key of a place's random draws; use 0 folds nothing.
  [[nodiscard]] Key key_of(std::string_view place, std::uint64_t use) const;

  /// Whether an operand of a product is encoded in blocks, along the axis that is contracted.
  [[nodiscard]] bool in_blocks(const Site& site, Role role, Product product) const {
    return !counting && has_blocks(plan.encoding(site, role, product).format);
  }
  /// Has a matrix encoded by the plan, for the products of a site. @throws NonFiniteError naming
  /// site and role
  [[nodiscard]] Quantized quantize(const ConstMatrix& x, const Site& site, Role role,
                                   const QuantizeOptions& options = {});
  /// The same of a tensor, whose last axis is that of columns: of a gradient, for instance.
  [[nodiscard]] Quantized quantize(const Tensor& x, const Site& site, Role role,
                                   const QuantizeOptions& options = {}) {
    return quantize(x.matrix(), site, role, options);
  }
  /// The same of a value on the tape, whose range may be known; one that is still to be computed
  /// goes straight into codes.
  [[nodiscard]] Quantized quantize(Var x, const Site& site, Role role,
                                   QuantizeOptions options = {});

  /// How this pass does a product: its accumulator and SIMD level. Refers to the site.
  [[nodiscard]] Multiply how(const Site& site, Product product,
                             const RowsDone& rows_done = {}) const;
  /// gemm with how(site, product), charged to this pass's ledger.
  [[nodiscard]] Tensor multiply(const Operand& a, const Operand& b, const Site& site,
                                Product product) const;
  void multiply_into(const Operand& a, const Operand& b, const Site& site, Product product,
                     const MutableMatrix& out, const RowsDone& rows_done = {},
                     const float* bias = nullptr) const;
  /// Products of one site side by side.
  void multiply_all(std::span<const BatchedProduct> products, const Site& site, Product product,
                    const ProductDone& done = {}) const;
  /// Shows the observer products that an op does by itself, and not by the functions above.
  void show(const SeenProducts& products) const {
    if (observer != nullptr && observer->products) observer->products(products);
  }
  void show(const SeenSum& sum) const {
    if (observer != nullptr && observer->sum) observer->sum(sum);
  }
};

}  // namespace ebb
