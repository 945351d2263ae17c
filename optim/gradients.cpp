#include "optim/gradients.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {

void accumulate(Gradients& sum, Gradients more) {
  require<ShapeError>(sum.size() == more.size(), "[accumulate] gradients of ", sum.size(), " and ",
                      more.size(), " parameters");
  for (std::size_t i = 0; i < sum.size(); ++i) {
    if (more[i].size() == 0) continue;
    if (sum[i].size() == 0) {
      sum[i] = std::move(more[i]);
    } else {
      add_into(sum[i], more[i]);
    }
  }
}

double global_norm(const Gradients& gradients) {
  std::vector<double> parts;
  parts.reserve(gradients.size());
  for (const Tensor& gradient : gradients) parts.push_back(sum_of_squares(gradient.values()));
  return std::sqrt(tree_sum(parts));
}

double clip_global_norm(Gradients& gradients, double largest) {
  require<ConfigError>(largest > 0, "[clip_global_norm] expected a positive norm, got ", largest);
  const double norm = global_norm(gradients);
  require<NonFiniteError>(norm - norm == 0, "[clip_global_norm] the gradients' norm is ", norm);
  if (norm <= largest) return norm;
  const auto scale = static_cast<float>(largest / norm);
  for (Tensor& gradient : gradients) {
    float* const g = gradient.data();
    parallel_for(gradient.size(), [=](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) g[i] *= scale;
    });
  }
  return norm;
}

}  // namespace ebb
