#include <doctest/doctest.h>

#include <cmath>
#include <optional>

#include "core/error.h"
#include "schedules/cpt.h"
#include "schedules/range.h"
#include "schedules/schedule.h"
#include "tests/schedules_random.h"

using namespace ebb;

namespace {

bool holds(const ValueRange& range, const Value& value) {
  if (!range.known) return true;
  if (value.named != range.named) return false;
  return !value.is_number() || (value.number >= range.low && value.number <= range.high);
}

Bound bound_of(const Schedule& schedule, std::int64_t updates,
               const Schedule::References& references) {
  return schedule.bind({.updates = updates,
                        .updates_per_epoch = 20,
                        .samples_per_update = 8,
                        .tokens_per_update = 16},
                       references, "stem");
}

}  // namespace

TEST_CASE("a range holds every value of random schedules, and segments are their values") {
  const Schedule::References references{{{"other", Schedule::parse("1->0.5 : cos")}}};
  std::int64_t checked = 0, told = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    RandomSchedule random(Key(11).fold(seed));
    const Schedule schedule =
        seed % 4 == 0 ? random.mixed(3) : random.number_valued(static_cast<int>(1 + seed % 5));
    const std::int64_t updates = 1 + random.draw(300);
    CAPTURE(schedule.text());
    CAPTURE(updates);
    std::optional<Bound> made;
    try {
      made = bound_of(schedule, updates, references);
    } catch (const ConfigError&) {
      continue;  // parts that do not fill their span, say
    }
    const Bound& bound = *made;
    for (int i = 0; i < 20; ++i) {
      const std::int64_t first = random.draw(static_cast<std::uint64_t>(updates));
      const std::int64_t last =
          first + random.draw(static_cast<std::uint64_t>(updates - first + 1));
      const ValueRange range = range_of(bound, first, last);
      CAPTURE(first);
      CAPTURE(last);
      bool all = true;
      for (std::int64_t t = first; t <= last; ++t) all = all && holds(range, bound.value(t));
      CHECK(all);
      ++checked;
      told += range.known ? 1 : 0;
    }
    std::int64_t t = 0;
    bool same = true;
    for (const Segment& segment : segments_of(bound)) {
      same = same && segment.first == t;
      for (std::int64_t end = t + segment.updates; t < end; ++t) {
        const Value value = bound.value(t);
        same = same && (value == segment.value ||
                        (std::isnan(value.number) && std::isnan(segment.value.number)));
      }
    }
    CHECK(same);
    CHECK(t == updates);
  }
  CHECK(checked > 20000);
  CHECK(2 * told > checked);
}

TEST_CASE("segments of the named schedules are few however long the run") {
  for (const std::string& name : precision_schedule_names()) {
    CAPTURE(name);
    for (const std::int64_t updates : {std::int64_t{640}, std::int64_t{100'000'000'000}}) {
      const Bound bound = precision_schedule(name).bind(updates);
      std::int64_t sum = 0;
      const std::vector<Segment> segments = segments_of(bound);
      for (const Segment& segment : segments) sum += segment.updates;
      CHECK(sum == updates);
      CHECK(segments.size() <= 8 * 6);
    }
  }
  const Bound bits = Schedule::parse("8 @50% ; 4 @rest").bind(std::int64_t{1} << 52);
  const std::vector<Segment> halves = segments_of(bits);
  REQUIRE(halves.size() == 2);
  CHECK(halves[1].first == std::int64_t{1} << 51);
  CHECK(halves[1].value.number == 4);
  CHECK(precision_cost(bits, 8, 8).mean_bits == 6);
}

TEST_CASE("what changes at every update of a long run has a stated limit") {
  CHECK_THROWS_WITH_AS(segments_of(Schedule::parse("1->0 : cos").bind(1'000'000'000)),
                       doctest::Contains("more than 1048576 times"), ConfigError);
}
