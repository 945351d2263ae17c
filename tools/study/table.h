#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/study/pool.h"

namespace ebb::study {

/// What the table of a sweep shows beside the runs.
struct Board {
  std::string title{};
  double elapsed = 0;
  std::optional<double> eta{};
};

/// The terminal that it is for.
struct Terminal {
  int width = 80, height = 24;
  bool color = false;
  bool blocks = false;  ///< it shows UTF-8

  /// That of a descriptor, as large as it is now.
  static Terminal of(int fd);
};

/// A line with its width on the screen, where escape sequences have none.
struct Line {
  std::string text;
  int width = 0;
};

/// One line per run, as many as there is room for: those that run come first, then those that
/// failed, then the others; each keeps its place in the study. The last line has the totals.
std::vector<Line> draw(const Board& board, const std::vector<Entry>& entries,
                       const Terminal& terminal);

/// Lines that are drawn over those before them.
class Screen {
 public:
  /// Escape sequences and text that replace what was shown last.
  std::string show(const std::vector<Line>& lines, const Terminal& terminal);

 private:
  std::vector<int> widths_;  // of the lines that stand there
};

/// Seconds until what is left to do here is done by `jobs` at a time, from the steps that were done
/// here; none before there are any.
std::optional<double> seconds_left(const std::vector<Entry>& entries, int jobs);

/// "3 of 24 done, 2 running, 19 queued".
std::string counts(const std::vector<Entry>& entries);

/// "1.23 T" of 1.23e12.
std::string si_text(double value);

}  // namespace ebb::study
