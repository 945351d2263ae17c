#include "layers/loss.h"

#include <algorithm>
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
  require<ShapeError>(logits.rank() == 2, "[", op, "] expected logits [batch, classes], got ", logits);
  require<ShapeError>(static_cast<std::size_t>(logits[0]) == labels, "[", op, "] ", logits[0],
                      " rows of logits need as many labels, got ", labels);
}

}  // namespace

Var softmax_cross_entropy(Pass& pass, Var logits, std::span<const std::int32_t> labels) {
  const Tensor& z = pass.tape[logits];
  require_rows("softmax_cross_entropy", z.shape(), labels.size());
  const std::int64_t batch = z.shape()[0], classes = z.shape()[1];
  require<ShapeError>(batch >= 1, "[softmax_cross_entropy] the mean over an empty batch is undefined");
  for (const std::int32_t label : labels) {
    require<DataError>(label >= 0 && label < classes, "[softmax_cross_entropy] label ", label, " is none of the ", classes,
                       " classes");
  }
  std::vector<double> losses(static_cast<std::size_t>(batch));
  Tensor slope = Tensor::uninitialized(z.shape());  // softmax - one-hot: the gradient before division by the batch
  float* const out = slope.data();
  parallel_rows(batch, classes * kCostOfExp, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> powers(static_cast<std::size_t>(classes));
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = z.data() + i * classes;
      const std::int32_t label = labels[static_cast<std::size_t>(i)];
      const double most = largest(row, classes);
      exp_rows(row, classes, most, powers.data(), pass.simd);
      const double sum = chained_sum(classes, [&](std::int64_t j) { return powers[static_cast<std::size_t>(j)]; });
      losses[static_cast<std::size_t>(i)] = math::log(sum) - (row[label] - most);
      for (std::int64_t j = 0; j < classes; ++j)
        out[i * classes + j] = static_cast<float>(powers[static_cast<std::size_t>(j)] / sum);
      out[i * classes + label] = static_cast<float>(powers[static_cast<std::size_t>(label)] / sum - 1.0);
    }
  });
  const auto mean = static_cast<float>(tree_sum(losses) / static_cast<double>(batch));
  return pass.tape.record(Tensor::scalar(mean), {logits}, [=, slope = std::move(slope)](const Tensor& g, Adjoints& grads) mutable {
    const auto share = static_cast<float>(static_cast<double>(g.item()) / static_cast<double>(batch));
    for (float& value : slope.values()) value *= share;
    grads.add(logits, std::move(slope));
  });
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
