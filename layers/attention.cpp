#include "layers/attention.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/functions.h"
#include "quant/grid.h"

namespace ebb {
namespace {

/// How qkv is cut up.
struct Layout {
  /// Rows of equal length that follow each other: their probabilities are one matrix [rows * heads * length, length].
  struct Run {
    std::int64_t first, rows, length;
    std::int64_t token;   ///< where their tokens begin
    std::int64_t square;  ///< where their probabilities begin among those of all runs
  };
  std::vector<Run> runs;
  std::int64_t tokens = 0, squares = 0;  ///< of all runs
  std::int64_t heads, width, depth;      ///< depth d = width / heads

  Layout(std::string_view op, const Shape& qkv, std::span<const std::int64_t> lengths, std::int64_t head_count)
      : heads(head_count) {
    require<ShapeError>(qkv.rank() == 2 && heads >= 1 && qkv[1] % (3 * heads) == 0, "[", op,
                        "] expected [tokens, 3 width] with a width that ", heads, " heads divide, got ", qkv);
    width = qkv[1] / 3;
    depth = width / heads;
    for (const std::int64_t n : lengths) {
      require<ShapeError>(n >= 1 && n <= qkv[0], "[", op, "] expected rows of 1 to ", qkv[0], " tokens, got ", n);
      if (runs.empty() || runs.back().length != n) {
        const std::int64_t first = runs.empty() ? 0 : runs.back().first + runs.back().rows;
        runs.push_back({first, 0, n, tokens, squares});
      }
      ++runs.back().rows;
      tokens += n;
      squares += heads * n * n;
    }
    require<ShapeError>(tokens == qkv[0], "[", op, "] rows of ", tokens, " tokens in all do not fit ", qkv);
  }
  /// One of query (0), key (1) and value (2), of all tokens.
  [[nodiscard]] ConstMatrix part(const Tensor& qkv, std::int64_t which) const {
    return {qkv.data() + which * width, tokens, width, 3 * width};
  }
  /// The probabilities of a run.
  [[nodiscard]] ConstMatrix squares_of(const Tensor& p, const Run& run) const {
    return {p.data() + run.square, run.rows * heads * run.length, run.length, run.length};
  }
};

/// One row of a run, and one of its heads: where its parts are.
struct Head {
  const Layout& at;
  const Layout::Run& run;
  std::int64_t row, h;  ///< row: within the run

