#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/study/child.h"
#include "tools/study/claim.h"
#include "tools/study/look.h"
#include "tools/study/manifest.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"

namespace ebb::study {

enum class State {
  queued,
  running,
  stopping,   ///< asked to save and end
  elsewhere,  ///< another process has it
  done,
  failed,
};

/// A run as the pool sees it.
struct Entry {
  const Run* run = nullptr;
  State state = State::queued;
  bool skipped = false;  ///< was finished before
  bool reran = false;    ///< finished by this process
  std::string note{};    ///< who has it; why it failed
  int exit_code = 0;     ///< of a failure
  Follower record{};
  Position position{};     ///< as its record said when it was last looked at
  double looked_at = 0;    ///< time of that
  double started = 0;      ///< time; of this process's part
  std::int64_t begin = 0;  ///< step that it started from then
  double seconds = 0;      ///< of this process's part so far, 0 if there is none
};

/// Runs the runs of a study that are not finished, some at a time, beside other processes that do
/// the same in the same folder.
class Pool {
 public:
  struct Settings {
    std::string program{};  ///< the file
    int jobs = 1, threads = 1;
    std::vector<std::size_t> order{};  ///< in which runs are taken
  };
  /// `tell(entry, what)` hears of everything that begins, ends or fails.
  using Tell = std::function<void(const Entry&, const std::string& what)>;

  /// Makes the folders. Runs that are finished already are marked so.
  /// @throws DataError if the study's folder cannot be written
  Pool(const Study& study, const std::vector<Run>& runs, Settings settings, Claimant me, Tell tell);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Ends what runs, by SIGTERM, and waits for it.
  ~Pool();

  /// Looks after what runs and begins what can begin; false once nothing is left to do.
  /// @throws DataError if the study's folder cannot be written
  bool step();
  /// Asks what runs to save and end; nothing begins any more.
  void stop();
  /// Ends what runs at once.
  void kill();

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] double now() const { return me_.now(); }
  [[nodiscard]] std::string directory(const Entry& entry) const;

 private:
  struct Job {
    std::size_t index;
    Claim claim;
    Child child;
    std::int64_t log_begin;
    bool lost = false;  // its claim was taken over
  };

  void begin(std::size_t index);
  void start(std::size_t index, Claim claim, bool resume);
  void ended(Job job, int exit_code);
  void look_after(Job& job);
  void observe(Entry& entry);
  void fail(Entry& entry, int exit_code, const std::string& message);
  void finish(Entry& entry, bool reran);
  [[nodiscard]] std::string log(const Entry& entry) const;
  [[nodiscard]] std::string failure_file(const Entry& entry) const;

  const Study& study_;
  Settings settings_;
  Claimant me_;
  Tell tell_;
  Claims claims_;
  std::vector<Entry> entries_;
  std::vector<std::string> failed_before_;  // what failures/NAME.json said at the beginning
  std::vector<int> starts_;                 // by this process
  std::vector<double> look_again_;          // time, of runs that others have
  std::vector<Job> jobs_;
  bool stopped_ = false;
};

}  // namespace ebb::study
