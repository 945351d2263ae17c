#include "schedules/autolrs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"

namespace ebb {
namespace {

constexpr Hyperparameter counted(std::string_view name, double default_value) {
  return {name, default_value, "a whole number of 1 to 1e9", [](double x) {
            return x >= 1 && x <= 1e9 && x == static_cast<double>(static_cast<long long>(x));
          }};
}
constexpr Hyperparameter kHyperparameters[] = {Hyperparameter::positive("low", 1e-3),
                                               Hyperparameter::positive("high", 1e-1),
                                               counted("stage", 1000),
                                               counted("probe", 100),
                                               counted("probes", 10),
                                               counted("longest", 8000)};
constexpr ControllerState kState[] = {
    {"rate", 0}, {"until", 0, true}, {"doublings", 0, true}, {"validates", 0, true}};
constexpr ControllerWord kWords[] = {{"metric", "val_loss"}};

constexpr std::int64_t kSplitLosses = 16;  // of a probe that evaluates
constexpr double kBroken = std::numeric_limits<double>::infinity();

/// A quadratic of a variable scaled to [0, 1].
struct Quadratic {
  std::array<double, 3> c{};
  double at(double u) const { return c[0] + u * (c[1] + u * c[2]); }
};

/// Least squares, by Gaussian elimination of the normal equations.
Quadratic fitted(std::span<const double> u, std::span<const double> y) {
  std::array<std::array<double, 4>, 3> m{};
  for (std::size_t i = 0; i < u.size(); ++i) {
    const std::array<double, 3> row{1, u[i], u[i] * u[i]};
    for (std::size_t r = 0; r < 3; ++r) {
      for (std::size_t c = 0; c < 3; ++c) m[r][c] += row[r] * row[c];
      m[r][3] += row[r] * y[i];
    }
  }
  for (std::size_t p = 0; p < 3; ++p) {
    std::size_t best = p;
    for (std::size_t r = p; r < 3; ++r)
      best = std::fabs(m[r][p]) > std::fabs(m[best][p]) ? r : best;
    std::swap(m[p], m[best]);
    for (std::size_t r = 0; r < 3; ++r) {
      if (r == p || m[p][p] == 0) continue;
      const double factor = m[r][p] / m[p][p];
      for (std::size_t c = p; c < 4; ++c) m[r][c] -= factor * m[p][c];
    }
  }
  Quadratic result;
  for (std::size_t p = 0; p < 3; ++p) result.c[p] = m[p][p] == 0 ? 0 : m[p][3] / m[p][p];
  return result;
}

/// The quadratic that is left once outliers of the first half are left out.
Quadratic smoothed(std::span<const double> losses, int rounds) {
  const std::size_t n = losses.size();
  const double last = static_cast<double>(n - 1);
  std::vector<double> u(n), y(losses.begin(), losses.end());
  for (std::size_t i = 0; i < n; ++i) u[i] = static_cast<double>(i) / last;
  for (int round = 0; round < rounds; ++round) {
    const Quadratic curve = fitted(u, y);
    const std::size_t furthest = std::max<std::size_t>(1, 3 * u.size() / 100);
    std::vector<std::size_t> order(u.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{},
                             [&](std::size_t i) { return std::fabs(y[i] - curve.at(u[i])); });
    std::vector<bool> out(u.size(), false);
    for (std::size_t k = 0; k < furthest; ++k) out[order[k]] = u[order[k]] < 0.5;
    std::vector<double> kept_u, kept_y;
    for (std::size_t i = 0; i < u.size(); ++i) {
      if (out[i]) continue;
      kept_u.push_back(u[i]);
      kept_y.push_back(y[i]);
    }
    if (kept_u.size() == u.size() || kept_u.size() < 4) break;
    u = std::move(kept_u);
    y = std::move(kept_y);
  }
  return fitted(u, y);
}

/// a exp(-e^beta x) + c with the least squares a and c.
struct Exponential {
  double a = 0, c = 0, residual = 0;
};
Exponential exponential(std::span<const double> y, double beta) {
  const double n = static_cast<double>(y.size()), rate = math::exp(beta);
  double e1 = 0, e2 = 0, y1 = 0, ey = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double e = math::exp(-rate * static_cast<double>(i));
    e1 += e;
    e2 += e * e;
    y1 += y[i];
    ey += e * y[i];
  }
  Exponential fit;
  const double determinant = n * e2 - e1 * e1;
  fit.a = determinant > 1e-12 * n * e2 ? (n * ey - e1 * y1) / determinant : 0;
  fit.c = (y1 - fit.a * e1) / n;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double error = fit.a * math::exp(-rate * static_cast<double>(i)) + fit.c - y[i];
    fit.residual += error * error;
  }
  return fit;
}

/// The beta of the lowest residual: the best of a grid, then golden sections about it.
double best_beta(std::span<const double> y) {
  constexpr double kFrom = -14, kStep = 0.25, kGolden = 0.6180339887498949;
  constexpr int kPoints = 65;
  const auto residual = [&](double beta) { return exponential(y, beta).residual; };
  double best = kFrom;
  for (int i = 1; i < kPoints; ++i) {
    const double beta = kFrom + kStep * i;
    if (residual(beta) < residual(best)) best = beta;
  }
  double low = best - kStep, high = best + kStep;
  while (high - low > 1e-5) {
    const double left = high - kGolden * (high - low), right = low + kGolden * (high - low);
    (residual(left) <= residual(right) ? high : low) =
        residual(left) <= residual(right) ? right : left;
  }
  return 0.5 * (low + high);
}

