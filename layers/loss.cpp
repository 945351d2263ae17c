#include "layers/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/functions.h"

namespace ebb {
namespace {

constexpr std::int64_t kCostOfExp = 8;  // in additions, to decide whether threads are worth waking

void require_rows(std::string_view op, const Shape& logits, std::size_t labels) {
  require<ShapeError>(logits.rank() == 2, "[", op, "] expected logits [batch, classes], got ",
                      logits);
  require<ShapeError>(static_cast<std::size_t>(logits[0]) == labels, "[", op, "] ", logits[0],
                      " rows of logits need as many labels, got ", labels);
}

/// The sum of these losses of x, whose gradients by the elements of x are `slope`, over `count`.
Var record_mean(Pass& pass, Var x, std::vector<double>& losses, double count, Tensor slope) {
  const auto mean = static_cast<float>(tree_sum(losses) / count);
  return pass.tape.record(Tensor::scalar(mean), {x},
                          [=, slope = std::move(slope)](const Tensor& g, Adjoints& grads) mutable {
                            const auto share =
                                static_cast<float>(static_cast<double>(g.item()) / count);
                            for (float& value : slope.values()) value *= share;
                            grads.add(x, std::move(slope));
                          });
}

/// One element's loss and its derivative.
struct Term {
  double loss, slope;
};

/// The mean of term(x, target) over all elements.
template <class Function>
Var mean_of_terms(std::string_view op, Pass& pass, Var x, const Tensor& target,
                  const Function& term) {
  const Tensor& in = pass.tape[x];
  require<ShapeError>(in.shape() == target.shape() && in.size() > 0, "[", op,
                      "] expected a target of the shape ", in.shape(), " and elements, got ",
                      target.shape());
  std::vector<double> losses(static_cast<std::size_t>(in.size()));
  Tensor slope = Tensor::uninitialized(in.shape());
  parallel_for(in.size(), [&, out = slope.data()](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const Term at = term(static_cast<double>(in[i]), static_cast<double>(target[i]));
      losses[static_cast<std::size_t>(i)] = at.loss;
      out[i] = static_cast<float>(at.slope);
    }
  });
  return record_mean(pass, x, losses, static_cast<double>(losses.size()), std::move(slope));
}

/// log(1 + e) of e in 0 .. 1, e itself where it is small: the rounding of 1 + e cancels in the
/// quotient.
double log_of_one_plus(double e) {
  const double sum = 1.0 + e;
  return sum == 1.0 ? e : math::log(sum) * (e / (sum - 1.0));
}

}  // namespace

Var softmax_cross_entropy(Pass& pass, Var logits, std::span<const std::int32_t> labels,
                          double label_smoothing, double z_loss) {
  const Shape shape = pass.tape.shape(logits);
  require_rows("softmax_cross_entropy", shape, labels.size());
  const std::int64_t batch = shape[0], classes = shape[1];
  require<ShapeError>(batch >= 1,
                      "[softmax_cross_entropy] the mean over an empty batch is undefined");
  require<ConfigError>(label_smoothing >= 0.0 && label_smoothing <= 1.0,
                       "[softmax_cross_entropy] expected a label smoothing from 0 to 1, got ",
                       label_smoothing);
  require<ConfigError>(z_loss >= 0.0 && z_loss < std::numeric_limits<double>::infinity(),
                       "[softmax_cross_entropy] expected a finite z-loss of 0 and more, got ",
                       z_loss);
  for (const std::int32_t label : labels) {
    require<DataError>(label >= 0 && label < classes, "[softmax_cross_entropy] label ", label,
                       " is none of the ", classes, " classes");
  }
  if (pass.counting) return pass.tape.record_shape({}, {logits});
  const Tensor& z = pass.tape[logits];
  const double everywhere = label_smoothing / static_cast<double>(classes);
  std::vector<double> losses(static_cast<std::size_t>(batch));
  Tensor slope = Tensor::uninitialized(
      z.shape());  // softmax - wanted: the gradient before division by the batch
  float* const out = slope.data();
  parallel_rows(batch, classes * kCostOfExp, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> exps(static_cast<std::size_t>(classes));
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = z.data() + i * classes;
      const std::int32_t label = labels[static_cast<std::size_t>(i)];
      const double max_logit = largest(row, classes);
      exp_rows(row, classes, max_logit, exps.data(), pass.simd);
      const double sum =
          chained_sum(classes, [&](std::int64_t j) { return exps[static_cast<std::size_t>(j)]; });
      double& loss = losses[static_cast<std::size_t>(i)];
      loss = math::log(sum) - (row[label] - max_logit);
      if (label_smoothing > 0.0) {
        const double others =
            chained_sum(classes, [&](std::int64_t j) { return row[j] - max_logit; }) /
            static_cast<double>(classes);
        loss = (1.0 - label_smoothing) * loss + label_smoothing * (math::log(sum) - others);
      }
      double share = 1.0;  // of the softmax in the slope
      if (z_loss > 0.0) {
        const double log_z = math::log(sum) + max_logit;
        loss += z_loss * (log_z * log_z);
        share += 2.0 * z_loss * log_z;
      }
      const auto slope_of = [&](std::int64_t j) {
        const double softmax = exps[static_cast<std::size_t>(j)] / sum;
        return share * softmax - everywhere;
      };
      for (std::int64_t j = 0; j < classes; ++j)
        out[i * classes + j] = static_cast<float>(slope_of(j));
      out[i * classes + label] = static_cast<float>(slope_of(label) - (1.0 - label_smoothing));
    }
  });
  return record_mean(pass, logits, losses, static_cast<double>(batch), std::move(slope));
}

