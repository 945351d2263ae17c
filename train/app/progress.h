#pragma once

#include <cstdint>
#include <string>

#include "train/record.h"

namespace ebb::train {

/// Turns the steps of a run into what a person watches. It never prints: the text it returns is for
/// the caller to show, and is empty most of the time.
class Progress {
 public:
  struct Style {
    bool terminal = false;  ///< one line that rewrites itself, ten times a second at most; else a
                            ///< plain line every ten seconds
    bool color = false;
  };

  /// `begin` of `total` steps are done already; times are seconds on any steady clock.
  Progress(std::int64_t begin, std::int64_t total, Style style);

  /// After a step. The first and the last are always shown.
  std::string step(const StepRow& row, double now);
  /// A whole line of its own, e.g. an evaluation, above the line that rewrites itself.
  std::string line(const std::string& text);
  /// Ends a line that rewrites itself.
  std::string finish();

 private:
  std::string describe(const StepRow& row) const;

  std::int64_t done_, total_;
  Style style_;
  bool open_ = false;      // a rewriting line stands without its line feed
  double shown_at_ = 0;    // time of the last text
  double loss_ = 0;        // running mean, so that the eye sees a trend
  double seconds_ = 0;     // running mean a step
  std::int64_t seen_ = 0;  // steps since construction
};

/// "9 s", "4:07", "1:02:03", "2 d 3:04:05".
std::string format_duration(double seconds);

/// "int5/int5/int8": the formats of weights, activations and gradients, "int5/int5" without
/// gradients; "fp32" when all are float32.
std::string formats_text(const RoleFormats& formats);

}  // namespace ebb::train
