#pragma once

#include <algorithm>
#include <cstdint>

namespace ebb {

/// Elements below which a parallel region costs more than it saves.
inline constexpr std::int64_t kParallelGrain = 1 << 14;

/// Calls body(first, last) on disjoint ranges that cover 0 .. n. For loops over disjoint outputs
/// only: the split depends on the number of threads, so nothing may be summed across it. The body
/// must not throw. Ranges start at multiples of `align`.
template <class Body>
void parallel_for(std::int64_t n, const Body& body, std::int64_t grain = kParallelGrain,
                  std::int64_t align = 128) {
  if (n <= grain) {
    if (n > 0) body(std::int64_t{0}, n);
    return;
  }
  // Four ranges for each grain-sized share at the most keep the threads evenly loaded when other
  // programs run beside us.
  const std::int64_t chunk =
      (std::max({std::int64_t{1}, grain / 4, n / 32}) + align - 1) / align * align;
  const std::int64_t chunks = (n + chunk - 1) / chunk;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t c = 0; c < chunks; ++c) body(c * chunk, std::min(n, (c + 1) * chunk));
}

/// The same over rows of about `row_cost` elements each, grouped without alignment.
template <class Body>
void parallel_rows(std::int64_t rows, std::int64_t row_cost, const Body& body) {
  parallel_for(rows, body,
               std::max<std::int64_t>(1, kParallelGrain / std::max<std::int64_t>(1, row_cost)), 1);
}

}  // namespace ebb
