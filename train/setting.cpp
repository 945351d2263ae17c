#include "train/setting.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace ebb::train {

void check(const Setting& setting, const std::string& text) {
  const auto expect = [&](bool ok, std::string_view expected) {
    require<ConfigError>(ok, "[command line] --", setting.name, ": expected ", expected, ", got '", text, "'");
  };
  std::int64_t integer = 0;
  double number = 0;
  switch (setting.kind) {
    case Setting::Kind::flag: return expect(text == "true" || text == "false", "true or false");
    case Setting::Kind::integer: expect(parse(text, integer), "an integer"); break;
    case Setting::Kind::real: expect(parse(text, number), "a number"); break;
    case Setting::Kind::text:
      expect(!text.empty() || setting.fallback.empty(), setting.value);
      require<ConfigError>(setting.choices.empty() || std::ranges::find(setting.choices, text) != setting.choices.end(),
                           "[command line] --", setting.name, ": ", unknown_word("value", text, setting.choices));
      return;
  }
  if (setting.kind == Setting::Kind::integer) number = static_cast<double>(integer);
  require<ConfigError>(setting.accepts == nullptr || setting.accepts(number), "[command line] --", setting.name, ": expected ",
                       setting.expected, ", got ", text);
}

const Setting& find_setting(const std::vector<Setting>& settings, std::string_view name) {
  const auto found = std::ranges::find(settings, name, &Setting::name);
  require<ConfigError>(found != settings.end(), "[options] this program has no --", name);
  return *found;
}

}  // namespace ebb::train
