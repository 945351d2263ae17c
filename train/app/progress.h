#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/record.h"

namespace ebb::train {

/// The steps and evaluations that a run consists of.
struct Course {
  std::int64_t begin = 0, total = 0;  ///< steps done already, and in all
  std::int64_t steps_per_epoch = 1, eval_every = 1;
  /// Splits with the pieces that they are scored in: the first is scored on the way, all at the
  /// end.
  std::vector<std::pair<std::string, std::int64_t>> splits{};
};

/// Turns the steps of a run into what a person watches. It never prints: the text it returns is for
/// the caller to show, and is empty most of the time.
class Progress {
 public:
  struct Style {
    bool terminal = false;  ///< one line that rewrites itself, ten times a second at most; else a
                            ///< plain line every ten seconds
    bool color = false;
    std::function<int()> width{};  ///< columns of the terminal at the moment; none: no limit
    std::optional<std::int64_t> log_every{};  ///< a plain line whenever so many steps are done
  };

  /// `before` is what a run that goes on has on record; times are seconds on any steady clock.
  Progress(Course course, Style style, const History& before = {});

  /// After a step. The first and the last are always shown, unless steps to show were asked for.
  std::string step(const StepRow& row, double now);
  /// Before a piece of an evaluation, which only a terminal shows.
  std::string evaluating(const std::string& split, std::int64_t done, double now);
  /// An evaluation, as a whole line of its own above the line that rewrites itself.
  std::string evaluation(const EvalRow& row);
  /// Ends a line that rewrites itself.
  std::string finish();

 private:
  std::string describe(const StepRow& row) const;
  std::string eta() const;
  [[nodiscard]] std::optional<std::size_t> columns() const;
  std::string rewritten(const std::string& line, double now);
  std::string whole(const std::string& line);
  [[nodiscard]] bool waits(double now) const;
  void note(const EvalRow& row);
  [[nodiscard]] std::int64_t pieces_of(const std::string& split) const;

  Course course_;
  Style style_;
  std::int64_t done_;
  bool open_ = false;                    // a rewriting line stands without its line feed
  double shown_at_ = 0;                  // time of the last text
  std::deque<double> losses_;            // of the last epoch's steps
  double seconds_ = 0;                   // running mean a step
  std::int64_t seen_ = 0;                // steps since construction
  std::optional<double> piece_seconds_;  // of the last evaluation
  std::string score_;                    // of the monitored split, as shown
};

/// "9 s", "4:07", "1:02:03", "2 d 3:04:05".
std::string format_duration(double seconds);

/// "int5/int5/int8": the formats of weights, activations and gradients, "int5/int5" without
/// gradients; "fp32" when all are float32.
std::string formats_text(const RoleFormats& formats);

/// "after 469 steps  test accuracy 93.21 %  loss 0.2213  int8/int8  2 s".
std::string describe(const EvalRow& row);

}  // namespace ebb::train
