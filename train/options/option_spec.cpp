#include "train/options/option_spec.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace ebb::train {

OptionSpec OptionSpec::count(std::string name, std::string fallback, std::string help, int least) {
  return {
      .name = std::move(name),
      .value = "N",
      .kind = Kind::integer,
      .fallback = std::move(fallback),
      .help = std::move(help),
      .expected = least == 0 ? "0 and more" : "1 and more",
      .accepts = least == 0 ? [](double n) { return n >= 0; } : [](double n) { return n >= 1; }};
}

OptionSpec OptionSpec::depth(std::string fallback, std::string help) {
  OptionSpec setting = count("layers", std::move(fallback), std::move(help));
  setting.expected = "1 to 1000";
  setting.accepts = [](double n) { return n >= 1 && n <= 1000; };
  return setting;
}

OptionSpec OptionSpec::probability(std::string name, std::string fallback, std::string help) {
  return {.name = std::move(name),
          .value = "P",
          .kind = Kind::real,
          .fallback = std::move(fallback),
          .help = std::move(help),
          .expected = "a probability of 0 to below 1",
          .accepts = [](double p) { return p >= 0 && p < 1; },
          .use = Use::training};
}

void check(const OptionSpec& setting, const std::string& text) {
  const auto expect = [&](bool ok, std::string_view expected) {
    require<ConfigError>(ok, "[command line] --", setting.name, ": expected ", expected, ", got '",
                         text, "'");
  };
  std::int64_t integer = 0;
  double number = 0;
  switch (setting.kind) {
    case OptionSpec::Kind::flag: return expect(text == "true" || text == "false", "true or false");
    case OptionSpec::Kind::integer: expect(parse_number(text, integer), "an integer"); break;
    case OptionSpec::Kind::real: expect(parse_number(text, number), "a number"); break;
    case OptionSpec::Kind::text:
      expect(!text.empty() || setting.fallback.empty(), setting.value);
      require<ConfigError>(setting.choices.empty() ||
                               std::ranges::find(setting.choices, text) != setting.choices.end(),
                           "[command line] --", setting.name, ": ",
                           unknown_word("value", text, setting.choices));
      return;
  }
  if (setting.kind == OptionSpec::Kind::integer) number = static_cast<double>(integer);
  require<ConfigError>(setting.accepts == nullptr || setting.accepts(number), "[command line] --",
                       setting.name, ": expected ", setting.expected, ", got ", text);
}

const OptionSpec& find_setting(const std::vector<OptionSpec>& settings, std::string_view name) {
  const auto found = std::ranges::find(settings, name, &OptionSpec::name);
  require<ConfigError>(found != settings.end(), "[options] this program has no --", name);
  return *found;
}

}  // namespace ebb::train
