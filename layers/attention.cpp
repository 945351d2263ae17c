#include "layers/attention.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/functions.h"

namespace ebb {
namespace {

/// How qkv is cut up.
struct Layout {
  std::int64_t rows, length, heads, width, depth;  ///< depth d = width / heads

  Layout(std::string_view op, const Shape& qkv, std::int64_t row_count, std::int64_t head_count)
      : rows(row_count), heads(head_count) {
    require<ShapeError>(qkv.rank() == 2 && rows >= 1 && heads >= 1 && qkv[0] % rows == 0 && qkv[1] % (3 * heads) == 0, "[", op,
                        "] expected [", rows, " * length, 3 width] with a width that ", heads, " heads divide, got ", qkv);
    length = qkv[0] / rows;
    width = qkv[1] / 3;
    depth = width / heads;
  }
  /// One of query (0), key (1) and value (2), of all tokens.
  [[nodiscard]] ConstMatrix part(const Tensor& qkv, std::int64_t which) const {
    return {qkv.data() + which * width, rows * length, width, 3 * width};
  }
  /// The part of one row and head of an encoded [rows * length, width].
  [[nodiscard]] Operand head(const Operand& x, std::int64_t row, std::int64_t h) const {
    return x.rows(row * length, length).columns(h * depth, depth);
  }
  /// The same of float32 memory whose rows are `stride` long.
  [[nodiscard]] MutableMatrix head(float* x, std::int64_t stride, std::int64_t row, std::int64_t h) const {
    return {x + row * length * stride + h * depth, length, depth, stride};
  }
  /// The [length, length] matrix of one row and head of [rows * heads * length, length].
  [[nodiscard]] Operand square(const Operand& x, std::int64_t row, std::int64_t h) const {
    return x.rows((row * heads + h) * length, length);
  }
  [[nodiscard]] MutableMatrix square(float* x, std::int64_t row, std::int64_t h) const {
    return {x + (row * heads + h) * length * length, length, length, length};
  }
};

/// The products left(row, head) right(row, head) of all rows and heads of two operands, cut as `left` and `right` say, into
/// out(row, head).
template <class Left, class Right, class Out>
void multiply_heads(const Pass& pass, const Layout& at, const Site& site, Product product, const Operand& a, const Left& left,
                    const Operand& b, const Right& right, const Out& out) {
  const auto [whole_a, whole_b] = same_kind(a, b);  // before they are cut: decoding takes the whole
  std::vector<BatchedProduct> products;
  for (std::int64_t row = 0; row < at.rows; ++row) {
    for (std::int64_t h = 0; h < at.heads; ++h) products.push_back({left(whole_a, row, h), right(whole_b, row, h), out(row, h)});
  }
  pass.multiply_all(products, site, product);
}

/// Scores become probabilities.
void softmax(const Layout& at, Tensor& scores, float scale, bool causal, Simd simd) {
  const std::int64_t n = at.length;
  parallel_rows(at.rows * at.heads * n, 4 * n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      float* const row = scores.data() + i * n;
      const std::int64_t seen = causal ? i % n + 1 : n;
      for (std::int64_t j = 0; j < seen; ++j) row[j] *= scale;
      exp_rows(row, seen, *std::max_element(row, row + seen), row, simd);
      const auto share = static_cast<float>(1.0 / chained_sum(seen, [=](std::int64_t j) { return static_cast<double>(row[j]); }));
      for (std::int64_t j = 0; j < seen; ++j) row[j] *= share;
      std::fill(row + seen, row + n, 0.0f);
    }
  });
}

/// Gradients of probabilities become those of scores.
void softmax_gradient(const Layout& at, const Tensor& probabilities, float scale, Tensor& g) {
  const std::int64_t n = at.length;
  parallel_rows(at.rows * at.heads * n, 4 * n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const p = probabilities.data() + i * n;
      float* const row = g.data() + i * n;
      const auto mean = static_cast<float>(
          chained_sum(n, [=](std::int64_t j) { return static_cast<double>(row[j]) * static_cast<double>(p[j]); }));
      for (std::int64_t j = 0; j < n; ++j) row[j] = p[j] * (row[j] - mean) * scale;
    }
  });
}

