#include "layers/embedding.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

/// Where each entry is used: the positions of entry e, ascending, are positions[first[e]] ..
/// positions[first[e + 1] - 1].
struct Uses {
  std::vector<std::int64_t> first, positions;

  Uses(std::span<const std::int32_t> ids, std::int64_t entries)
      : first(static_cast<std::size_t>(entries) + 1), positions(ids.size()) {
    for (const std::int32_t id : ids) ++first[static_cast<std::size_t>(id) + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<std::int64_t> next(first.begin(), first.end() - 1);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      positions[static_cast<std::size_t>(next[static_cast<std::size_t>(ids[i])]++)] =
          static_cast<std::int64_t>(i);
    }
  }
};

}  // namespace

Var embedding(Pass& pass, ParamId table, std::span<const std::int32_t> ids) {
  const Var w = pass.tape.parameter(table);
  const Shape shape = pass.tape.shape(w);
  require<ShapeError>(shape.rank() == 2 && !ids.empty(),
                      "[embedding] expected a table [entries, width] and ids, got ", shape, " and ",
                      ids.size(), " ids");
  const std::int64_t entries = shape[0], width = shape[1],
                     count = static_cast<std::int64_t>(ids.size());
  for (const std::int32_t id : ids) {
    require<DataError>(id >= 0 && id < entries, "[embedding] id ", id, " is none of the ", entries,
                       " entries");
  }
  if (pass.counting) return pass.tape.record_shape({count, width}, {w});
  Tensor y = Tensor::uninitialized({count, width});
  const float* const from = pass.tape[w].data();
  float* const to = y.data();
  parallel_rows(count, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(from + ids[static_cast<std::size_t>(i)] * width, width, to + i * width);
  });
  std::vector<std::int32_t> kept(ids.begin(), ids.end());
  return pass.tape.record(
      std::move(y), {w}, [=, kept = std::move(kept)](const Tensor& g, Adjoints& grads) {
        const Uses uses(kept, entries);
        Tensor gw = Tensor::uninitialized(shape);
        const float* const pg = g.data();
        float* const out = gw.data();
        parallel_rows(entries, width, [&](std::int64_t begin, std::int64_t end) {
          std::vector<double> sum(static_cast<std::size_t>(width));
          for (std::int64_t e = begin; e < end; ++e) {
            std::ranges::fill(sum, 0.0);
            for (std::int64_t u = uses.first[static_cast<std::size_t>(e)];
                 u < uses.first[static_cast<std::size_t>(e) + 1]; ++u) {
              const float* const row = pg + uses.positions[static_cast<std::size_t>(u)] * width;
              for (std::int64_t j = 0; j < width; ++j)
                sum[static_cast<std::size_t>(j)] += static_cast<double>(row[j]);
            }
            std::ranges::transform(sum, out + e * width,
                                   [](double s) { return static_cast<float>(s); });
          }
        });
        grads.add(w, std::move(gw));
      });
}

}  // namespace ebb
