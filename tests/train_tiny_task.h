#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "core/key.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/tasks/scorers.h"

/// A least-squares task small enough to follow by hand: y = x w^T with x [n, 3], w [2, 3], loss =
/// mean over rows of |y - target|^2, the target being the row's first two numbers. One quantized
/// product, random batches that are a function of t alone.
struct TinyTask {
  static constexpr std::int64_t kIn = 3, kOut = 2;
  std::vector<std::int64_t> part_sizes = {6};
  std::int64_t bad_step = -1;  ///< its batch holds bad_value
  float bad_value = std::numeric_limits<float>::infinity();

  ebb::Tensor batch(std::int64_t t) const {
    std::int64_t rows = 0;
    for (const std::int64_t size : part_sizes) rows += size;
    ebb::Tensor x = ebb::Tensor::zeros({rows, kIn});
    const ebb::Key key = ebb::Key(99).fold(static_cast<std::uint64_t>(t));
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
    if (t == bad_step) x[1] = bad_value;
    return x;
  }

  static ebb::Var forward(ebb::Pass& pass, const ebb::Tensor& rows) {
    using namespace ebb;
    const Site site{"fc", {"first"}};
    const Var x = pass.tape.constant(rows), w = pass.tape.parameter(pass.params.id("fc.weight"));
    const ParamId range = pass.params.id("fc.input_range");
    const Quantized qx = pass.quantize(x, site, Role::activation, {.running_range = range}),
                    qw = pass.quantize(w, site, Role::weight);
    Tensor y = pass.multiply(qx.along(1, Product::forward),
                             qw.along(1, Product::forward).transposed(), site, Product::forward);
    return pass.tape.record(
        std::move(y), {x, w}, [&pass, site, w, qx](const Tensor& g, Adjoints& grads) {
          const Quantized qg = pass.quantize(g, site, Role::gradient);
          grads.add(w, pass.multiply(qg.along(0, Product::grad_right).transposed(),
                                     qx.along(0, Product::grad_right), site, Product::grad_right));
        });
  }

  static ebb::Var loss(ebb::Pass& pass, const ebb::Tensor& rows) {
    using namespace ebb;
    const Var y = forward(pass, rows);
    const std::int64_t n = rows.shape()[0];
    Tensor error = pass.tape[y];
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < kOut; ++j) {
        error[i * kOut + j] -= rows[i * kIn + j];
        total +=
            static_cast<double>(error[i * kOut + j]) * static_cast<double>(error[i * kOut + j]);
      }
    }
    for (float& e : error.values()) e *= 2.0f / static_cast<float>(n);
    return pass.tape.record(Tensor::scalar(static_cast<float>(total / static_cast<double>(n))), {y},
                            [y, error = std::move(error)](const Tensor& g, Adjoints& grads) {
                              Tensor scaled = error;
                              for (float& e : scaled.values()) e *= g.item();
                              grads.add(y, std::move(scaled));
                            });
  }

  ebb::train::Task task() const {
    using namespace ebb;
    const TinyTask self = *this;
    train::Task task;
    task.metric = {"negative_loss"};
    task.steps_per_epoch = 4;
    task.parts = [self](std::int64_t) { return self.part_sizes; };
    task.loss = [self](Pass& pass, std::int64_t t, std::int64_t part) {
      const Tensor all = self.batch(t);
      std::int64_t first = 0;
      for (std::int64_t i = 0; i < part; ++i) first += self.part_sizes[static_cast<std::size_t>(i)];
      const std::int64_t rows = self.part_sizes[static_cast<std::size_t>(part)];
      return loss(pass, Tensor::from({rows, kIn},
                                     all.values().subspan(static_cast<std::size_t>(first * kIn),
                                                          static_cast<std::size_t>(rows * kIn))));
    };
    for (const char* name : {"validation", "test"}) {
      task.splits.push_back(train::sum_split(
          name, 2,
          {{task.metric,
            [](const train::ScoreSums& sums) {
              return -sums.loss / static_cast<double>(sums.examples);
            }},
           {{"squares"}, [](const train::ScoreSums& sums) { return sums.loss; }}},
          [self](Pass& pass, std::int64_t piece, train::ScoreSums& sums) {
            const Tensor rows = self.batch(1000 + piece);
            sums.add(static_cast<double>(pass.tape[loss(pass, rows)].item()), rows.shape()[0]);
          }));
    }
    task.example = [](Pass& pass, std::int64_t) { return loss(pass, Tensor::zeros({1, kIn})); };
    return task;
  }

  static ebb::train::RunState state() {
    using namespace ebb;
    train::RunState state{.params = {},
                          .optimizer = make_optimizer("sgd", {{"weight_decay", 1e-4}})};
    Tensor w = Tensor::zeros({kOut, kIn});
    for (std::int64_t i = 0; i < w.size(); ++i) w[i] = 0.1f * static_cast<float>(i + 1);
    state.params.add("fc.weight", std::move(w));
    add_running_range(state.params, "fc");
    return state;
  }
};