/// Turns every pair of elements of queries and keys by its angle, or back.
void rotate(const Layout& at, const std::vector<float>& turns, float sign, float* x) {
  parallel_rows(at.rows * at.length, 2 * at.width, [&, sign](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const turn = turns.data() + i % at.length * at.depth;
      for (std::int64_t part = 0; part < 2 * at.heads; ++part) {
        float* const v = x + i * 3 * at.width + part * at.depth;
        for (std::int64_t j = 0; j < at.depth; j += 2) {
          const float c = turn[j], s = sign * turn[j + 1], a = v[j], b = v[j + 1];
          v[j] = a * c - b * s;
          v[j + 1] = a * s + b * c;
        }
      }
    }
  });
}

}  // namespace

Attention Attention::create(const std::string& name, std::int64_t heads, bool causal) {
  return {{name + ".qk", {}}, {name + ".av", {}}, heads, causal};
}

Var Attention::operator()(Pass& pass, Var qkv, std::int64_t rows) const {
  const Layout at(scores.name, pass.tape.shape(qkv), rows, heads);
  const Tensor& x = pass.tape[qkv];
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(at.depth)));
  Operand q = pass.encode(at.part(x, 0), scores, Role::activation), k = pass.encode(at.part(x, 1), scores, Role::weight),
          v = pass.encode(at.part(x, 2), values, Role::weight);

  const auto head = [at](const Operand& m, std::int64_t row, std::int64_t h) { return at.head(m, row, h); };
  const auto head_t = [at](const Operand& m, std::int64_t row, std::int64_t h) { return at.head(m, row, h).transposed(); };
  const auto square = [at](const Operand& m, std::int64_t row, std::int64_t h) { return at.square(m, row, h); };
  const auto square_t = [at](const Operand& m, std::int64_t row, std::int64_t h) { return at.square(m, row, h).transposed(); };

  const auto p = std::make_shared<Tensor>(Tensor::uninitialized({rows * heads * at.length, at.length}));
  multiply_heads(pass, at, scores, Product::forward, q, head, k, head_t,
                 [&](std::int64_t row, std::int64_t h) { return at.square(p->data(), row, h); });
  softmax(at, *p, scale, causal, pass.simd);
  Tensor y = Tensor::uninitialized({rows * at.length, at.width});
  const Operand by_row = pass.encode(p->matrix(), values, Role::activation, GridAxis::rows);
  multiply_heads(pass, at, values, Product::forward, by_row, square, v, head,
                 [&](std::int64_t row, std::int64_t h) { return at.head(y.data(), at.width, row, h); });

  return pass.tape.record(
      std::move(y), {qkv},
      [=, &pass, self = *this, q = std::move(q), k = std::move(k), v = std::move(v)](const Tensor& g, Adjoints& grads) {
        Tensor gx = Tensor::uninitialized({rows * at.length, 3 * at.width}), gs = Tensor::uninitialized(p->shape());
        const auto gradient_of = [&](std::int64_t which) {
          return
              [&, which](std::int64_t row, std::int64_t h) { return at.head(gx.data() + which * at.width, 3 * at.width, row, h); };
        };
        const auto gradient_square = [&](std::int64_t row, std::int64_t h) { return at.square(gs.data(), row, h); };
        const Operand gy = pass.encode_gradient(g, self.values, grads.facts());
        const Operand whole_p = pass.encode(p->matrix(), self.values, Role::activation);
        multiply_heads(pass, at, self.values, Product::grad_input, gy, head, v, head_t, gradient_square);
        multiply_heads(pass, at, self.values, Product::grad_weight, whole_p, square_t, gy, head, gradient_of(2));
        softmax_gradient(at, *p, scale, gs);
        const Operand qs = pass.encode(gs.matrix(), self.scores, Role::gradient);
        multiply_heads(pass, at, self.scores, Product::grad_input, qs, square, k, head, gradient_of(0));
        multiply_heads(pass, at, self.scores, Product::grad_weight, qs, square_t, q, head, gradient_of(1));
        grads.add(qkv, std::move(gx));
      });
}

Var rotary(Pass& pass, Var qkv, std::int64_t rows, std::int64_t heads) {
  const Layout at("rotary", pass.tape.shape(qkv), rows, heads);
  require<ShapeError>(at.depth % 2 == 0, "[rotary] expected an even number of elements a head, got ", at.depth);
  std::vector<float> turns(static_cast<std::size_t>(at.length * at.depth));  // cosine and sine by place and pair
  for (std::int64_t t = 0; t < at.length; ++t) {
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

}  // namespace ebb
