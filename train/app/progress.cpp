#include "train/app/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/text.h"

namespace ebb::train {
namespace {

constexpr double kTerminalRhythm = 0.1, kPlainRhythm = 10.0;  // seconds
constexpr double kMemory = 0.95;                              // of the running means
constexpr const char* kClearLine = "\r\x1b[K";

// Fixed decimals for the eye; what must be exact is in the record.
std::string rounded(double value, int decimals) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

std::string two_digits(std::int64_t value) { return concat(value < 10 ? "0" : "", value); }

}  // namespace

Progress::Progress(std::int64_t begin, std::int64_t total, Style style)
    : done_(begin), total_(total), style_(style) {}

std::string Progress::step(const StepRow& row, double now) {
  // Means over all steps while there are few, so that the first numbers are not lost in a long
  // memory.
  const double keep =
      std::min(kMemory, static_cast<double>(seen_) / static_cast<double>(seen_ + 1));
  loss_ = keep * loss_ + (1 - keep) * row.loss;
  seconds_ = keep * seconds_ + (1 - keep) * row.seconds;
  done_ = row.iteration + 1;
  const bool first = seen_++ == 0;
  if (!first && done_ != total_ &&
      now - shown_at_ < (style_.terminal ? kTerminalRhythm : kPlainRhythm))
    return {};
  shown_at_ = now;
  if (!style_.terminal) return describe(row) + "\n";
  open_ = true;
  return kClearLine + describe(row);
}

std::string Progress::describe(const StepRow& row) const {
  const auto strong = [&](const std::string& text) {
    return style_.color ? "\x1b[1m" + text + "\x1b[0m" : text;
  };
  const double share =
      total_ > 0 ? 100.0 * static_cast<double>(done_) / static_cast<double>(total_) : 100.0;
  return concat("step ", strong(to_text(done_)), '/', total_, " (", rounded(share, 1),
                " %)  epoch ", row.epoch + 1, "  mean loss ", strong(rounded(loss_, 4)),
                "  formats ", strong(formats_text(row.formats)), "  ", rounded(1e3 * seconds_, 1),
                " ms/step  ETA ", format_duration(seconds_ * static_cast<double>(total_ - done_)));
}

std::string Progress::line(const std::string& text) {
  const bool over = open_;
  open_ = false;
  return concat(over ? kClearLine : "", text, '\n');
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

}  // namespace ebb::train
