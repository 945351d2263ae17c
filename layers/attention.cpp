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
#include "core/range_of_parts.h"
#include "core/sums.h"
#include "layers/functions.h"

namespace ebb {
namespace {

/// A causal attention is computed in strips of so many tokens, none of which sees what comes after
/// the strip.
constexpr std::int64_t kStripTokens = 64;
static_assert(kStripTokens % kStripUnit == 0);

/// Where a head's product has its [queries, keys] matrix of probabilities, scores or gradients of
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

/// How queries and keys are cut up.
struct Layout {
  /// Rows of equal lengths that follow each other: their probabilities are one matrix [rows * heads
  /// * queries, keys].
  struct Run {
    std::int64_t rows, queries, keys;             ///< of a row so many
    std::int64_t first_query = 0, first_key = 0;  ///< where those of the run begin
    std::int64_t square = 0;  ///< where their probabilities begin among those of all runs
    std::array<std::vector<Strip>, 3> cuts{};  ///< of a causal one, by Square

    [[nodiscard]] const std::vector<Strip>& strips(Square where) const {
      return cuts[static_cast<std::size_t>(where)];
    }
  };
  std::vector<Run> runs;
  std::int64_t queries = 0, keys = 0, squares = 0;  ///< of all runs
  std::int64_t heads, width, depth;                 ///< depth d = width / heads
  bool causal;

  /// Of q [all queries, width] and k [all keys, width].
  Layout(const Attention& attention, const Shape& q, const Shape& k,
         std::span<const std::int64_t> query_lengths, std::span<const std::int64_t> key_lengths)
      : heads(attention.heads), width(q[1]), causal(attention.causal) {
    const std::string& op = attention.scores.name;
    require<ShapeError>(heads >= 1 && width % heads == 0, "[", op, "] expected a width that ",
                        heads, " heads divide, got ", width);
    require<ShapeError>(query_lengths.size() == key_lengths.size(), "[", op, "] got ",
                        query_lengths.size(), " rows of queries and ", key_lengths.size(),
                        " of keys");
    depth = width / heads;
    for (std::size_t i = 0; i < query_lengths.size(); ++i) {
      const std::int64_t m = query_lengths[i], n = key_lengths[i];
      require<ShapeError>(m >= 1 && m <= q[0] && n >= 1 && n <= k[0], "[", op,
                          "] expected rows of 1 to ", q[0], " queries and 1 to ", k[0],
                          " keys, got ", m, " and ", n);
      require<ShapeError>(!causal || m == n, "[", op,
                          "] expected as many keys as queries, since it "
                          "is causal, got ",
                          m, " queries and ", n, " keys");
      if (runs.empty() || runs.back().queries != m || runs.back().keys != n) add_run(m, n);
      ++runs.back().rows;
      queries += m;
      keys += n;
      squares += heads * m * n;
    }
    require<ShapeError>(queries == q[0] && keys == k[0], "[", op, "] rows of ", queries,
                        " queries and ", keys, " keys in all do not fit ", q, " and ", k);
  }
  void add_run(std::int64_t m, std::int64_t n) {
    runs.push_back({0, m, n, queries, keys, squares});
    if (!causal) return;
    for (const Square where : {Square::left, Square::left_transposed, Square::result})
      runs.back().cuts[static_cast<std::size_t>(where)] = strips_of(where, n, depth);
  }
  /// What the squares of some runs hold beside zeros, the first one being the first of a matrix;
  /// nothing for all of it.
  [[nodiscard]] std::vector<Operand::Part> parts(std::span<const Run> of) const {
    std::vector<Operand::Part> parts;
    if (std::ranges::all_of(of, [](const Run& run) { return run.strips(Square::result).empty(); }))
      return parts;
    std::int64_t begin = 0;
    for (const Run& run : of) {
      const std::int64_t n = run.keys;
      for (std::int64_t i = 0; i < run.rows * heads; ++i, begin += run.queries * n) {
        if (run.strips(Square::result).empty()) parts.push_back({begin, run.queries, n, n});
        for (const Strip& s : run.strips(Square::result))
          parts.push_back({begin + s.first * n, s.rows, s.cols, n});
      }
    }
    return parts;
  }
  /// The probabilities of a run.
  [[nodiscard]] ConstMatrix squares_of(const Tensor& p, const Run& run) const {
    return {p.data() + run.square, run.rows * heads * run.queries, run.keys, run.keys};
  }
};

/// One row of a run, and one of its heads: where its parts are.
struct Head {
  const Layout& at;
  const Layout::Run& run;
  std::int64_t row, h;  ///< row: within the run