  /// Of an encoded [tokens, width].
  [[nodiscard]] Operand part(const Operand& x) const {
    return x.rows(run.token + row * run.length, run.length).columns(h * at.depth, at.depth);
  }
  /// The same of float32 memory whose rows are `stride` long.
  [[nodiscard]] MutableMatrix part(float* x, std::int64_t stride) const {
    return {x + (run.token + row * run.length) * stride + h * at.depth, run.length, at.depth, stride};
  }
  /// The [length, length] matrix among those of its run, or of all runs.
  [[nodiscard]] Operand square_of_run(const Operand& x) const { return x.rows((row * at.heads + h) * run.length, run.length); }
  [[nodiscard]] std::int64_t square_begin() const { return run.square + (row * at.heads + h) * run.length * run.length; }
  [[nodiscard]] Operand square(const Operand& x) const { return x.block(square_begin(), run.length, run.length); }
  [[nodiscard]] MutableMatrix square(float* x) const { return {x + square_begin(), run.length, run.length, run.length}; }
};

/// The products left(a) right(b) of all rows and heads, cut as `left` and `right` say, into out(head). `a` is one operand for all
/// runs or one for each.
template <class Left, class Right, class Out>
void multiply_heads(const Pass& pass, const Layout& at, const Site& site, Product product, std::span<const Operand> a,
                    const Left& left, const Operand& b, const Right& right, const Out& out) {
  std::vector<BatchedProduct> products;
  std::optional<std::pair<Operand, Operand>> whole;
  for (std::size_t i = 0; i < at.runs.size(); ++i) {
    if (i < a.size()) whole = same_kind(a[i], b);  // before they are cut: decoding takes the whole
    for (std::int64_t row = 0; row < at.runs[i].rows; ++row) {
      for (std::int64_t h = 0; h < at.heads; ++h) {
        const Head head{at, at.runs[i], row, h};
        products.push_back({left(head, whole->first), right(head, whole->second), out(head)});
      }
    }
  }
  pass.multiply_all(products, site, product);
}

Operand part(const Head& head, const Operand& x) { return head.part(x); }
Operand part_t(const Head& head, const Operand& x) { return head.part(x).transposed(); }
Operand square(const Head& head, const Operand& x) { return head.square(x); }
Operand square_t(const Head& head, const Operand& x) { return head.square(x).transposed(); }
Operand square_of_run(const Head& head, const Operand& x) { return head.square_of_run(x); }

/// Scores become probabilities, whose range it returns.
Range softmax(const Layout& at, Tensor& scores, float scale, bool causal, Simd simd) {
  RangeOfParts range;
  for (const Layout::Run& run : at.runs) {
    const std::int64_t n = run.length;
    parallel_rows(run.rows * at.heads * n, 4 * n, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        float* const row = scores.data() + run.square + i * n;
        const std::int64_t seen = causal ? i % n + 1 : n;
        for (std::int64_t j = 0; j < seen; ++j) row[j] *= scale;
        exp_rows(row, seen, *std::max_element(row, row + seen), row, simd);
        const auto share = static_cast<float>(1.0 / chained_sum(seen, [=](std::int64_t j) { return static_cast<double>(row[j]); }));
        for (std::int64_t j = 0; j < seen; ++j) row[j] *= share;
        std::fill(row + seen, row + n, 0.0f);
      }
      range.add(measure_range({scores.data() + run.square + first * n, 1, (last - first) * n, (last - first) * n}, simd));
    });
  }
  return range.range();
}

/// Gradients of probabilities become those of scores, whose range it returns.
Range softmax_gradient(const Layout& at, const Tensor& probabilities, float scale, Simd simd, Tensor& g) {
  RangeOfParts range;
  for (const Layout::Run& run : at.runs) {
    const std::int64_t n = run.length;
    parallel_rows(run.rows * at.heads * n, 4 * n, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const float* const p = probabilities.data() + run.square + i * n;
        float* const row = g.data() + run.square + i * n;
        const auto mean = static_cast<float>(
            chained_sum(n, [=](std::int64_t j) { return static_cast<double>(row[j]) * static_cast<double>(p[j]); }));
        for (std::int64_t j = 0; j < n; ++j) row[j] = p[j] * (row[j] - mean) * scale;
      }
      range.add(measure_range({g.data() + run.square + first * n, 1, (last - first) * n, (last - first) * n}, simd));
    });
  }
  return range.range();
}

/// Turns every pair of elements of queries and keys by its angle, or back; `turns` [longest row, depth].
void rotate(const Layout& at, const std::vector<float>& turns, float sign, float* x) {
  for (const Layout::Run& run : at.runs) {
    parallel_rows(run.rows * run.length, 2 * at.width, [&, sign](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const float* const turn = turns.data() + i % run.length * at.depth;
        for (std::int64_t part = 0; part < 2 * at.heads; ++part) {
          float* const v = x + (run.token + i) * 3 * at.width + part * at.depth;
          for (std::int64_t j = 0; j < at.depth; j += 2) {
            const float c = turn[j], s = sign * turn[j + 1], a = v[j], b = v[j + 1];
            v[j] = a * c - b * s;
            v[j + 1] = a * s + b * c;
          }
        }
      }
    });
  }
}

}  // namespace

Attention Attention::create(const std::string& name, std::int64_t heads, bool causal) {
  return {{name + ".qk", {}}, {name + ".av", {}}, heads, causal};
}

