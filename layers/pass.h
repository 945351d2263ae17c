#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/params.h"
#include "core/simd.h"
#include "core/tape.h"
#include "quant/gemm.h"
#include "quant/ledger.h"
#include "quant/operand.h"
#include "quant/plan.h"

namespace ebb {

/// How well one operand survived its encoding.
struct OperandQuality {
  std::string site;
  Role role = Role::weight;
  Format format;
  std::int64_t elements = 0;
  double at_ends = 0;  ///< share of codes at the lowest or highest code
  double zeros =
      0;  ///< share of codes that stand for the real number nearest to zero that the grid has
  double sqnr_db =
      0;  ///< 10 log10 (sum x^2 / sum (x - decoded)^2), in double; +inf when nothing was lost
};

/// Where a pass has been, so that a layer may be used several times in it.
struct Visits {
  std::map<std::string, std::uint64_t, std::less<>> uses;  ///< by place
  struct MovedRange {
    Tensor before;  ///< the running range as the pass found it
    Range seen;     ///< of all uses so far
  };
  std::map<std::int32_t, MovedRange> ranges;  ///< by ParamId
};

/// One forward and backward sweep under one precision plan. Built anew for every iteration from
/// explicit parts; it is neither copied nor moved, since backward functions refer to it.
///
/// A backward sweep refuses a plan with names that mean no site, see require_known_sites.
///
/// In training, activations are encoded over their own range and running ranges are kept up; in
/// evaluation the running range decides.
struct Pass {
  enum class Mode : std::uint8_t { train, evaluate };

  ParamStore& params;
  PrecisionPlan plan;
  CostLedger& ledger;
  Key key;  ///< of this iteration: every random draw of the pass derives from it
  Mode mode = Mode::train;
  Simd simd = best_simd();
  std::vector<OperandQuality>* quality = nullptr;  ///< appended to by every encode when given
  Tape tape{params, [this] { check_plan(); }};
  Visits visits = {};

  /// require_known_sites, unless the plan is shared.
  void check_plan() const;
  [[nodiscard]] bool training() const { return mode == Mode::train; }

  /// The site as it is for one use of it. A layer asks once, in its forward sweep, and encodes at
  /// what it gets in both sweeps: used again in this pass, it draws other random bits.
  [[nodiscard]] Site visit(const Site& site) {
    return {site.name, site.tags, visits.uses[site.name]++};
  }
  /// The key of a place's random draws; use 0 folds nothing.
  [[nodiscard]] Key key_of(std::string_view place, std::uint64_t use) const;

  /// Encodes an operand of a site by the plan. Operands of one use of a site in one role (the steps
  /// of a recurrence) tell their draws apart by `step`, of which 0 folds nothing. @throws
  /// NonFiniteError naming site and role `parts` as in Operand::Options.
  Operand encode(const ConstMatrix& x, const Site& site, Role role,
                 Granularity granularity = Granularity::per_tensor, std::uint64_t step = 0,
                 std::span<const Operand::Part> parts = {}) const;
  /// An operand whose range its producer has found: spares the pass that would.
  Operand encode_known(const ConstMatrix& x, const Site& site, Role role, const Range& range,
                       std::span<const Operand::Part> parts = {}) const;
  /// An activation over its own range in training, over the running one in evaluation if there is
  /// one. Whoever calls this keeps the running range up by move_range().
  Operand encode_activation(const ConstMatrix& x, const Site& site, ParamId range,
                            std::uint64_t step) const;
  /// Moves a running range by what a layer's input has now. It moves once a pass: by the union of
  /// what its uses had.
  /// @throws NonFiniteError naming the site
  void move_range(const Site& site, ParamId range, const Range& now);
  /// Encodes the gradient of a site's output, whose range may be known.
  Operand encode_gradient(const Tensor& g, const Site& site, const Statistics& facts) const;
  /// Encodes a layer's input and keeps up its running range: `range` is a layer state of [minimum,
  /// width, updates]. A deferred value of known range goes straight into codes.
  Operand encode_input(Var x, const Site& site, ParamId range);
  /// How this pass does a product: its accumulator and SIMD level. Refers to the site.
  [[nodiscard]] Multiply how(const Site& site, Product product,
                             const RowsDone& rows_done = {}) const;
  /// gemm so, charged to this pass's ledger.
  [[nodiscard]] Tensor multiply(const Operand& a, const Operand& b, const Site& site,
                                Product product) const;
  void multiply_into(const Operand& a, const Operand& b, const Site& site, Product product,
                     const MutableMatrix& out, const RowsDone& rows_done = {}) const;
  /// Products of one site side by side.
  void multiply_all(std::span<const BatchedProduct> products, const Site& site, Product product,
                    const ProductDone& done = {}) const;
};

/// Adds the running range state of a quantized input: [minimum, width, number of updates], all
/// zero.
ParamId add_running_range(ParamStore& params, const Site& site);

}  // namespace ebb
