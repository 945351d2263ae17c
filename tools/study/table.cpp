#include "tools/study/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/printable.h"
#include "core/text.h"
#include "train/app/progress.h"
#include "train/app/tables.h"

namespace ebb::study {
namespace {

using train::format_duration;
using train::format_fixed;

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kRed = "\x1b[31m";
constexpr const char* kGreen = "\x1b[32m";

int width_of(std::string_view text) {  // of UTF-8 without wide characters
  return static_cast<int>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

// The first characters, with dots if there are more.
std::string cut(const std::string& text, int width) {
  if (width_of(text) <= width) return text;
  std::string shown;
  int used = 0;
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    if (begins && ++used > width - 3) break;
    shown += c;
  }
  return width >= 3 ? shown + "..." : std::string();
}

// Both ends of a name: the middle says least.
std::string elided(const std::string& name, int width) {
  const int length = static_cast<int>(name.size());
  if (length <= width) return name;
  if (width < 5) return name.substr(0, static_cast<std::size_t>(width));
  const int front = (width - 3) / 2, back = width - 3 - front;
  return concat(name.substr(0, static_cast<std::size_t>(front)), "...",
                name.substr(static_cast<std::size_t>(length - back)));
}

std::string bar(double share, int width, bool blocks) {
  const int full = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * width));
  std::string text;
  for (int i = 0; i < width; ++i)
    text += blocks ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : ".");
  return text;
}

std::string percent(double share) {
  return concat(static_cast<int>(std::floor(100 * share)), " %");
}

enum Column : std::size_t { kName, kBar, kPercent, kLoss, kScore, kBits, kState, kColumns };

struct Row {
  State state;
  std::array<std::string, kColumns> cells{};
};

std::string state_text(const Entry& entry) {
  switch (entry.state) {
    case State::queued: return "queued";
    case State::stopping: return "stopping";
    case State::elsewhere: return entry.note;
    case State::done:
      return entry.reran ? concat("done in ", format_duration(entry.seconds)) : "done before";
    case State::failed: return concat("failed: ", entry.note.substr(0, entry.note.find('\n')));
    case State::running: break;
  }
  const Position& position = entry.position;
  if (position.done <= entry.begin) return "starting";
  return concat("ETA ",
                format_duration(entry.seconds / static_cast<double>(position.done - entry.begin) *
                                static_cast<double>(position.iterations - position.done)));
}

Row row_of(const Entry& entry, const Terminal& terminal) {
  Row row{.state = entry.state};
  row.cells[kName] = printable(entry.run->name);
  row.cells[kState] = printable(state_text(entry));
  const Position& position = entry.position;
  if (position.iterations == 0 || position.done == 0 || entry.state == State::failed) return row;
  const double share =
      static_cast<double>(position.done) / static_cast<double>(position.iterations);
  row.cells[kBar] = bar(share, 12, terminal.blocks);
  row.cells[kPercent] = percent(share);
  if (position.loss) row.cells[kLoss] = concat("loss ", format_fixed(*position.loss, 4));
  if (!position.metric.empty())
    row.cells[kScore] = printable(concat(position.metric, ' ', format_fixed(position.score, 4)));
  row.cells[kBits] = position.bits;
  return row;
}

// Which rows are shown where there is no room for all.
std::vector<std::size_t> chosen(const std::vector<Entry>& entries, std::size_t room) {
  std::vector<std::size_t> order(entries.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (order.size() <= room) return order;
  const auto rank = [&](std::size_t i) {
    switch (entries[i].state) {
      case State::running:
      case State::stopping: return 0;
      case State::failed: return 1;
      case State::elsewhere: return 2;
      case State::queued: return 3;
      case State::done: return 4;
    }
    return 5;
  };
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  order.resize(room);
  std::ranges::sort(order);
  return order;
}

// Columns as wide as what is in them; what says least is left out where the terminal is narrow.
std::array<int, kColumns> widths_of(const std::vector<Row>& rows, int width) {
  std::array<int, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      if (i == kState && row.state == State::failed) continue;  // takes the rest of its line
      widths[i] = std::max(widths[i], width_of(row.cells[i]));
    }
  }
  const auto excess = [&] {
    int total = -2;
    for (const int each : widths) total += each > 0 ? each + 2 : 0;
    return total - (width - 1);
  };
  constexpr int kShortestName = 16;
  const int name = widths[kName];
  for (const Column column : {kBits, kLoss, kBar, kScore, kPercent}) {
    if (excess() <= std::max(0, name - kShortestName)) break;
    widths[column] = 0;
  }
  if (excess() > 0) widths[kName] = std::max(0, widths[kName] - excess());
  if (excess() > 0) widths[kState] = std::max(0, widths[kState] - excess());
  return widths;
}

