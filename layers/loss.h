#pragma once

#include <cstdint>
#include <span>

#include "layers/pass.h"

namespace ebb {

/// Losses are means, rounded once: terms and their sum (tree_sum) are in double, and so are the
/// gradients of the terms, which are rounded once before they are multiplied by the loss's gradient
/// over their number.

/// Mean over the batch of -log softmax(logits)[label]: logits [batch, classes], a scalar. With
/// label_smoothing e the target distribution is e / classes for every class plus 1 - e for the
/// label: the loss is (1 - e) times that above plus e times the mean of -log softmax(logits).
/// With z_loss z the mean of z log(Z)^2 is added, Z the sum of exp(logits): it keeps logits small.
/// Sources: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016; Chowdhery et al.,
/// "PaLM", 2022.
/// @throws ShapeError unless logits are [batch, classes] with batch >= 1 and one label per row;
/// DataError for a label outside 0 .. classes-1; ConfigError unless 0 <= label_smoothing <= 1 and
/// z_loss is finite and at least 0
Var softmax_cross_entropy(Pass& pass, Var logits, std::span<const std::int32_t> labels,
                          double label_smoothing = 0.0, double z_loss = 0.0);

/// Mean of (x - target)^2. @throws ShapeError unless the shapes agree and there are elements
Var mse_loss(Pass& pass, Var x, const Tensor& target);
/// Mean of d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, of d = x - target; for beta 0 that
/// is |d|, with the gradient 0 at 0. Source: Girshick, "Fast R-CNN", ICCV 2015. @throws as
/// mse_loss; ConfigError unless beta >= 0 is finite
Var smooth_l1_loss(Pass& pass, Var x, const Tensor& target, double beta = 1.0);
/// Mean of -target log s(x) - (1 - target) log(1 - s(x)), s the logistic function, as precise for
/// large |x| as elsewhere.
/// @throws as mse_loss; DataError unless targets are from 0 to 1
Var binary_cross_entropy_with_logits(Pass& pass, Var logits, const Tensor& target);

/// Labels of rows that have no class: those of none, and those that count for nothing.
inline constexpr std::int32_t kNoClass = -1, kIgnored = -2;

struct FocalLoss {
  double alpha = 0.25;  ///< weight of the label's class, 1 - alpha of the others
  double gamma = 2;     ///< 0: weighted cross-entropy
};

/// Sum over rows and classes of -a (1 - p)^gamma log p, divided by `count`: every class is a
/// question of its own, with p the probability s(logit) that the logits give to the right answer,
/// yes for the row's label and no for every other class, and a = alpha for yes, 1 - alpha for no.
/// As precise for large logits as elsewhere. A row's terms are added as core/sums.h's chained_sum
/// does. Source: Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense object detection", ICCV
/// 2017.
/// @throws ShapeError unless logits are [rows, classes] with one label per row; DataError for a
/// label that is no class, kNoClass or kIgnored; ConfigError unless count > 0, 0 <= alpha <= 1 and
/// gamma >= 0
Var focal_loss(Pass& pass, Var logits, std::span<const std::int32_t> labels, double count,
               const FocalLoss& config = {});

/// Rows whose largest logit (the first of equals) is that of the label. A row with a NaN counts as
/// wrong.
/// @throws ShapeError unless logits are [batch, classes] with one label per row
std::int64_t count_correct(const Tensor& logits, std::span<const std::int32_t> labels);

}  // namespace ebb
