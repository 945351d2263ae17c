#pragma once

#include <cstdint>

#include "quant/formats/kernels/float_rounding.h"

/// Only plain pointers and numbers cross this line, as in layers/kernels/norm_rows.h.
namespace ebb::kernels {

/// What is done about updates that are too small for the weights' format.
enum class Strategy : std::uint8_t {
  low,            ///< nothing: all state in low precision
  stochastic,     ///< weights are rounded stochastically, by the caller
  kahan,          ///< Kahan's compensated sum of weight and updates
  collage_light,  ///< a weight is an expansion of two numbers
  collage_plus,   ///< so is the running mean of squares, or the velocity
  wide_state,     ///< moments of more bits, weights of few
  master,         ///< a master copy of more bits beside the weight
};
constexpr int kStrategies = 7;

/// The numbers of one step. Roundings are by role.
struct LowPrecisionStep {
  float decay = 0;  ///< of the first moment or the velocity; exact, not rounded to a format
  float gain = 0;   ///< what the gradient is multiplied by in it
  float decay2 = 0, decay2_low = 0;  ///< beta2 as an expansion, or momentum
  float gain2 = 0;                   ///< 1 - beta2
  float rate = 0, root_correction = 1, epsilon = 0;
  float weight_decay = 0;  ///< times the rate for AdamW, as it is for SGD
  FloatRounding gradient{}, moment{}, residual{}, weight{}, update{}, master{};
  FloatRounding between_weights{}, between_moments{};  ///< of what is neither sum nor error
  bool strict = false;        ///< every operation is rounded, not only what is kept
  bool round_update = false;  ///< master: the update is rounded to the weights' format first
};

struct LowPrecisionKernels {
  /// Moves n weights and their slots in the order of the rule. Writes the intended updates, unless
  /// `intended` is null. False if a weight or a moment is infinite or NaN now.
  using Step = bool (*)(const LowPrecisionStep& step, std::int64_t n, const float* g, float* w,
                        float* const* slots, float* intended);
  struct OfRule {
    Step any[kStrategies];   ///< by strategy, of all formats
    Step bf16[kStrategies];  ///< of bf16, and float32 where the strategy has more bits; not strict
  };
  OfRule adamw, sgd;

  static const LowPrecisionKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
