#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/study/look.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"

namespace ebb::study {

/// The file of a program: a path as it is; a name beside this executable, in the models of its
/// build tree, or in PATH.
/// @throws ConfigError if there is none
std::string find_program(const std::string& name);

/// The message of a program that failed: what it said behind its own name at last, or else its last
/// line.
std::string message_of(std::string_view program, std::string_view said, int exit_code);

/// Runs a program to its end. Signals of Interrupts are passed on to it. What it says goes into the
/// texts, on standard error only unless that is `shown` as ours.
struct Said {
  int exit_code = 0;
  std::string out{}, err{};
};
Said run_program(const std::vector<std::string>& words, bool shown);

/// What a program says of a run before it begins.
struct Answer {
  int exit_code = 0;
  Prediction prediction{};  ///< if it is 0
  std::string message{};    ///< if not
};

/// Asks the program by --dry-run what the options come to. Runs that differ in the seed alone are
/// asked about once.
class Questions {
 public:
  Questions(std::string program, const Study& study)
      : program_(std::move(program)), study_(study) {}

  /// One answer per run, in order, `jobs` at a time. `progress(done, of)` is called while there is
  /// something to wait for. @return fewer if it was interrupted
  std::vector<Answer> ask(const std::vector<const Run*>& runs, int jobs,
                          const std::function<void(std::size_t, std::size_t)>& progress) const;

 private:
  std::string program_;
  const Study& study_;
};

/// Some of many runs that between them have every value of every option, so that a wrong one is
/// found before the first run starts; all if they are no more than `enough`.
std::vector<const Run*> representatives(const std::vector<const Run*>& runs, std::size_t enough);

/// @throws ConfigError if the program refused options of runs, with the place of the first in the
/// study
void refuse_wrong(const Study& study, const std::vector<const Run*>& runs,
                  const std::vector<Answer>& answers);

}  // namespace ebb::study
