// The schedule parser: any bytes are refused with a ConfigError, or are a schedule that prints,
// reads back, binds and evaluates.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "schedules/schedule.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const ebb::Schedule schedule =
        ebb::Schedule::parse({reinterpret_cast<const char*>(data), size});
    if (!(ebb::Schedule::parse(schedule.text()) == schedule)) std::abort();
    const ebb::Totals totals{.updates = 1000,
                             .updates_per_epoch = 100,
                             .samples_per_update = 128,
                             .tokens_per_update = 4096};
    const ebb::Bound bound =
        schedule.bind(totals, {{{"other", ebb::Schedule::parse("cos")}}}, "stem");
    for (const std::int64_t t : {0, 1, 99, 500, 999, 1000, 1001}) (void)bound.value(t);
  } catch (const ebb::ConfigError&) {
  }
  return 0;
}
