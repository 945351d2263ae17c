#include "train/app/progress.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "train/app/tables.h"

namespace ebb::train {
namespace {

constexpr double kTerminalRhythm = 0.1, kPlainRhythm = 10.0;  // seconds
constexpr double kMemory = 0.95;                              // of the running mean
constexpr const char* kClearLine = "\r\x1b[K";

std::string two_digits(std::int64_t value) { return concat(value < 10 ? "0" : "", value); }

std::string percent(std::int64_t part, std::int64_t whole) {
  const double share = whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 1.0;
  return concat(format_fixed(std::floor(100 * share), 0), " %");
}

// How many of 0 .. n - 1 are multiples of `every`.
std::int64_t multiples_below(std::int64_t n, std::int64_t every) {
  return n <= 0 ? 0 : (n - 1) / every + 1;
}

// A part of the line, and how early it gives way where the terminal is narrow; 0 never does.
struct Part {
  std::string text;
  int gives_way;
  bool strong = false;
};

// What fits the columns of a line that must not reach its end, where terminals break it.
std::string join_fitting(std::vector<Part> parts, std::optional<std::size_t> columns, bool color) {
  std::erase_if(parts, [](const Part& part) { return part.text.empty(); });
  const auto length = [&] {
    std::size_t sum = 0;
    for (const Part& part : parts) sum += part.text.size() + 2;
    return sum - 2;
  };
  while (columns && parts.size() > 1 && length() >= *columns)
    parts.erase(std::ranges::max_element(parts, {}, &Part::gives_way));
  std::string line;
  for (const Part& part : parts) {
    const bool strong = color && part.strong;
    line += concat(line.empty() ? "" : "  ", strong ? "\x1b[1m" : "", part.text,
                   strong ? "\x1b[0m" : "");
  }
  return columns && length() >= *columns ? parts[0].text.substr(0, *columns - 1) : line;
}

}  // namespace

Progress::Progress(Course course, Style style, const History& before)
    : course_(std::move(course)), style_(std::move(style)), done_(course_.begin) {
  const auto kept = std::min(std::ssize(before.steps), course_.steps_per_epoch);
  for (auto row = before.steps.end() - kept; row != before.steps.end(); ++row)
    losses_.push_back(row->loss);
  for (const EvalRow& row : before.evaluations) note(row);
}

std::string Progress::step(const StepRow& row, double now) {
  losses_.push_back(row.loss);
  if (std::ssize(losses_) > course_.steps_per_epoch) losses_.pop_front();
  // The mean over all steps while there are few, so that the first numbers are not lost in a long
  // memory.
  const double keep =
      std::min(kMemory, static_cast<double>(seen_) / static_cast<double>(seen_ + 1));
  seconds_ = keep * seconds_ + (1 - keep) * row.seconds;
  done_ = row.iteration + 1;
  const bool first = seen_++ == 0, last = done_ == course_.total;
  if (style_.log_every && (last || done_ % *style_.log_every == 0)) return whole(describe(row));
  if (style_.log_every && !style_.terminal) return {};
  if (!first && !last && waits(now)) return {};
  if (style_.terminal) return rewritten(describe(row), now);
  shown_at_ = now;
  return describe(row) + "\n";
}

std::string Progress::evaluating(const std::string& split, std::int64_t done, double now) {
  if (!style_.terminal || waits(now)) return {};
  const std::int64_t pieces = pieces_of(split);
  const std::string steps = concat("steps ", done_, '/', course_.total);
  return rewritten(
      join_fitting({{steps, 1}, {concat("scoring ", split, ' ', percent(done, pieces)), 0, true}},
                   columns(), style_.color),
      now);
}

std::string Progress::evaluation(const EvalRow& row) {
  note(row);
  return whole(train::describe(row));
}

std::string Progress::describe(const StepRow& row) const {
  double sum = 0;  // anew, in the order of training_loss, which it is
  for (const double loss : losses_) sum += loss;
  const auto epochs = [&](std::int64_t steps) {
    return static_cast<double>(steps) / static_cast<double>(course_.steps_per_epoch);
  };
  const double all = epochs(course_.total);
  return join_fitting(
      {{concat("steps ", done_, '/', course_.total), 0, true},
       {concat('(', percent(done_, course_.total), ')'), 8},
       {concat("epochs ", format_fixed(epochs(done_), 2), '/',
               format_fixed(all, all == std::floor(all) ? 0 : 2)),
        6},
       {concat("loss ", format_fixed(sum / static_cast<double>(losses_.size()), 4)), 1, true},
       {score_, 3, true},
       {formats_text(row.formats), 4, true},
       {concat("lr ", format_short(row.learning_rate)), 5},
       {concat(format_fixed(1e3 * seconds_, 1), " ms a step"), 7},
       {eta(), 2}},
      columns(), style_.color);
}

// Steps and the evaluations still to come. Until one was timed nobody knows what they take.
std::string Progress::eta() const {
  const std::int64_t total = course_.total, every = course_.eval_every;
  double seconds = seconds_ * static_cast<double>(total - done_);
  if (course_.splits.empty()) return concat("ETA ", format_duration(seconds));
  if (!piece_seconds_) return concat("ETA ", format_duration(seconds), " + evaluations");
  double pieces =
      static_cast<double>(multiples_below(total, every) - multiples_below(done_, every)) *
      static_cast<double>(course_.splits[0].second);
  for (const auto& split : course_.splits) pieces += static_cast<double>(split.second);
  return concat("ETA ", format_duration(seconds + pieces * *piece_seconds_));
}

std::optional<std::size_t> Progress::columns() const {
  if (!style_.terminal || !style_.width) return std::nullopt;
  return static_cast<std::size_t>(std::max(style_.width(), 2));
}

bool Progress::waits(double now) const {
  return now - shown_at_ < (style_.terminal ? kTerminalRhythm : kPlainRhythm);
}

std::string Progress::rewritten(const std::string& line, double now) {
  shown_at_ = now;
  open_ = true;
  return kClearLine + line;
}

std::string Progress::whole(const std::string& line) {
  const bool over = open_;
  open_ = false;
  return concat(over ? kClearLine : "", line, '\n');
}

void Progress::note(const EvalRow& row) {
  if (const std::int64_t pieces = pieces_of(row.split); pieces > 0)
    piece_seconds_ = row.seconds / static_cast<double>(pieces);
  if (!course_.splits.empty() && row.split == course_.splits[0].first)
    score_ = concat(row.metric, ' ', format_score(row.metric, row.score));
}

std::int64_t Progress::pieces_of(const std::string& split) const {
  const auto found =
      std::ranges::find(course_.splits, split, &std::pair<std::string, std::int64_t>::first);
  return found == course_.splits.end() ? 0 : found->second;
}

std::string Progress::finish() {
  const bool over = open_;
  open_ = false;
  return over ? "\n" : "";
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e12)) return "?";
  const auto whole = static_cast<std::int64_t>(std::floor(seconds + 0.5));
  if (whole < 60) return concat(whole, " s");
  const std::int64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  const std::string tail = concat(two_digits(minutes), ':', two_digits(whole % 60));
  if (days > 0) return concat(days, " d ", hours, ':', tail);
  if (hours > 0) return concat(hours, ':', tail);
  return concat(minutes, ':', two_digits(whole % 60));
}

std::string formats_text(const RoleFormats& formats) {
  const std::string_view others = formats.by_site ? " and by layer" : "";
  if (formats.weight.is_fp32() && formats.activation.is_fp32() &&
      formats.gradient.value_or(Format::fp32()).is_fp32())
    return concat("fp32", others);
  const std::string gradient = formats.gradient ? concat('/', *formats.gradient) : "";
  return concat(formats.weight, '/', formats.activation, gradient, others);
}

std::string describe(const EvalRow& row) {
  return concat("after ", row.iteration, " steps  ", row.split, ' ', row.metric, ' ',
                format_score(row.metric, row.score), "  loss ", format_fixed(row.loss, 4), "  ",
                formats_text(row.formats), "  ", format_duration(row.seconds));
}

}  // namespace ebb::train