Line line_of(const Row& row, const std::array<int, kColumns>& widths, const Terminal& terminal) {
  const auto painted = [&](const char* paint, const std::string& text) {
    return terminal.color && !text.empty() ? concat(paint, text, "\x1b[0m") : text;
  };
  Line line;
  const auto add = [&](std::string cell, int width, bool right, const char* paint) {
    const std::string pad(static_cast<std::size_t>(std::max(0, width - width_of(cell))), ' ');
    if (line.width > 0) line = {line.text + "  ", line.width + 2};
    line.width += width_of(cell) + static_cast<int>(pad.size());
    if (paint != nullptr) cell = painted(paint, cell);
    line.text += right ? pad + cell : cell + pad;
  };
  const bool still = row.state == State::queued || row.state == State::elsewhere;
  add(elided(row.cells[kName], widths[kName]), widths[kName], false,
      row.state == State::running ? kBold
      : still                     ? kDim
                                  : nullptr);
  if (row.state == State::failed) {
    add(cut(row.cells[kState], std::max(0, terminal.width - line.width - 3)), 0, false, kRed);
    return line;
  }
  for (const Column column : {kBar, kPercent, kLoss, kScore, kBits}) {
    if (widths[column] == 0) continue;
    add(row.cells[column], widths[column], column == kPercent || column == kLoss,
        column == kBar && row.state == State::done ? kGreen : nullptr);
  }
  add(cut(row.cells[kState], widths[kState]), 0, false,
      row.state == State::done ? kGreen
      : still                  ? kDim
                               : nullptr);
  return line;
}

}  // namespace

std::string counts(const std::vector<Entry>& entries) {
  const auto count = [&](auto... states) {
    return std::ranges::count_if(
        entries, [&](const Entry& entry) { return ((entry.state == states) || ...); });
  };
  std::string text = concat(count(State::done), " of ", entries.size(), " done");
  const auto add = [&](std::int64_t number, std::string_view what) {
    if (number > 0) text += concat(", ", number, what);
  };
  add(count(State::running, State::stopping), " running");
  add(count(State::elsewhere), " elsewhere");
  add(count(State::queued), " queued");
  add(count(State::failed), " failed");
  return text;
}

Terminal Terminal::of(int fd) {
  Terminal terminal;
  struct winsize size {};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    terminal.width = size.ws_col;
    terminal.height = size.ws_row;
  }
  const auto text = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  terminal.color = text("NO_COLOR").empty();
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string locale = text(name);
    if (locale.empty()) continue;
    terminal.blocks =
        locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos;
    break;
  }
  return terminal;
}

std::vector<Line> draw(const Board& board, const std::vector<Entry>& entries,
                       const Terminal& terminal) {
  const auto plain = [&](const std::string& text) {
    const std::string shown = cut(printable(text), terminal.width - 1);
    return Line{shown, width_of(shown)};
  };
  const auto room = static_cast<std::size_t>(std::max(1, terminal.height - 4));
  std::vector<Row> rows;
  for (const std::size_t index : chosen(entries, room))
    rows.push_back(row_of(entries[index], terminal));
  const std::array<int, kColumns> widths = widths_of(rows, terminal.width);
  std::vector<Line> lines{plain(board.title)};
  for (const Row& row : rows) lines.push_back(line_of(row, widths, terminal));
  if (rows.size() < entries.size())
    lines.push_back(plain(concat("... and ", entries.size() - rows.size(), " more")));
  lines.push_back(plain(concat(counts(entries), "; ", format_duration(board.elapsed), " so far",
                               board.eta ? concat(", ETA ", format_duration(*board.eta)) : "")));
  return lines;
}

std::string Screen::show(const std::vector<Line>& lines, const Terminal& terminal) {
  int up = 0;  // a terminal that has become narrower shows a line of before as several
  for (const int width : widths_) up += 1 + std::max(0, width - 1) / terminal.width;
  std::string text = up > 0 ? concat("\x1b[", up, "A\r\x1b[J") : "";
  widths_.clear();
  for (const Line& line : lines) {
    text += line.text + "\n";
    widths_.push_back(line.width);
  }
  return text;
}

std::optional<double> seconds_left(const std::vector<Entry>& entries, int jobs) {
  double seconds = 0, steps = 0;  // done here
  double known = 0, known_steps = 0;
  for (const Entry& entry : entries) {
    if (entry.position.iterations > 0) {
      ++known;
      known_steps += static_cast<double>(entry.position.iterations);
    }
    if (entry.seconds > 0 && entry.position.done > entry.begin) {
      seconds += entry.seconds;
      steps += static_cast<double>(entry.position.done - entry.begin);
    }
  }
  if (steps == 0) return std::nullopt;
  double open = 0, longest = 0;  // steps to do here
  std::int64_t runs = 0;
  for (const Entry& entry : entries) {
    if (entry.state != State::running && entry.state != State::queued) continue;
    const Position& position = entry.position;
    const double left = position.iterations > 0
                            ? static_cast<double>(position.iterations - position.done)
                            : known_steps / known;  // a run that has not begun is like the others
    open += left;
    longest = std::max(longest, left);
    ++runs;
  }
  if (runs == 0) return std::nullopt;
  const auto at_once = static_cast<double>(std::clamp<std::int64_t>(runs, 1, jobs));
  return seconds / steps * std::max(longest, open / at_once);
}

std::string si_text(double value) {
  constexpr std::string_view kPrefixes[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
  std::size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  const int decimals = value >= 99.5 || prefix == 0 ? 0 : value >= 9.995 ? 1 : 2;
  return concat(format_fixed(value, decimals), prefix == 0 ? "" : " ", kPrefixes[prefix]);
}

}  // namespace ebb::study
