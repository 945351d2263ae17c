#include "optim/update_quality.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

constexpr std::int64_t kBlock = 4096;

/// Elements first .. last, added in ascending order.
UpdateQuality sum_block(const UpdateNumbers& x, std::int64_t first, std::int64_t last) {
  UpdateQuality q{.elements = last - first};
  const bool residuals = !x.residual_after.empty();
  for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
    const auto intended = static_cast<double>(x.intended[i]),
               effective = static_cast<double>(x.after[i]) - static_cast<double>(x.before[i]),
               residual = residuals ? static_cast<double>(x.residual_after[i]) : 0,
               whole = residuals
                           ? effective + (residual - static_cast<double>(x.residual_before[i]))
                           : effective;
    q.zero_updates += intended == 0 ? 1 : 0;
    q.lost += intended != 0 && effective == 0 ? 1 : 0;
    q.intended_squares += intended * intended;
    q.effective_squares += effective * effective;
    q.dot += intended * effective;
    q.whole_squares += whole * whole;
    q.whole_dot += intended * whole;
    q.residual_squares += residual * residual;
    q.residual_dot += residual * intended;
  }
  return q;
}

constexpr double UpdateQuality::*kSums[] = {&UpdateQuality::intended_squares,
                                            &UpdateQuality::effective_squares,
                                            &UpdateQuality::dot,
                                            &UpdateQuality::whole_squares,
                                            &UpdateQuality::whole_dot,
                                            &UpdateQuality::residual_squares,
                                            &UpdateQuality::residual_dot};

double along(double dot, double squares) { return squares > 0 ? dot / std::sqrt(squares) : 0; }
double share(double dot, double squares) { return squares > 0 ? dot / squares : 1; }

}  // namespace

UpdateQuality& UpdateQuality::operator+=(const UpdateQuality& other) {
  elements += other.elements;
  zero_updates += other.zero_updates;
  lost += other.lost;
  for (double UpdateQuality::*const sum : kSums) this->*sum += other.*sum;
  return *this;
}

double UpdateQuality::edq() const { return along(dot, intended_squares); }
double UpdateQuality::whole_edq() const { return along(whole_dot, intended_squares); }
double UpdateQuality::edq_ratio() const { return share(dot, intended_squares); }
double UpdateQuality::whole_edq_ratio() const { return share(whole_dot, intended_squares); }

UpdateQuality measure_update(std::string name, const UpdateNumbers& x) {
  const std::size_t n = x.intended.size();
  const auto fits = [n](std::span<const float> part) { return part.empty() || part.size() == n; };
  require<ShapeError>(x.before.size() == n && x.after.size() == n && fits(x.residual_before) &&
                          x.residual_before.size() == x.residual_after.size(),
                      "[measure_update] '", name, "': numbers of different sizes");
  const auto size = static_cast<std::int64_t>(n), count = (size + kBlock - 1) / kBlock;
  std::vector<UpdateQuality> blocks(static_cast<std::size_t>(count));
  parallel_for(
      count,
      [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t b = first; b < last; ++b)
          blocks[static_cast<std::size_t>(b)] =
              sum_block(x, b * kBlock, std::min(size, (b + 1) * kBlock));
      },
      4, 1);
  UpdateQuality total{.name = std::move(name)};
  std::vector<double> parts(blocks.size());
  for (double UpdateQuality::*const sum : kSums) {
    std::ranges::transform(blocks, parts.begin(), [&](const auto& block) { return block.*sum; });
    total.*sum = tree_sum(parts);
  }
  for (const UpdateQuality& block : blocks) {
    total.elements += block.elements;
    total.zero_updates += block.zero_updates;
    total.lost += block.lost;
  }
  return total;
}

}  // namespace ebb
