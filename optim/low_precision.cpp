#include "optim/kernels/low_precision.h"

#include <cmath>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/math.h"
#include "optim/rule.h"
#include "quant/formats/codec.h"
#include "quant/formats/multi_float.h"

namespace ebb {
namespace {

using kernels::FloatRounding;
using kernels::LowPrecisionKernels;
using kernels::LowPrecisionStep;
using kernels::Strategy;

constexpr Format kBf16{.width = 16, .exponent = 8, .fraction = 7};
constexpr StateFormats kAllBf16{kBf16, kBf16, kBf16, kBf16, Format::fp32()};
constexpr StateFormats kWideState{kBf16, kBf16, Format::fp32(), kBf16, Format::fp32()};

constexpr Hyperparameter flag(std::string_view name) {
  return {name, 0, "0 or 1", [](double x) { return x == 0 || x == 1; }};
}
constexpr Hyperparameter kAdamWNumbers[] = {Hyperparameter::share("beta1", 0.9),
                                            Hyperparameter::share("beta2", 0.999),
                                            Hyperparameter::positive("epsilon", 1e-8),
                                            Hyperparameter::amount("weight_decay", 0),
                                            flag("strict_elementwise"),
                                            flag("round_update")};
constexpr Hyperparameter kSgdNumbers[] = {Hyperparameter::share("momentum", 0.9),
                                          Hyperparameter::amount("weight_decay", 0),
                                          flag("strict_elementwise"), flag("round_update")};

constexpr Slot moment(std::string_view name) { return {.name = name, .role = StateRole::moment}; }
constexpr Slot kWeightLow{.name = kWeightResidual, .role = StateRole::residual};
constexpr Slot kMaster{.name = "master", .role = StateRole::master};

constexpr Slot kAdamWSlots[] = {moment("first"),
                                moment("second"),
                                kWeightLow,
                                {.name = "second_residual", .role = StateRole::residual}};
constexpr Slot kAdamWMaster[] = {moment("first"), moment("second"), kMaster};
constexpr Slot kSgdSlots[] = {
    moment("velocity"), kWeightLow, {.name = "velocity_residual", .role = StateRole::residual}};
constexpr Slot kSgdMaster[] = {moment("velocity"), kMaster};

/// How many of a rule's slots are moments' residuals, weights' or neither.
constexpr std::size_t residuals_of(Strategy strategy) {
  return strategy == Strategy::collage_plus                                   ? 2
         : strategy == Strategy::collage_light || strategy == Strategy::kahan ? 1
                                                                              : 0;
}

FloatRounding rounding_to(Format format) {
  if (format.is_fp32()) return {};
  const FormatTraits& traits = traits_of(format);
  const double infinity = HUGE_VAL, max = traits.max(format);
  const int least = 1 - format.bias;
  return {
      .shift = 23 - format.fraction,
      .normal = std::ldexp(1.0f, least),
      .rounder = std::ldexp(1.5f, least - format.fraction + 23),
      .max = static_cast<float>(max),
      .beyond = traits.decode(format, traits.encode(format, infinity, Rounding::nearest_even, {}))};
}

/// What is between the sums and errors of expansions of two formats, as MultiFloat has it.
Format between(Format high, Format low) {
  return high == low ? high : Format::floating(8, std::max(high.fraction, low.fraction));
}

void check_format(std::string_view role, Format f) {
  const bool fits =
      f.is_fp32() || (f.kind == Format::Kind::floating && f.width <= 16 && f.sign && f.subnormals &&
                      f.fraction >= 1 && f.fraction <= 10 && f.overflow != Format::Overflow::nan &&
                      f.bias <= 127 && f.scaling.block == 0);
  require<ConfigError>(fits, "[optimizer] ", role,
                       ": expected fp32 or a floating format of up to "
                       "16 bits with subnormal numbers, such as bf16, fp16 or e4m3, got ",
                       f);
}

/// What all strategies ask of formats.
void check_formats(Strategy strategy, const StateFormats& formats) {
  for (const StateRole role : {StateRole::weight, StateRole::gradient, StateRole::moment,
                               StateRole::residual, StateRole::master})
    check_format(kStateRoles[static_cast<std::size_t>(role)], formats.of(role));
  const Format master = formats.master, weight = formats.weight;
  require<ConfigError>(strategy != Strategy::master || (master.fraction >= weight.fraction &&
                                                        master.exponent >= weight.exponent),
                       "[optimizer] masters: ", master, " is narrower than ", weight,
                       ", the format of the weights; give masters=fp32");
}

float rounded(Format format, double x) {
  return format.is_fp32()
             ? static_cast<float>(x)
             : traits_of(format).decode(
                   format, traits_of(format).encode(format, x, Rounding::nearest_even, {}));
}

LowPrecisionStep roundings(Strategy strategy, const NamedNumbers& hyper,
                           const StateFormats& formats) {
  const bool has_residual = residuals_of(strategy) > 0, wide = strategy >= Strategy::wide_state;
  return {.gradient = rounding_to(formats.gradient),
          .moment = rounding_to(formats.moment),
          .residual = rounding_to(formats.residual),
          .weight = rounding_to(formats.weight),
          .update = rounding_to(strategy == Strategy::master ? formats.master
                                : wide                       ? formats.moment
                                : has_residual               ? formats.residual
                                                             : formats.weight),
          .master = rounding_to(formats.master),
          .between_weights = rounding_to(between(formats.weight, formats.residual)),
          .between_moments = rounding_to(between(formats.moment, formats.residual)),
          .strict = number_of(hyper, "strict_elementwise") != 0,
          .round_update = strategy == Strategy::master && number_of(hyper, "round_update") != 0};
}

/// A constant of the moments as a number of their format, or as an expansion.
void set_constant(LowPrecisionStep& step, Strategy strategy, const StateFormats& formats,
                  double x) {
  step.decay2 = rounded(formats.moment, x);
  if (strategy == Strategy::collage_plus)
    step.decay2_low = rounded(formats.residual, x - static_cast<double>(step.decay2));
}

bool run(const LowPrecisionKernels::OfRule& kernels, Strategy strategy,
         const LowPrecisionStep& step, const Update& u) {
  const bool wide = strategy >= Strategy::wide_state;
  const bool bf16 = u.formats == (wide ? kWideState : kAllBf16) && !step.strict;
  const auto kernel = (bf16 ? kernels.bf16 : kernels.any)[static_cast<std::size_t>(strategy)];
  return kernel(step, u.size, u.g, u.w, u.slots.data(), u.intended);
}

template <Strategy kStrategy>
bool step_adamw(const NamedNumbers& hyper, const Update& u) {
  const double beta1 = number_of(hyper, "beta1"), beta2 = number_of(hyper, "beta2");
  const auto t = static_cast<std::int64_t>(u.t);
  LowPrecisionStep step = roundings(kStrategy, hyper, u.formats);
  step.gain = static_cast<float>(1.0 - beta1);
  set_constant(step, kStrategy, u.formats, beta2);
  step.gain2 = static_cast<float>(1.0 - beta2);
  step.rate = static_cast<float>(u.rate / (1.0 - math::pow(beta1, t)));
  step.root_correction = static_cast<float>(std::sqrt(1.0 - math::pow(beta2, t)));
  step.epsilon = static_cast<float>(number_of(hyper, "epsilon"));
  step.weight_decay = static_cast<float>(u.rate * number_of(hyper, "weight_decay"));
  return run(kernels::select<LowPrecisionKernels>(u.simd).adamw, kStrategy, step, u);
}

template <Strategy kStrategy>
bool step_sgd(const NamedNumbers& hyper, const Update& u) {
  const double momentum = number_of(hyper, "momentum");
  LowPrecisionStep step = roundings(kStrategy, hyper, u.formats);
  step.decay = static_cast<float>(momentum);
  set_constant(step, kStrategy, u.formats, momentum);
  step.rate = static_cast<float>(u.rate);
  step.weight_decay = static_cast<float>(number_of(hyper, "weight_decay"));
  return run(kernels::select<LowPrecisionKernels>(u.simd).sgd, kStrategy, step, u);
}

template <Strategy kStrategy>
std::vector<std::string> check_adamw(const NamedNumbers& hyper, const StateFormats& formats) {
  check_formats(kStrategy, formats);
  const double beta2 = number_of(hyper, "beta2"), epsilon = number_of(hyper, "epsilon");
  require<ConfigError>(rounded(formats.moment, epsilon) > 0, "[optimizer] epsilon ", epsilon,
                       " is 0 in ", formats.moment,
                       ", the format of the moments, so an update "
                       "would be 0 / 0 where gradients are zero; give a larger --epsilon");
  std::vector<std::string> sentences;
  if (kStrategy != Strategy::collage_plus && rounded(formats.moment, beta2) >= 1)
    sentences.push_back(concat("beta2 ", beta2, " is 1 in ", formats.moment,
                               ", the format of the moments: the mean of squares never decays; "
                               "collage-plus and adamw-fp32-state hold it"));
  return sentences;
}

template <Strategy kStrategy>
std::vector<std::string> check_sgd(const NamedNumbers&, const StateFormats& formats) {
  check_formats(kStrategy, formats);
  return {};
}

template <Strategy kStrategy>
constexpr OptimizerRule with_strategy(std::string_view name, OptimizerRule rule,
                                      std::span<const Slot> slots, std::size_t moments) {
  rule.name = name;
  rule.slots =
      slots.first(kStrategy == Strategy::master ? moments + 1 : moments + residuals_of(kStrategy));
  // round_update, the last one, is of masters alone.
  if (kStrategy != Strategy::master)
    rule.hyperparameters = rule.hyperparameters.first(rule.hyperparameters.size() - 1);
  rule.tells_update = true;
  rule.formats = kStrategy >= Strategy::wide_state ? kWideState : kAllBf16;
  if (kStrategy == Strategy::stochastic) rule.weight_rounding = Rounding::stochastic;
  return rule;
}

template <Strategy kStrategy>
constexpr OptimizerRule adamw(std::string_view name) {
  return with_strategy<kStrategy>(
      name,
      {.hyperparameters = kAdamWNumbers,
       .counts_steps = true,
       .step = step_adamw<kStrategy>,
       .check = check_adamw<kStrategy>},
      kStrategy == Strategy::master ? std::span<const Slot>(kAdamWMaster) : kAdamWSlots, 2);
}

template <Strategy kStrategy>
constexpr OptimizerRule sgd(std::string_view name) {
  return with_strategy<kStrategy>(
      name,
      {.hyperparameters = kSgdNumbers, .step = step_sgd<kStrategy>, .check = check_sgd<kStrategy>},
      kStrategy == Strategy::master ? std::span<const Slot>(kSgdMaster) : kSgdSlots, 1);
}

}  // namespace

/// AdamW and SGD whose weights, gradients and state are numbers of few bits, by what they do about
/// updates that are too small for the weights' format. Every rounding is in docs/NUMERICS.md.
/// Source: Yu et al., "Collage: Light-Weight Low-Precision Strategy for LLM Training", ICML 2024,
/// its algorithm rather than its released code, which loses the low part of beta2.
extern constinit const OptimizerRule kLowPrecisionRules[] = {
    adamw<Strategy::low>("adamw-low"),
    adamw<Strategy::stochastic>("adamw-stochastic"),
    adamw<Strategy::kahan>("adamw-kahan"),
    adamw<Strategy::collage_light>("collage-light"),
    adamw<Strategy::collage_plus>("collage-plus"),
    adamw<Strategy::wide_state>("adamw-fp32-state"),
    adamw<Strategy::master>("adamw-master"),
    sgd<Strategy::low>("sgd-low"),
    sgd<Strategy::stochastic>("sgd-stochastic"),
    sgd<Strategy::kahan>("sgd-kahan"),
    sgd<Strategy::collage_light>("sgd-collage-light"),
    sgd<Strategy::collage_plus>("sgd-collage-plus"),
    sgd<Strategy::wide_state>("sgd-fp32-state"),
    sgd<Strategy::master>("sgd-master")};

}  // namespace ebb
