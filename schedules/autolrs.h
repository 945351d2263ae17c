#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/key.h"
#include "schedules/controller.h"

namespace ebb {

/// What a controller that tries values before it decides needs of the run. None of it may advance
/// the clock of the run.
struct SearchHost {
  std::function<void()> snapshot{};  ///< of everything that an update changes
  std::function<void()> restore{};   ///< the state of the snapshot
  /// One update at this value of the controller, on the batches that follow the snapshot. Its
  /// training loss; NaN where training broke down.
  std::function<double(double value)> update{};
  std::function<double()> evaluate{};  ///< the loss of the monitored split
};

/// Whether the controller has to search before the next update, after so many.
bool search_due(const Controller& controller, std::int64_t updates);
/// Tries values and takes that with the lowest predicted loss for the stage that begins. A pure
/// function of the controller, the key and what the host tells.
/// @throws ConfigError unless search_due
void search(Controller& controller, std::int64_t updates, Key key, const SearchHost& host);

/// The loss that a series of losses comes to at a later x, the series standing at 0, 1, ...: in
/// each round a quadratic is fitted and the points that lie furthest from it (a share of 3 %, at
/// least one) are left out if they are in the first half; to the last quadratic a exp(-e^beta x) +
/// c is fitted, and read there. Source: Jin et al., arXiv 2105.10762. @throws ConfigError for fewer
/// than 4 losses
double forecast_loss(std::span<const double> losses, double at, int rounds);

}  // namespace ebb
