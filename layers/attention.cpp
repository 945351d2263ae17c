#include "layers/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/range.h"
#include "core/sums.h"
#include "layers/functions.h"
#include "quant/formats/grid.h"

namespace ebb {
namespace {

/// A causal attention is computed in strips of so many tokens, none of which sees what comes after
/// the strip.
constexpr std::int64_t kStripTokens = 64;
static_assert(kStripTokens % kStripUnit == 0);

/// Where a head's product has its [length, length] matrix of probabilities, scores or gradients of
/// theirs.
enum class Square : std::uint8_t { left, left_transposed, result };

/// The strips of a causal head's product; none where one would hold all tokens.
std::vector<Strip> strips_of(Square square, std::int64_t length, std::int64_t depth) {
  std::vector<Strip> strips;
  for (std::int64_t first = 0; length > kStripTokens && first < length; first += kStripTokens) {
    const std::int64_t last = std::min(length, first + kStripTokens), rows = last - first;
    strips.push_back(square == Square::left              ? Strip{first, rows, 0, last, depth}
                     : square == Square::left_transposed ? Strip{first, rows, first, length, depth}
                                                         : Strip{first, rows, 0, depth, last});
  }
  return strips;
}

/// How qkv is cut up.
struct Layout {
  /// Rows of equal length that follow each other: their probabilities are one matrix [rows * heads
  /// * length, length].
  struct Run {
    std::int64_t first, rows, length;
    std::int64_t token;   ///< where their tokens begin
    std::int64_t square;  ///< where their probabilities begin among those of all runs
    std::array<std::vector<Strip>, 3> cuts{};  ///< of a causal one, by Square

    [[nodiscard]] const std::vector<Strip>& strips(Square where) const {
      return cuts[static_cast<std::size_t>(where)];
    }
  };
  std::vector<Run> runs;
  std::int64_t tokens = 0, squares = 0;  ///< of all runs
  std::int64_t heads, width, depth;      ///< depth d = width / heads
  bool causal;

