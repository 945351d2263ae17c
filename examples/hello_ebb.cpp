// Fits a plane through noisy points by gradient descent on a tape with an op of our own: what every
// layer of Ebb is made of.
#include <ebb/ebb.h>

#include <cmath>
#include <cstdio>

namespace {

/// Mean squared difference of y = x w + b and the targets; x [n, 2], w [3] = (w0, w1, b), targets
/// [n].
ebb::Var plane_loss(ebb::Tape& tape, const ebb::Tensor& x, const ebb::Tensor& targets, ebb::Var w) {
  const ebb::ConstMatrix points = x.matrix();
  const ebb::Tensor& plane = tape[w];
  ebb::Tensor residual = ebb::Tensor::uninitialized({points.rows});
  for (std::int64_t i = 0; i < points.rows; ++i) {
    residual[i] = points(i, 0) * plane[0] + points(i, 1) * plane[1] + plane[2] - targets[i];
  }
  const auto n = static_cast<float>(points.rows);
  const auto loss = static_cast<float>(ebb::sum_of_squares(residual.values())) / n;
  return tape.record(
      ebb::Tensor::scalar(loss), {w},
      [=, residual = std::move(residual)](const ebb::Tensor& g, ebb::Adjoints& grads) {
        ebb::Tensor gw = ebb::Tensor::zeros({3});
        for (std::int64_t i = 0; i < points.rows; ++i) {
          const float slope = 2.0f * g.item() * residual[i] / n;
          gw[0] += slope * points(i, 0);
          gw[1] += slope * points(i, 1);
          gw[2] += slope;
        }
        grads.add(w, std::move(gw));
      });
}

}  // namespace

int main(int, char** argv) {
  ebb::start_tuned(argv);  // first of all in every program that trains
  const ebb::Key root(1);
  constexpr std::int64_t kPoints = 1000;
  ebb::Tensor x = ebb::Tensor::uninitialized({kPoints, 2});
  ebb::Tensor y = ebb::Tensor::uninitialized({kPoints});
  for (std::int64_t i = 0; i < 2 * kPoints; ++i)
    x[i] = static_cast<float>(root.fold("points").normal(static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < kPoints; ++i) {
    const auto noise = static_cast<float>(root.fold("noise").normal(static_cast<std::uint64_t>(i)));
    y[i] = 3.0f * x[2 * i] - 2.0f * x[2 * i + 1] + 0.5f + 0.1f * noise;
  }

  ebb::ParamStore params;
  const ebb::ParamId w = params.add("plane", ebb::Tensor::zeros({3}));
  float loss = 0;
  for (int step = 0; step < 100; ++step) {
    ebb::Tape tape(params);
    const ebb::Var mean = plane_loss(tape, x, y, tape.parameter(w));
    const ebb::Gradients gradients = tape.backward(mean);
    loss = tape[mean].item();
    for (std::int64_t i = 0; i < 3; ++i) params[w][i] -= 0.1f * gradients[0][i];
  }
  const ebb::Tensor& plane = params[w];
  std::printf("y = %.3f a + %.3f b + %.3f, mean squared error %.4f\n", plane[0], plane[1], plane[2],
              loss);
  const bool found = std::abs(plane[0] - 3) < 0.02 && std::abs(plane[1] + 2) < 0.02 &&
                     std::abs(plane[2] - 0.5) < 0.02;
  return found ? 0 : 1;
}