Var Attention::operator()(Pass& pass, Var qkv, std::span<const std::int64_t> lengths) const {
  const Layout at(scores.name, pass.tape.shape(qkv), lengths, heads);
  const Tensor& x = pass.tape[qkv];
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(at.depth)));
  Operand q = pass.encode(at.part(x, 0), scores, Role::activation), k = pass.encode(at.part(x, 1), scores, Role::weight),
          v = pass.encode(at.part(x, 2), values, Role::weight);

  const auto p = std::make_shared<Tensor>(Tensor::uninitialized({1, at.squares}));
  multiply_heads(pass, at, scores, Product::forward, {&q, 1}, part, k, part_t, [&](const Head& h) { return h.square(p->data()); });
  const Range range_of_p = softmax(at, *p, scale, causal, pass.simd);
  Tensor y = Tensor::uninitialized({at.tokens, at.width});
  std::vector<Operand> by_row;
  for (const Layout::Run& run : at.runs)
    by_row.push_back(pass.encode(at.squares_of(*p, run), values, Role::activation, GridAxis::rows, by_row.size()));
  multiply_heads(pass, at, values, Product::forward, by_row, square_of_run, v, part,
                 [&](const Head& h) { return h.part(y.data(), at.width); });

  return pass.tape.record(
      std::move(y), {qkv},
      [=, &pass, self = *this, q = std::move(q), k = std::move(k), v = std::move(v)](const Tensor& g, Adjoints& grads) {
        Tensor gx = Tensor::uninitialized({at.tokens, 3 * at.width}), gs = Tensor::uninitialized(p->shape());
        const auto gradient_of = [&](std::int64_t which) {
          return [&, which](const Head& h) { return h.part(gx.data() + which * at.width, 3 * at.width); };
        };
        const auto gradient_square = [&](const Head& h) { return h.square(gs.data()); };
        const Operand gy = pass.encode_gradient(g, self.values, grads.facts());
        const Operand whole_p = pass.encode_known(p->matrix(), self.values, Role::activation, range_of_p);
        multiply_heads(pass, at, self.values, Product::grad_input, {&gy, 1}, part, v, part_t, gradient_square);
        multiply_heads(pass, at, self.values, Product::grad_weight, {&whole_p, 1}, square_t, gy, part, gradient_of(2));
        const Range range = softmax_gradient(at, *p, scale, pass.simd, gs);
        const Operand qs = pass.encode_known(gs.matrix(), self.scores, Role::gradient, range);
        multiply_heads(pass, at, self.scores, Product::grad_input, {&qs, 1}, square, k, part, gradient_of(0));
        multiply_heads(pass, at, self.scores, Product::grad_weight, {&qs, 1}, square_t, q, part, gradient_of(1));
        grads.add(qkv, std::move(gx));
      });
}

Var rotary(Pass& pass, Var qkv, std::span<const std::int64_t> lengths, std::int64_t heads) {
  const Layout at("rotary", pass.tape.shape(qkv), lengths, heads);
  require<ShapeError>(at.depth % 2 == 0, "[rotary] expected an even number of elements a head, got ", at.depth);
  const std::int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  std::vector<float> turns(static_cast<std::size_t>(longest * at.depth));  // cosine and sine by place and pair
  for (std::int64_t t = 0; t < longest; ++t) {
    for (std::int64_t j = 0; j < at.depth; j += 2) {
      const double part = static_cast<double>(j) / static_cast<double>(at.depth);
      const double turn = static_cast<double>(t) * math::pow(10000.0, -part) / math::kPi;
      turns[static_cast<std::size_t>(t * at.depth + j)] = static_cast<float>(math::cos_pi(turn));
      turns[static_cast<std::size_t>(t * at.depth + j + 1)] = static_cast<float>(math::sin_pi(turn));
    }
  }
  Tensor y = pass.tape[qkv];
  rotate(at, turns, 1.0f, y.data());
  return pass.tape.record(std::move(y), {qkv}, [=, turns = std::move(turns)](Tensor&& g, Adjoints& grads) {
    rotate(at, turns, -1.0f, g.data());
    grads.add(qkv, std::move(g));
  });
}

std::vector<std::int64_t> equal_lengths(std::int64_t tokens, std::int64_t rows) {
  require<ShapeError>(rows >= 1 && tokens >= rows && tokens % rows == 0, "[attention] ", tokens, " tokens are not ", rows,
                      " rows of equal length");
  return std::vector<std::int64_t>(static_cast<std::size_t>(rows), tokens / rows);
}

}  // namespace ebb
