#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/attention.h"

namespace ebb {
namespace {

/// What is rotated, and by how much.
struct Turns {
  std::int64_t heads, width, depth;
  std::vector<std::int64_t> places;  ///< of every token in its row
  std::vector<float> turns;          ///< cosine and sine by place and pair, [longest row, depth]

  /// Turns every pair of elements of queries and keys by its angle, or back.
  void rotate(float sign, float* x) const {
    parallel_rows(std::ssize(places), 2 * width, [=, this](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const float* const turn = turns.data() + places[static_cast<std::size_t>(i)] * depth;
        for (std::int64_t part = 0; part < 2 * heads; ++part) {
          float* const v = x + i * 3 * width + part * depth;
          for (std::int64_t j = 0; j < depth; j += 2) {
            const float c = turn[j], s = sign * turn[j + 1], a = v[j], b = v[j + 1];
            v[j] = a * c - b * s;
            v[j + 1] = a * s + b * c;
          }
        }
      }
    });
  }
};

}  // namespace

Var rotary(Pass& pass, Var qkv, std::span<const std::int64_t> lengths, std::int64_t heads,
           double theta) {
  const Shape shape = pass.tape.shape(qkv);
  require<ShapeError>(shape.rank() == 2 && heads >= 1 && shape[1] % (3 * heads) == 0,
                      "[rotary] expected [tokens, 3 width] with a width that ", heads,
                      " heads divide, got ", shape);
  const std::int64_t width = shape[1] / 3, depth = width / heads;
  require<ShapeError>(depth % 2 == 0, "[rotary] expected an even number of elements a head, got ",
                      depth);
  require<ConfigError>(theta > 0.0 && theta < std::numeric_limits<double>::infinity(),
                       "[rotary] expected a finite theta above 0, got ", theta);
  Turns t{heads, width, depth, {}, {}};
  for (const std::int64_t n : lengths) {
    require<ShapeError>(n >= 1 && n <= shape[0], "[rotary] expected rows of 1 to ", shape[0],
                        " tokens, got ", n);
    for (std::int64_t place = 0; place < n; ++place) t.places.push_back(place);
  }
  require<ShapeError>(std::ssize(t.places) == shape[0], "[rotary] rows of ", t.places.size(),
                      " tokens in all do not fit ", shape);
  const std::int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  t.turns.resize(static_cast<std::size_t>(longest * depth));
  for (std::int64_t place = 0; place < longest; ++place) {
    for (std::int64_t j = 0; j < depth; j += 2) {
      const double part = static_cast<double>(j) / static_cast<double>(depth);
      const double turn = static_cast<double>(place) * math::pow(theta, -part) / math::kPi;
      float* const to = t.turns.data() + place * depth + j;
      to[0] = static_cast<float>(math::cos_pi(turn));
      to[1] = static_cast<float>(math::sin_pi(turn));
    }
  }
  Tensor y = copy_of(pass.tape[qkv]);
  t.rotate(1.0f, y.data());
  return pass.tape.record(std::move(y), {qkv}, [=](Tensor&& g, Adjoints& grads) {
    t.rotate(-1.0f, g.data());
    grads.add(qkv, std::move(g));
  });
}

}  // namespace ebb
