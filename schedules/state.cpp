#include "schedules/state.h"

#include <array>
#include <charconv>

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {
namespace {

constexpr std::string_view kVersion = "1";

/// FNV-1a, 64 bits.
std::string hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[hash >> shift & 15];
  return digits;
}

std::string hex(double x) {
  std::array<char, 40> buffer;
  return {
      buffer.data(),
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), x, std::chars_format::hex).ptr};
}

/// The lines of a state, read in their order.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  std::string_view value_of(std::string_view key) {
    ++line_;
    const std::size_t end = text_.find('\n');
    const std::string_view line = text_.substr(0, end);
    require<DataError>(end != std::string_view::npos && line.starts_with(key) &&
                           line.substr(key.size()).starts_with('='),
                       "[schedule state] line ", line_, ": expected ", key, "=..., got '",
                       line.substr(0, 60), "'");
    text_.remove_prefix(end + 1);
    return line.substr(key.size() + 1);
  }
  /// Numbers with blanks between them.
  std::vector<double> numbers(std::string_view list) const {
    std::vector<double> values;
    while (!list.empty()) {
      const std::size_t blank = std::min(list.find(' '), list.size());
      values.push_back(number(list.substr(0, blank)));
      list.remove_prefix(std::min(blank + 1, list.size()));
    }
    return values;
  }
  double number(std::string_view digits) const {
    double value = 0;
    const auto [end, code] = read_real(digits, value, std::chars_format::hex);
    require<DataError>(
        code == std::errc{} && end == digits.data() + digits.size() && !digits.empty(),
        "[schedule state] line ", line_, ": expected a hex float, got '", digits.substr(0, 40),
        "'");
    return value;
  }
  bool at_end() const { return text_.empty(); }

 private:
  std::string_view text_;
  int line_ = 0;
};

std::string described(const Controller& controller) {
  return concat(controller.rule->name, controller.words.empty() ? "" : " of ",
                join_words(controller.words, " "));
}

void load_controller(Lines& lines, const std::string& prefix, Controller& controller) {
  const std::string_view saved = lines.value_of(prefix + "controller");
  require<DataError>(saved == described(controller), "[schedule state] controller ", prefix,
                     " was saved as '", saved, "' and is now '", described(controller),
                     "': rebind changes numbers and curves, not what a controller is or watches");
  for (auto& [name, number] : controller.state)
    number = lines.number(lines.value_of(concat(prefix, name)));
  if (!controller.rule->series) return;
  controller.series = lines.numbers(lines.value_of(prefix + "series"));
  static_cast<void>(controller.value());  // refuses a phase that is not there
}

}  // namespace

std::string save_state(const Schedule& schedule, const ScheduleState& state) {
  const std::string expression = schedule.text();
  std::string text =
      concat("version=", kVersion, "\nexpression=", expression, "\nhash=", hash_of(expression),
             "\nclock=", state.clock, "\ncontrollers=", state.controllers.size(), '\n');
  for (std::size_t i = 0; i < state.controllers.size(); ++i) {
    const Controller& controller = state.controllers[i];
    const std::string prefix = concat(i, '.');
    text += concat(prefix, "controller=", described(controller), '\n');
    for (const auto& [name, number] : controller.state)
      text += concat(prefix, name, '=', hex(number), '\n');
    if (!controller.rule->series) continue;
    text += concat(prefix, "series=");
    for (std::size_t k = 0; k < controller.series.size(); ++k)
      text += concat(k == 0 ? "" : " ", hex(controller.series[k]));
    text += '\n';
  }
  return text;
}

ScheduleState load_state(std::string_view text, const Schedule& schedule,
                         const std::vector<Controller>& fresh, LoadPolicy policy) {
  Lines lines(text);
  const std::string_view version = lines.value_of("version");
  require<DataError>(version == kVersion, "[schedule state] expected version ", kVersion, ", got '",
                     version, "'");
  const std::string_view expression = lines.value_of("expression");
  const std::string_view hash = lines.value_of("hash");
  require<DataError>(hash == hash_of(expression),
                     "[schedule state] the hash is not that of the expression: the text was "
                     "changed");
  require<DataError>(policy == LoadPolicy::rebind || expression == schedule.text(),
                     "[schedule state] was saved under '", expression, "', but the schedule is '",
                     schedule.text(), "'; give the same one, or rebind to the new one");
  ScheduleState state{.controllers = fresh};
  require<DataError>(parse_canonical(lines.value_of("clock"), state.clock) && state.clock >= 0,
                     "[schedule state] expected a clock of 0 and more");
  std::int64_t count = 0;
  require<DataError>(
      parse_canonical(lines.value_of("controllers"), count) && count == std::ssize(fresh),
      "[schedule state] of '", expression, "' has ", count, " controllers, but '", schedule.text(),
      "' has ", fresh.size(),
      ": rebind changes numbers and curves, not which controllers there are");
  for (std::size_t i = 0; i < state.controllers.size(); ++i)
    load_controller(lines, concat(i, '.'), state.controllers[i]);
  require<DataError>(lines.at_end(), "[schedule state] goes on after its last controller");
  return state;
}

std::optional<std::vector<double>> recorded_series(std::string_view text) {
  std::string series;  // the key of the recorder's line
  for (const std::string& line : split_at(text, '\n')) {
    const std::size_t at = line.find(".controller=record");
    if (at != std::string::npos && series.empty()) series = concat(line.substr(0, at), ".series=");
    if (!series.empty() && line.starts_with(series))
      return Lines({}).numbers(std::string_view(line).substr(series.size()));
  }
  return std::nullopt;
}

}  // namespace ebb
