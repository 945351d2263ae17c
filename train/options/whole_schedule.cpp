#include "train/options/whole_schedule.h"

#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "schedules/schedule.h"
#include "train/options/try_all.h"

namespace ebb::train {

OptionSpec whole_schedule_option(std::string name, std::string help, Conflict conflict) {
  return {.name = std::move(name),
          .value = "EXPR",
          .help = std::move(help),
          .parse = [](const std::string& text) { static_cast<void>(Schedule::parse(text)); },
          .conflict = conflict,
          .use = OptionSpec::Use::training};
}

Bound whole_schedule(const Options& options, std::string_view option, std::int64_t steps_per_epoch,
                     std::int64_t low, std::int64_t high, std::string_view expected) {
  const std::string& text = options.text(option);
  const Schedule schedule = Schedule::parse(text);
  require<ConfigError>(!schedule.is_closed_loop(), "[command line] --", option, ": '", text,
                       "' has a controller, but batches are a pure function of the iteration, and "
                       "costs are known before the run");
  require<ConfigError>(schedule.is_whole(), "[command line] --", option, ": expected ", expected,
                       ", got '", text, "', whose values need not be whole; round(...) them");
  const std::int64_t updates =
      options.has("iterations")
          ? options.integer("iterations")
          : checked_mul(options.integer("epochs"), steps_per_epoch, "[command line] --epochs");
  Bound bound = schedule.bind({.updates = updates,
                               .updates_per_epoch = steps_per_epoch,
                               .samples_per_update = options.integer("batch")});
  const auto within = [=](double value) {
    return value >= static_cast<double>(low) && value <= static_cast<double>(high);
  };
  const auto fine = [&](const ValueRange& range) {
    return range.is_number() && within(range.low) && within(range.high);
  };
  try_all(option, bound, fine, [&](std::int64_t t) {
    const double value = bound(t);
    require<ConfigError>(within(value), "expected ", expected, ", got ", value);
  });
  return bound;
}

}  // namespace ebb::train