  Layout(std::string_view op, const Shape& qkv, std::span<const std::int64_t> lengths,
         std::int64_t head_count, bool is_causal = false)
      : heads(head_count), causal(is_causal) {
    require<ShapeError>(qkv.rank() == 2 && heads >= 1 && qkv[1] % (3 * heads) == 0, "[", op,
                        "] expected [tokens, 3 width] with a width that ", heads,
                        " heads divide, got ", qkv);
    width = qkv[1] / 3;
    depth = width / heads;
    for (const std::int64_t n : lengths) {
      require<ShapeError>(n >= 1 && n <= qkv[0], "[", op, "] expected rows of 1 to ", qkv[0],
                          " tokens, got ", n);
      if (runs.empty() || runs.back().length != n) {
        const std::int64_t first = runs.empty() ? 0 : runs.back().first + runs.back().rows;
        runs.push_back({first, 0, n, tokens, squares});
        if (causal)
          runs.back().cuts = {strips_of(Square::left, n, depth),
                              strips_of(Square::left_transposed, n, depth),
                              strips_of(Square::result, n, depth)};
      }
      ++runs.back().rows;
      tokens += n;
      squares += heads * n * n;
    }
    require<ShapeError>(tokens == qkv[0], "[", op, "] rows of ", tokens,
                        " tokens in all do not fit ", qkv);
  }
  /// One of query (0), key (1) and value (2), of all tokens.
  [[nodiscard]] ConstMatrix part(const Tensor& qkv, std::int64_t which) const {
    return {qkv.data() + which * width, tokens, width, 3 * width};
  }
  /// What the squares of some runs hold beside zeros, the first one being the first of a matrix;
  /// nothing for all of it.
  [[nodiscard]] std::vector<Operand::Part> parts(std::span<const Run> of) const {
    std::vector<Operand::Part> parts;
    if (std::ranges::all_of(of, [](const Run& run) { return run.strips(Square::result).empty(); }))
      return parts;
    std::int64_t begin = 0;
    for (const Run& run : of) {
      const std::int64_t n = run.length;
      for (std::int64_t i = 0; i < run.rows * heads; ++i, begin += n * n) {
        if (run.strips(Square::result).empty()) parts.push_back({begin, n, n, n});
        for (const Strip& s : run.strips(Square::result))
          parts.push_back({begin + s.first * n, s.rows, s.cols, n});
      }
    }
    return parts;
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
    return {x + (run.token + row * run.length) * stride + h * at.depth, run.length, at.depth,
            stride};
  }
  /// The [length, length] matrix among those of its run, or of all runs.
  [[nodiscard]] Operand square_of_run(const Operand& x) const {
    return x.rows((row * at.heads + h) * run.length, run.length);
  }
  [[nodiscard]] std::int64_t square_begin() const {
    return run.square + (row * at.heads + h) * run.length * run.length;
  }
  [[nodiscard]] Operand square(const Operand& x) const {
    return x.block(square_begin(), run.length, run.length);
  }
  [[nodiscard]] MutableMatrix square(float* x) const {
    return {x + square_begin(), run.length, run.length, run.length};
  }
};

/// The products left(a) right(b) of all rows and heads, cut as `left` and `right` say, into
/// out(head). `a` is one operand for all runs or one for each. done(head) follows as long as the
/// head's result is in cache.
template <class Left, class Right, class Out>
void multiply_heads(const Pass& pass, const Layout& at, const Site& site, Product product,
                    Square square, const std::vector<Operand>& a, const Left& left,
                    const Operand& b, const Right& right, const Out& out,
                    const std::function<void(const Head&)>& done = {}) {
  std::vector<Head> heads;
  std::vector<BatchedProduct> products;
  std::optional<std::pair<Operand, Operand>> whole;
  for (std::size_t i = 0; i < at.runs.size(); ++i) {
    const Layout::Run& run = at.runs[i];
    if (i < a.size()) whole = same_kind(a[i], b);  // before they are cut: decoding takes the whole
    for (std::int64_t row = 0; row < run.rows; ++row) {
      for (std::int64_t h = 0; h < at.heads; ++h) {
        const Head head{at, run, row, h};
        heads.push_back(head);
        products.push_back(
            {left(head, whole->first), right(head, whole->second), out(head), run.strips(square)});
      }
    }
  }
  pass.multiply_all(products, site, product,
                    done ? ProductDone([&](std::size_t i) { done(heads[i]); }) : ProductDone());
}

Operand part(const Head& head, const Operand& x) { return head.part(x); }
Operand part_t(const Head& head, const Operand& x) { return head.part(x).transposed(); }
Operand square(const Head& head, const Operand& x) { return head.square(x); }
Operand square_t(const Head& head, const Operand& x) { return head.square(x).transposed(); }
Operand square_of_run(const Head& head, const Operand& x) { return head.square_of_run(x); }

/// The range of a head's square, of what a causal one sees. (The rest is zeros, as some of a
/// strip's elements are.)
Range range_of(const Head& head, const float* square, Simd simd) {
  const std::int64_t n = head.run.length;
  const std::vector<Strip>& strips = head.run.strips(Square::result);
  if (strips.empty()) return measure_range({square, n, n, n}, simd);
  RangeOfParts range;
  for (const Strip& s : strips)
    range.add(measure_range({square + s.first * n, s.rows, s.cols, n}, simd));
  return range.range();
}

/// Scores of a head become probabilities, whose range it returns.
Range softmax(const Head& head, float* scores, float scale, Simd simd) {
  const std::int64_t n = head.run.length;
  for (std::int64_t i = 0; i < n; ++i) {
    float* const row = scores + i * n;
    const std::int64_t seen = head.at.causal ? i + 1 : n;
    for (std::int64_t j = 0; j < seen; ++j) row[j] *= scale;
    exp_rows(row, seen, largest(row, seen), row, simd);
    const auto share = static_cast<float>(1.0 / sum_row(row, seen, simd));
    for (std::int64_t j = 0; j < seen; ++j) row[j] *= share;
    std::fill(row + seen, row + n, 0.0f);
  }
  return range_of(head, scores, simd);
}

/// Gradients of a head's probabilities become those of its scores, whose range it returns.
Range softmax_gradient(const Head& head, const float* probabilities, float scale, Simd simd,
                       float* g) {
  const std::int64_t n = head.run.length;
  for (std::int64_t i = 0; i < n; ++i) {
    const float* const p = probabilities + i * n;
    float* const row = g + i * n;
    const std::int64_t seen = head.at.causal ? i + 1 : n;
    softmax_gradient_row(p, seen, scale, row, simd);
    std::fill(row + seen, row + n, 0.0f);
  }
  return range_of(head, g, simd);
}

/// Turns every pair of elements of queries and keys by its angle, or back; `turns` [longest row,
/// depth].
void rotate(const Layout& at, const std::vector<float>& turns, float sign, float* x) {
  for (const Layout::Run& run : at.runs) {
    parallel_rows(run.rows * run.length, 2 * at.width,
                  [&, sign](std::int64_t first, std::int64_t last) {
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
  const Layout at(scores.name, pass.tape.shape(qkv), lengths, heads, causal);
  const Tensor& x = pass.tape[qkv];
  const Site here_scores = pass.visit(scores), here_values = pass.visit(values);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(at.depth)));
  const Quantized q = pass.quantize(at.part(x, 0), here_scores, Role::activation),
                  k = pass.quantize(at.part(x, 1), here_scores, Role::weight,
                                    {.scales = Scales::per_tensor}),
                  v = pass.quantize(at.part(x, 2), here_values, Role::weight,
                                    {.scales = Scales::per_tensor});

  const auto p = std::make_shared<Tensor>(Tensor::uninitialized({1, at.squares}));
  RangeOfParts parts_of_p;
  multiply_heads(
      pass, at, here_scores, Product::forward, Square::result, {q.along(1)}, part, k.along(1),
      part_t, [&](const Head& h) { return h.square(p->data()); },
      [&](const Head& h) {
        parts_of_p.add(softmax(h, p->data() + h.square_begin(), scale, pass.simd));
      });
  const Range range_of_p = parts_of_p.range();
  Tensor y = Tensor::uninitialized({at.tokens, at.width});
  std::vector<Operand> by_row;
  for (const Layout::Run& run : at.runs)
    by_row.push_back(pass.quantize(at.squares_of(*p, run), here_values, Role::activation,
                                   {.step = by_row.size(),
                                    .scales = Scales::per_channel,
                                    .parts = at.parts({&run, 1})})
                         .along(1));
  multiply_heads(pass, at, here_values, Product::forward, Square::left, by_row, square_of_run,
                 v.along(0), part, [&](const Head& h) { return h.part(y.data(), at.width); });

  return pass.tape.record(std::move(y), {qkv}, [=, &pass](const Tensor& g, Adjoints& grads) {
    Tensor gx = Tensor::uninitialized({at.tokens, 3 * at.width}),
           gs = Tensor::uninitialized(p->shape());
    const auto gradient_of = [&](std::int64_t which) {
      return
          [&, which](const Head& h) { return h.part(gx.data() + which * at.width, 3 * at.width); };
    };
    const auto gradient_square = [&](const Head& h) { return h.square(gs.data()); };
    const Quantized gy = pass.quantize(g, here_values, Role::gradient);
    const std::vector<Operand::Part> parts = at.parts(at.runs);
    const Quantized whole_p =
        pass.quantize(*p, here_values, Role::activation, {.range = range_of_p, .parts = parts});
    RangeOfParts range;
    multiply_heads(
        pass, at, here_values, Product::grad_left, Square::result, {gy.along(1)}, part, v.along(1),
        part_t, gradient_square, [&](const Head& h) {
          const std::int64_t begin = h.square_begin();
          range.add(softmax_gradient(h, p->data() + begin, scale, pass.simd, gs.data() + begin));
        });
    multiply_heads(pass, at, here_values, Product::grad_right, Square::left_transposed,
                   {whole_p.along(0)}, square_t, gy.along(0), part, gradient_of(2));
    const Quantized qs =
        pass.quantize(gs, here_scores, Role::gradient, {.range = range.range(), .parts = parts});
    multiply_heads(pass, at, here_scores, Product::grad_left, Square::left, {qs.along(1)}, square,
                   k.along(0), part, gradient_of(0));
    multiply_heads(pass, at, here_scores, Product::grad_right, Square::left_transposed,
                   {qs.along(0)}, square_t, q.along(0), part, gradient_of(1));
    grads.add(qkv, std::move(gx));
  });
}

Var rotary(Pass& pass, Var qkv, std::span<const std::int64_t> lengths, std::int64_t heads) {
  const Layout at("rotary", pass.tape.shape(qkv), lengths, heads);
  require<ShapeError>(at.depth % 2 == 0,
                      "[rotary] expected an even number of elements a head, got ", at.depth);
  const std::int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  std::vector<float> turns(
      static_cast<std::size_t>(longest * at.depth));  // cosine and sine by place and pair
  for (std::int64_t t = 0; t < longest; ++t) {
    for (std::int64_t j = 0; j < at.depth; j += 2) {
      const double part = static_cast<double>(j) / static_cast<double>(at.depth);
      const double turn = static_cast<double>(t) * math::pow(10000.0, -part) / math::kPi;
      turns[static_cast<std::size_t>(t * at.depth + j)] = static_cast<float>(math::cos_pi(turn));
      turns[static_cast<std::size_t>(t * at.depth + j + 1)] =
          static_cast<float>(math::sin_pi(turn));
    }
  }
  Tensor y = copy_of(pass.tape[qkv]);
  rotate(at, turns, 1.0f, y.data());
  return pass.tape.record(std::move(y), {qkv},
                          [=, turns = std::move(turns)](Tensor&& g, Adjoints& grads) {
                            rotate(at, turns, -1.0f, g.data());
                            grads.add(qkv, std::move(g));
                          });
}

std::vector<std::int64_t> equal_lengths(std::int64_t tokens, std::int64_t rows) {
  require<ShapeError>(rows >= 1 && tokens >= rows && tokens % rows == 0, "[attention] ", tokens,
                      " tokens are not ", rows, " rows of equal length");
  return std::vector<std::int64_t>(static_cast<std::size_t>(rows), tokens / rows);
}

}  // namespace ebb
