#include "layers/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace ebb {
namespace {

constexpr double kStep = 3e-3;
constexpr double kUnit = 0x1p-24;  // rounding of one float32 operation, relative

double largest_magnitude(const Tensor& x) {
  double largest = 0;
  for (const float v : x.values()) largest = std::max(largest, std::abs(double{v}));
  return largest;
}

/// sum of y r, in double, rounded once: a scalar whose gradient by y is r.
Var weighted_sum(Pass& pass, Var y, const Tensor& r) {
  double sum = 0;
  for (std::int64_t i = 0; i < r.size(); ++i) sum += double{pass.tape[y][i]} * double{r[i]};
  return pass.tape.record(Tensor::scalar(static_cast<float>(sum)), {y},
                          [=](const Tensor&, Adjoints& grads) { grads.add(y, r); });
}

class Check {
 public:
  Check(ParamStore& params, std::vector<Tensor>& inputs, double roundings,
        const DifferentiableOp& op, Key key)
      : params_(params), inputs_(inputs), roundings_(roundings), op_(op), key_(key) {
    const Tensor base = outputs();
    largest_ = largest_magnitude(base);
    r_ = Tensor::uninitialized(base.shape());
    for (std::int64_t i = 0; i < r_.size(); ++i)
      r_[i] = static_cast<float>(Key(99).normal(static_cast<std::uint64_t>(i)));
  }

  std::vector<CheckedGradient> all() {
    CostLedger ledger;
    Pass pass{.params = params_, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = key_};
    const std::vector<Var> vars = variables(pass);
    const Gradients by_parameter = pass.tape.backward(weighted_sum(pass, op_(pass, vars), r_));
    for (std::size_t k = 0; k < inputs_.size(); ++k)
      check(concat("input ", k), inputs_[k], pass.tape.gradient_of(vars[k]));
    for (std::size_t k = 0; k < by_parameter.size(); ++k) {
      const ParamId id{static_cast<std::int32_t>(k)};
      if (params_.entry(id).kind == ParamStore::Kind::parameter)
        check(params_.entry(id).name, params_[id], by_parameter[k]);
    }
    return std::move(checked_);
  }

 private:
  std::vector<Var> variables(Pass& pass) const {
    std::vector<Var> vars;
    for (const Tensor& input : inputs_) vars.push_back(pass.tape.variable(input));
    return vars;
  }

  Tensor outputs() const {
    CostLedger ledger;
    Pass pass{.params = params_, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = key_};
    return pass.tape[op_(pass, variables(pass))];
  }

  /// The difference quotient by one element of x, and sum |r| over the outputs that moved.
  std::pair<double, double> quotient(Tensor& x, std::int64_t i, double h) const {
    const float center = x[i];
    const auto high = static_cast<float>(double{center} + h),
               low = static_cast<float>(double{center} - h);
    x[i] = high;
    const Tensor up = outputs();
    x[i] = low;
    const Tensor down = outputs();
    x[i] = center;
    double change = 0, moving = 0;
    for (std::int64_t j = 0; j < r_.size(); ++j) {
      change += (double{up[j]} - double{down[j]}) * double{r_[j]};
      moving += up[j] != down[j] ? std::abs(double{r_[j]}) : 0.0;
    }
    return {change / (double{high} - double{low}), moving};
  }

  void check(const std::string& of, Tensor& x, const Tensor& gradient) {
    require<ShapeError>(gradient.shape() == x.shape(), "[gradient check] the gradient of ", of, " ",
                        x.shape(), " has shape ", gradient.shape());
    const std::int64_t stride =
        std::max<std::int64_t>(1, x.size() / 37);  // a sample of the large ones
    const double largest_gradient = largest_magnitude(gradient);
    for (std::int64_t i = 0; i < x.size(); i += stride) {
      const double wide = quotient(x, i, 2 * kStep).first;
      const auto [narrow, moving] = quotient(x, i, kStep);
      const double rounding =
          kUnit * roundings_ * (2 * largest_ * moving / kStep + largest_gradient);
      checked_.push_back({of, i, double{gradient[i]}, narrow, std::abs(wide - narrow) + rounding});
    }
  }

  ParamStore& params_;
  std::vector<Tensor>& inputs_;
  double roundings_;
  const DifferentiableOp& op_;
  Key key_;
  Tensor r_;
  double largest_ = 0;
  std::vector<CheckedGradient> checked_;
};

}  // namespace

bool CheckedGradient::agrees() const { return std::abs(gradient - difference) <= tolerance; }

std::string to_text(const CheckedGradient& c) {
  return concat(c.of, "[", c.element, "]: gradient ", c.gradient, ", difference quotient ",
                c.difference, " +- ", c.tolerance);
}

std::vector<CheckedGradient> check_gradients(ParamStore& params, std::vector<Tensor> inputs,
                                             double roundings, const DifferentiableOp& op,
                                             Key key) {
  return Check(params, inputs, roundings, op, key).all();
}

std::vector<CheckedGradient> wrong_gradients(ParamStore& params, std::vector<Tensor> inputs,
                                             double roundings, const DifferentiableOp& op,
                                             Key key) {
  std::vector<CheckedGradient> checked =
      check_gradients(params, std::move(inputs), roundings, op, key);
  std::erase_if(checked, [](const CheckedGradient& c) { return c.agrees(); });
  return checked;
}

}  // namespace ebb