/// Shares of the way from low to high, by their logarithm: the first at random, each other as far
/// from all before as can be. That is what the lower confidence bound of the authors' code comes
/// to, whose deviation counts a million times the mean.
std::vector<double> places(std::size_t count, Key key) {
  constexpr int kGrid = 256;
  std::vector<double> tried{key.uniform(0)};
  while (tried.size() < count) {
    double best = 0, furthest = -1;
    for (int i = 0; i <= kGrid; ++i) {
      const double place = static_cast<double>(i) / kGrid;
      double nearest = 2;
      for (const double each : tried) nearest = std::min(nearest, std::fabs(each - place));
      if (nearest <= furthest) continue;
      furthest = nearest;
      best = place;
    }
    tried.push_back(best);
  }
  return tried;
}

struct Lengths {
  std::int64_t stage, probe;
};
Lengths lengths_of(const Controller& it) {
  const auto whole = [&](std::string_view name) {
    return static_cast<std::int64_t>(number_of(it.hyperparameters, name));
  };
  const auto factor = std::int64_t{1} << static_cast<int>(number_of(it.state, "doublings"));
  return {whole("stage") * factor, whole("probe") * factor};
}

/// The predicted loss at the end of a stage at this rate.
double predicted(const Lengths& lengths, bool validates, double rate, const SearchHost& host) {
  std::vector<double> losses;
  host.restore();
  const std::int64_t interval =
      validates ? std::max<std::int64_t>(1, lengths.probe / kSplitLosses) : 1;
  const double before = validates ? host.evaluate() : kBroken;
  for (std::int64_t k = 1; k <= lengths.probe; ++k) {
    double loss = host.update(rate);
    if (!std::isfinite(loss)) return kBroken;
    if (k % interval != 0) continue;
    if (validates) loss = host.evaluate();
    if (!std::isfinite(loss)) return kBroken;
    losses.push_back(loss);
  }
  if (losses.size() < 4 || std::ranges::any_of(losses, [&](double x) { return x >= before; }))
    return losses.back();
  return forecast_loss(losses, static_cast<double>(lengths.stage) / static_cast<double>(interval),
                       validates ? 1 : 10);
}

}  // namespace

double forecast_loss(std::span<const double> losses, double at, int rounds) {
  require<ConfigError>(losses.size() >= 4, "[autolrs] expected 4 losses or more, got ",
                       losses.size());
  const Quadratic curve = smoothed(losses, rounds);
  std::vector<double> smooth;
  for (std::size_t i = 0; i < losses.size(); ++i)
    smooth.push_back(curve.at(static_cast<double>(i) / static_cast<double>(losses.size() - 1)));
  const double beta = best_beta(smooth);
  const Exponential fit = exponential(smooth, beta);
  return fit.a * math::exp(-math::exp(beta) * at) + fit.c;
}

bool search_due(const Controller& controller, std::int64_t updates) {
  return controller.rule->name == "autolrs" &&
         static_cast<double>(updates) >= number_of(controller.state, "until");
}

void search(Controller& controller, std::int64_t updates, Key key, const SearchHost& host) {
  require<ConfigError>(search_due(controller, updates), "[autolrs] no search is due after ",
                       updates, " updates");
  const double low = number_of(controller.hyperparameters, "low"),
               high = number_of(controller.hyperparameters, "high");
  const Lengths lengths = lengths_of(controller);
  double &doublings = number_of(controller.state, "doublings"),
         &validates = number_of(controller.state, "validates");
  double best_rate = low, best = kBroken;
  host.snapshot();
  for (const double place :
       places(static_cast<std::size_t>(number_of(controller.hyperparameters, "probes")),
              key.fold(static_cast<std::uint64_t>(updates)))) {
    const double rate = low * math::exp(place * math::log(high / low));
    const double score = predicted(lengths, validates != 0, rate, host);
    if (score < best) {
      best = score;
      best_rate = rate;
    }
  }
  host.restore();
  number_of(controller.state, "rate") = best_rate;
  number_of(controller.state, "until") = static_cast<double>(updates + lengths.stage);
  controller.series.insert(controller.series.end(),
                           {static_cast<double>(updates), best_rate, best});
  if (static_cast<double>(2 * lengths.stage) <= number_of(controller.hyperparameters, "longest"))
    doublings += 1;
  else
    validates = 1;
}

/// One value a stage: before each of them, `probes` values between low and high are tried for
/// `probe` updates from the same state, and that of the lowest forecast is taken. Stage and probe
/// double until a stage is as long as `longest`; from then on probes go by the loss of the first
/// split. The series is, for each stage, the updates before it, its value and the forecast. Source:
/// Jin et al., arXiv 2105.10762.
extern constinit const ControllerRule kAutoLrs{
    .name = "autolrs",
    .hyperparameters = kHyperparameters,
    .state = kState,
    .observe = [](Controller&, const Observation&) {},
    .value =
        [](const Controller& it) {
          const double rate = number_of(it.state, "rate");
          return rate > 0 ? rate : number_of(it.hyperparameters, "low");
        },
    .words = kWords,
    .required = 2,
    .series = true};

}  // namespace ebb