  [[nodiscard]] std::int64_t first_query() const { return run.first_query + row * run.queries; }
  [[nodiscard]] std::int64_t first_key() const { return run.first_key + row * run.keys; }
  [[nodiscard]] std::int64_t square_begin() const {
    return run.square + (row * at.heads + h) * run.queries * run.keys;
  }
  /// Of float32 matrices [queries or keys, width], and of squares.
  [[nodiscard]] MutableMatrix queries(const MutableMatrix& x) const {
    return {x.data + first_query() * x.row_stride + h * at.depth, run.queries, at.depth,
            x.row_stride};
  }
  [[nodiscard]] MutableMatrix keys(const MutableMatrix& x) const {
    return {x.data + first_key() * x.row_stride + h * at.depth, run.keys, at.depth, x.row_stride};
  }
  [[nodiscard]] MutableMatrix square(Tensor& x) const {
    return {x.data() + square_begin(), run.queries, run.keys, run.keys};
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

/// The same of operands; a square among those of its run, or of all runs.
Operand queries(const Head& head, const Operand& x) {
  return x.rows(head.first_query(), head.run.queries)
      .columns(head.h * head.at.depth, head.at.depth);
}
Operand keys(const Head& head, const Operand& x) {
  return x.rows(head.first_key(), head.run.keys).columns(head.h * head.at.depth, head.at.depth);
}
Operand keys_t(const Head& head, const Operand& x) { return keys(head, x).transposed(); }
Operand square_of_all(const Head& head, const Operand& x) {
  return x.reshaped(head.square_begin(), head.run.queries, head.run.keys);
}
Operand square_of_run(const Head& head, const Operand& x) {
  return x.rows((head.row * head.at.heads + head.h) * head.run.queries, head.run.queries);
}

/// The squares of all runs on their way into products.
struct Squares {
  std::vector<Quantized> matrices;  ///< one of all, or one for each run
  Operand (*square)(const Head& head, const Operand& x);

  /// For a product that contracts their queries (0) or keys (1).
  [[nodiscard]] std::vector<Operand> along(int axis, Product product) const {
    std::vector<Operand> operands;
    for (const Quantized& matrix : matrices) operands.push_back(matrix.along(axis, product));
    return operands;
  }
  [[nodiscard]] auto transposed() const {
    return [cut = square](const Head& head, const Operand& x) { return cut(head, x).transposed(); };
  }
};

/// The range of a head's square, of what a causal one sees. (The rest is zeros, as some of a
/// strip's elements are.)
Range range_of(const Head& head, const float* square, Simd simd) {
  const std::int64_t n = head.run.keys;
  const std::vector<Strip>& strips = head.run.strips(Square::result);
  if (strips.empty()) return measure_range({square, head.run.queries, n, n}, simd);
  RangeOfParts range;
  for (const Strip& s : strips)
    range.add(measure_range({square + s.first * n, s.rows, s.cols, n}, simd));
  return range.range();
}

/// Scores of a head become probabilities, whose range it returns.
Range softmax(const Head& head, float* scores, float scale, Simd simd) {
  const std::int64_t n = head.run.keys;
  for (std::int64_t i = 0; i < head.run.queries; ++i) {
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
  const std::int64_t n = head.run.keys;
  for (std::int64_t i = 0; i < head.run.queries; ++i) {
    const float* const p = probabilities + i * n;
    float* const row = g + i * n;
    const std::int64_t seen = head.at.causal ? i + 1 : n;
    softmax_gradient_row(p, seen, scale, row, simd);
    std::fill(row + seen, row + n, 0.0f);
  }
  return range_of(head, g, simd);
}

/// One application of an attention to matrices q [queries, width], k and v [keys, width].
struct Attended {
  Pass& pass;
  Layout at;
  Site scores, values;
  Quantized q, k, v;
  Tensor p = Tensor::uninitialized({1, at.squares});
  Range range_of_p = {};

  [[nodiscard]] float scale() const {
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(at.depth)));
  }
  /// For a product: on one scale; or in blocks, which lie along the squares and are those of a run.
  [[nodiscard]] Squares squares(const Tensor& x, const Site& site, Role role, Product product,
                                const Range& range) const;
  [[nodiscard]] Tensor forward();
  /// Writes the gradients of q, k and v; one without memory is left out.
  void backward(const Tensor& g, const MutableMatrix& gq, const MutableMatrix& gk,
                const MutableMatrix& gv) const;
};

std::shared_ptr<Attended> attend(Pass& pass, const Attention& attention, Layout at,
                                 const ConstMatrix& q, const ConstMatrix& k, const ConstMatrix& v) {
  const Site scores = pass.visit(attention.scores), values = pass.visit(attention.values);
  Quantized qq = pass.quantize(q, scores, Role::activation),
            qk = pass.quantize(k, scores, Role::weight, {.scales = Scales::per_tensor}),
            qv = pass.quantize(v, values, Role::weight, {.scales = Scales::per_tensor});
  return std::make_shared<Attended>(
      Attended{pass, std::move(at), scores, values, std::move(qq), std::move(qk), std::move(qv)});
}

Squares Attended::squares(const Tensor& x, const Site& site, Role role, Product product,
                          const Range& range) const {
  if (!pass.in_blocks(site, role, product)) {
    const std::vector<Operand::Part> parts = at.parts(at.runs);
    return {{pass.quantize(x, site, role, {.range = range, .parts = parts})}, square_of_all};
  }
  Squares squares{{}, square_of_run};
  for (const Layout::Run& run : at.runs)
    squares.matrices.push_back(
        pass.quantize(at.squares_of(x, run), site, role, {.step = squares.matrices.size()}));
  return squares;
}

Tensor Attended::forward() {
  RangeOfParts range;
  multiply_heads(
      pass, at, scores, Product::forward, Square::result, {q.along(1, Product::forward)}, queries,
      k.along(1, Product::forward), keys_t, [&](const Head& h) { return h.square(p); },
      [&](const Head& h) {
        range.add(softmax(h, p.data() + h.square_begin(), scale(), pass.simd));
      });
  range_of_p = range.range();
  std::vector<Operand> by_row;
  for (const Layout::Run& run : at.runs)
    by_row.push_back(pass.quantize(at.squares_of(p, run), values, Role::activation,
                                   {.step = by_row.size(),
                                    .scales = Scales::per_channel,
                                    .parts = at.parts({&run, 1})})
                         .along(1, Product::forward));
  Tensor y = Tensor::uninitialized({at.queries, at.width});
  const MutableMatrix out{y.data(), at.queries, at.width, at.width};
  multiply_heads(pass, at, values, Product::forward, Square::left, by_row, square_of_run,
                 v.along(0, Product::forward), keys, [&](const Head& h) { return h.queries(out); });
  return y;
}

void Attended::backward(const Tensor& g, const MutableMatrix& gq, const MutableMatrix& gk,
                        const MutableMatrix& gv) const {
  const Quantized qg = pass.quantize(g, values, Role::gradient);
  const Squares qp = squares(p, values, Role::activation, Product::grad_right, range_of_p);
  if (gv.data != nullptr)
    multiply_heads(pass, at, values, Product::grad_right, Square::left_transposed,
                   qp.along(0, Product::grad_right), qp.transposed(),
                   qg.along(0, Product::grad_right), queries,
                   [&](const Head& h) { return h.keys(gv); });
  if (gq.data == nullptr && gk.data == nullptr) return;
  Tensor gs = Tensor::uninitialized(p.shape());
  RangeOfParts range;
  multiply_heads(
      pass, at, values, Product::grad_left, Square::result, {qg.along(1, Product::grad_left)},
      queries, v.along(1, Product::grad_left), keys_t, [&](const Head& h) { return h.square(gs); },
      [&](const Head& h) {
        const std::int64_t begin = h.square_begin();
        range.add(softmax_gradient(h, p.data() + begin, scale(), pass.simd, gs.data() + begin));
      });
  const auto of_scores = [&](Product product) {
    return squares(gs, scores, Role::gradient, product, range.range());
  };
  const Squares qs = of_scores(Product::grad_left);
  if (gq.data != nullptr)
    multiply_heads(pass, at, scores, Product::grad_left, Square::left,
                   qs.along(1, Product::grad_left), qs.square, k.along(0, Product::grad_left), keys,
                   [&](const Head& h) { return h.queries(gq); });
  if (gk.data == nullptr) return;
  // Codes are shared, unless only one of the products has blocks.
  const bool alike = pass.in_blocks(scores, Role::gradient, Product::grad_left) ==
                     pass.in_blocks(scores, Role::gradient, Product::grad_right);
  const Squares qt = alike ? qs : of_scores(Product::grad_right);
  multiply_heads(pass, at, scores, Product::grad_right, Square::left_transposed,
                 qt.along(0, Product::grad_right), qt.transposed(), q.along(0, Product::grad_right),
                 queries, [&](const Head& h) { return h.keys(gk); });
}

/// Columns first .. first + cols of a matrix.
MutableMatrix columns(Tensor& x, std::int64_t first, std::int64_t cols) {
  const ConstMatrix m = x.matrix();
  return {x.data() + first, m.rows, cols, m.cols};
}

}  // namespace

Attention Attention::create(const std::string& name, std::int64_t heads, bool causal) {
  return {{name + ".qk", {}}, {name + ".av", {}}, heads, causal};
}

Var Attention::operator()(Pass& pass, Var qkv, std::span<const std::int64_t> lengths) const {
  const Shape shape = pass.tape.shape(qkv);
  require<ShapeError>(shape.rank() == 2 && shape[1] % 3 == 0, "[", scores.name,
                      "] expected [tokens, 3 width], got ", shape);
  const std::int64_t tokens = shape[0], width = shape[1] / 3;
  const Shape each{tokens, width};
  Layout at(*this, each, each, lengths, lengths);
  const auto part = [&, x = pass.tape[qkv].data()](std::int64_t which) -> ConstMatrix {
    return {x + which * width, tokens, width, 3 * width};
  };
  const auto attended = attend(pass, *this, std::move(at), part(0), part(1), part(2));
  return pass.tape.record(attended->forward(), {qkv}, [=](const Tensor& g, Adjoints& grads) {
    Tensor gx = Tensor::uninitialized(shape);
    attended->backward(g, columns(gx, 0, width), columns(gx, width, width),
                       columns(gx, 2 * width, width));
    grads.add(qkv, std::move(gx));
  });
}

Var Attention::operator()(Pass& pass, Var q, Var k, Var v,
                          std::span<const std::int64_t> query_lengths,
                          std::span<const std::int64_t> key_lengths) const {
  const Shape of_q = pass.tape.shape(q), of_k = pass.tape.shape(k);
  require<ShapeError>(
      of_q.rank() == 2 && of_k.rank() == 2 && of_q[1] == of_k[1] && pass.tape.shape(v) == of_k, "[",
      scores.name, "] expected queries [tokens, width], keys and values [others, width], got ",
      of_q, ", ", of_k, " and ", pass.tape.shape(v));
  Layout at(*this, of_q, of_k, query_lengths, key_lengths);
  const auto attended = attend(pass, *this, std::move(at), pass.tape[q].matrix(),
                               pass.tape[k].matrix(), pass.tape[v].matrix());
  return pass.tape.record(attended->forward(), {q, k, v}, [=](const Tensor& g, Adjoints& grads) {
    std::array<Tensor, 3> gradients;
    std::array<MutableMatrix, 3> into{};
    const std::array vars{q, k, v};
    for (std::size_t i = 0; i < 3; ++i) {
      if (!grads.wants(vars[i])) continue;
      gradients[i] = Tensor::uninitialized(i == 0 ? of_q : of_k);
      into[i] = columns(gradients[i], 0, of_q[1]);
    }
    attended->backward(g, into[0], into[1], into[2]);
    for (std::size_t i = 0; i < 3; ++i) {
      if (grads.wants(vars[i])) grads.add(vars[i], std::move(gradients[i]));
    }
  });
}

std::vector<std::int64_t> equal_lengths(std::int64_t tokens, std::int64_t rows) {
  require<ShapeError>(rows >= 1 && tokens >= rows && tokens % rows == 0, "[attention] ", tokens,
                      " tokens are not ", rows, " rows of equal length");
  return std::vector<std::int64_t>(static_cast<std::size_t>(rows), tokens / rows);
}

}  // namespace ebb
