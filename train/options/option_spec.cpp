#include "train/options/option_spec.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "train/options/groups.h"

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
  OptionSpec option = count("layers", std::move(fallback), std::move(help));
  option.expected = "1 to 1000";
  option.accepts = [](double n) { return n >= 1 && n <= 1000; };
  return option;
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

void check(const OptionSpec& option, const std::string& text) {
  const auto expect = [&](bool ok, std::string_view expected) {
    require<ConfigError>(ok, "[command line] --", option.name, ": expected ", expected, ", got '",
                         text, "'");
  };
  std::int64_t integer = 0;
  double number = 0;
  switch (option.kind) {
    case OptionSpec::Kind::flag: return expect(text == "true" || text == "false", "true or false");
    case OptionSpec::Kind::integer: expect(parse_number(text, integer), "an integer"); break;
    case OptionSpec::Kind::real: expect(parse_number(text, number), "a number"); break;
    case OptionSpec::Kind::text:
      expect(!text.empty() || option.may_be_empty, option.value);
      require<ConfigError>(
          option.choices.empty() || std::ranges::find(option.choices, text) != option.choices.end(),
          "[command line] --", option.name, ": ", unknown_word("value", text, option.choices));
      if (option.parse != nullptr) naming_option(option.name, [&] { option.parse(text); });
      return;
  }
  if (option.kind == OptionSpec::Kind::integer) number = static_cast<double>(integer);
  require<ConfigError>(option.accepts == nullptr || option.accepts(number), "[command line] --",
                       option.name, ": expected ", option.expected, ", got ", text);
}

std::string text_of_given(const OptionSpec& option, const std::string& given) {
  return option.content == nullptr || given.empty() ? given : option.content(given);
}

std::string canonical(const OptionSpec& option, const std::string& text) {
  std::int64_t integer = 0;
  double real = 0;
  if (option.kind == OptionSpec::Kind::integer && parse_number(text, integer))
    return to_text(integer);
  if (option.kind == OptionSpec::Kind::real && parse_number(text, real)) return to_text(real);
  return text;
}

}  // namespace ebb::train