Var mse_loss(Pass& pass, Var x, const Tensor& target) {
  return mean_of_terms("mse_loss", pass, x, target, [](double v, double t) -> Term {
    const double d = v - t;
    return {d * d, 2.0 * d};
  });
}

Var smooth_l1_loss(Pass& pass, Var x, const Tensor& target, double beta) {
  require<ConfigError>(beta >= 0.0 && beta < std::numeric_limits<double>::infinity(),
                       "[smooth_l1_loss] expected a finite beta of 0 and more, got ", beta);
  return mean_of_terms("smooth_l1_loss", pass, x, target, [=](double v, double t) -> Term {
    const double d = v - t, size = d < 0.0 ? -d : d;
    if (size < beta) return {0.5 * (d * d) / beta, d / beta};
    return {size - 0.5 * beta, d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : d};
  });
}

Var binary_cross_entropy_with_logits(Pass& pass, Var logits, const Tensor& target) {
  for (const float t : target.values())
    require<DataError>(t >= 0.0f && t <= 1.0f,
                       "[binary_cross_entropy_with_logits] expected targets from 0 to 1, got ", t);
  return mean_of_terms(
      "binary_cross_entropy_with_logits", pass, logits, target, [](double v, double t) -> Term {
        const double e = math::exp(v < 0.0 ? v : -v), larger = 1.0 / (1.0 + e),
                     smaller = e / (1.0 + e);  // s(|v|) and s(-|v|)
        const double yes = v < 0.0 ? smaller : larger, no = v < 0.0 ? larger : smaller;
        // max(v, 0) - v t, without the cancellation where t is 1.
        const double wrong = v < 0.0 ? t : 1.0 - t;  // 0 times an infinite logit is 0 here
        return {(wrong == 0.0 ? 0.0 : std::abs(v) * wrong) + log_of_one_plus(e),
                (1.0 - t) * yes - t * no};
      });
}

namespace {

/// With z the logit of the right answer, q = s(-z) = 1 - p and l = -log p: a q^gamma l, whose
/// derivative by z is -a q^gamma (gamma p l + q).
Term focal_term(double z, double weight, double gamma) {
  const double e = math::exp(z < 0.0 ? z : -z), larger = 1.0 / (1.0 + e), smaller = e / (1.0 + e);
  const double p = z < 0.0 ? smaller : larger, q = z < 0.0 ? larger : smaller;
  const double l = (z < 0.0 ? -z : 0.0) + log_of_one_plus(e);
  const double power = gamma == 2.0 ? q * q : gamma == 0.0 ? 1.0 : math::pow(q, gamma);
  const double focus = weight * power;
  return {focus * l, -focus * (gamma * p * l + q)};
}

}  // namespace

Var focal_loss(Pass& pass, Var logits, std::span<const std::int32_t> labels, double count,
               const FocalLoss& config) {
  const Shape shape = pass.tape.shape(logits);
  require_rows("focal_loss", shape, labels.size());
  require<ConfigError>(count > 0.0 && config.alpha >= 0.0 && config.alpha <= 1.0 &&
                           config.gamma >= 0.0 &&
                           config.gamma < std::numeric_limits<double>::infinity(),
                       "[focal_loss] expected a count above 0, an alpha of 0 to 1 and a finite "
                       "gamma of 0 and more, got ",
                       count, ", ", config.alpha, " and ", config.gamma);
  const std::int64_t rows = shape[0], classes = shape[1];
  for (const std::int32_t label : labels)
    require<DataError>(label >= kIgnored && label < classes, "[focal_loss] label ", label,
                       " is none of the ", classes, " classes, nor ", kNoClass, " or ", kIgnored);
  if (pass.counting) return pass.tape.record_shape({}, {logits});
  const Tensor& z = pass.tape[logits];
  std::vector<double> losses(static_cast<std::size_t>(rows));
  Tensor slope = Tensor::uninitialized(shape);
  parallel_rows(rows, classes * kCostOfExp,
                [&, out = slope.data()](std::int64_t first, std::int64_t last) {
                  for (std::int64_t i = first; i < last; ++i) {
                    const std::int32_t label = labels[static_cast<std::size_t>(i)];
                    losses[static_cast<std::size_t>(i)] = chained_sum(classes, [&](std::int64_t j) {
                      const bool yes = j == label;
                      const double x = z[i * classes + j];
                      const Term term =
                          label == kIgnored
                              ? Term{0.0, 0.0}
                              : focal_term(yes ? x : -x, yes ? config.alpha : 1.0 - config.alpha,
                                           config.gamma);
                      out[i * classes + j] = static_cast<float>(yes ? term.slope : -term.slope);
                      return term.loss;
                    });
                  }
                });
  return record_mean(pass, logits, losses, count, std::move(slope));
}

std::int64_t count_correct(const Tensor& logits, std::span<const std::int32_t> labels) {
  require_rows("count_correct", logits.shape(), labels.size());
  const std::int64_t classes = logits.shape()[1];
  std::int64_t correct = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const float* const row = logits.data() + static_cast<std::int64_t>(i) * classes;
    const bool numbers = std::none_of(row, row + classes, [](float v) { return v != v; });
    correct += numbers && std::max_element(row, row + classes) - row == labels[i] ? 1 : 0;
  }
  return correct;
}

}  // namespace ebb
