#include "tools/study/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <ostream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "tools/study/ask.h"
#include "tools/study/manifest.h"
#include "tools/study/plan.h"
#include "tools/study/pool.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"
#include "tools/study/table.h"
#include "train/app/progress.h"
#include "train/files.h"

namespace ebb::study {
namespace {

namespace fs = std::filesystem;

constexpr int kDone = 0, kFailed = 1, kInterrupted = 3;

// The text of a file, or "" if there is none.
std::string content_of(const std::string& path) {
  return fs::exists(path) ? train::read_file(path) : std::string();
}

Study study_of(const SweepOptions& options) {
  Study study =
      parse_study(options.text ? *options.text : train::read_file(options.study), options.study);
  if (!options.out.empty()) study.out = options.out;
  if (options.seeds) set_seeds(study, *options.seeds);
  return study;
}

class Sweep {
 public:
  Sweep(const SweepOptions& options, std::ostream& out, std::ostream& err)
      : options_(options), out_(out), err_(err) {
    const char* kind = std::getenv("TERM");
    terminal_ = &err == &std::cerr && ::isatty(STDERR_FILENO) == 1 && kind != nullptr &&
                std::string_view(kind) != "dumb";
  }

  int operator()() {
    study_ = study_of(options_);
    for (const std::string& each : options_.set) set_option(study_, each);
    expansion_ = expand(study_, options_.yes);
    const std::string path = study_.out + "/study.json", before = content_of(path);
    std::vector<std::string> changes;
    if (!before.empty())
      changes = keep_names(study_, expansion_, parse_manifest(before, path),
                           [](const std::string& name) { return fs::exists(name); });
    program_ = find_program(study_.program);
    workers_ = workers(options_, expansion_.runs.size(), processors());
    shard_ = parse_shard(options_.shard);
    for (const std::string& change : changes) note(concat("the study has changed: ", change));
    const Interrupts interrupts;
    if (options_.dry_run) return forecast();
    if (!check_options()) return kInterrupted;
    make_out();
    const std::string now = to_json(manifest_of(study_, expansion_));
    if (now != before) write_shared(path, now);
    return run();
  }

 private:
  void note(const std::string& text) {
    err_ << "ebb sweep: " << printable(text, LineFeeds::kept) << std::endl;
  }

  // A line that the next one replaces, on a terminal.
  void passing(const std::string& text) {
    if (terminal_) err_ << "\r\x1b[K" << text << std::flush;
  }

  void make_out() const {
    std::error_code error;
    fs::create_directories(study_.out, error);
    require<DataError>(!error, "[sweep] cannot make the folder ", study_.out, ": ", error.message(),
                       "; give the study an out that you may write to");
  }

  std::vector<Answer> ask(const std::vector<const Run*>& runs) {
    const Questions questions(program_, study_);
    std::vector<Answer> answers =
        questions.ask(runs, processors(), [&](std::size_t done, std::size_t of) {
          passing(concat("checking the options: ", done, " of ", of));
        });
    passing("");
    return answers;
  }

  // Whether the program takes the options of the runs that have not begun; false if interrupted.
  bool check_options() {
    std::vector<const Run*> fresh;
    for (const Run& run : expansion_.runs) {
      if (!fs::exists(concat(study_.out, '/', run.name))) fresh.push_back(&run);
    }
    constexpr std::size_t kEnough = 300;  // to ask about; of more than these, a choice
    const std::vector<const Run*> chosen = representatives(fresh, kEnough);
    refuse_wrong(study_, chosen, ask(chosen));
    return Interrupts::count() == 0;
  }

  int forecast() {
    std::vector<const Run*> all;
    for (const Run& run : expansion_.runs) all.push_back(&run);
    const std::vector<Answer> answers = ask(all);
    if (Interrupts::count() > 0) return kInterrupted;
    refuse_wrong(study_, all, answers);
    const Forecast result = study::forecast(study_, expansion_, answers, workers_.jobs);
    out_ << (options_.json ? to_json(result) : to_table(result)) << std::flush;
    require<DataError>(out_.good(), "[sweep] standard output cannot be written");
    const bool failed = std::ranges::any_of(
        result.runs, [](const Expected& run) { return run.answer.exit_code != 0; });
    return failed ? kFailed : kDone;
  }

  int run() {
    const auto tell = [&](const Entry& entry, const std::string& what) {
      if (!terminal_) note(concat(entry.run->name, ": ", what));
    };
    Pool pool(study_, expansion_.runs,
              {.program = program_,
               .jobs = workers_.jobs,
               .threads = workers_.threads,
               .order = order_of(shard_, expansion_.runs.size())},
              Claimant::this_process(), tell);
    const double begun = pool.now();
    double shown = begun;
    int stopped = 0;  // signals that were passed on
    if (!terminal_) note(concat(title(), "; ", counts(pool.entries())));
    while (pool.step()) {
      const int signals = Interrupts::count();
      if (signals > stopped) {
        if (stopped == 0) pool.stop();
        if (signals > 1) pool.kill();
        if (!terminal_ && stopped == 0) note("stopping: the runs save and end; once more kills");
        stopped = signals;
      }
      const double now = pool.now();
      const double rhythm = terminal_ ? 0.2 : 60;  // seconds
      if (now - shown >= rhythm) {
        show(pool, now - begun, stopped > 0);
        shown = now;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    show(pool, pool.now() - begun, stopped > 0);
    return finish(pool.entries(), stopped > 0);
  }

  std::string title() const {
    return concat(study_.name, ": ", expansion_.runs.size(), " runs of ", study_.program, " in ",
                  study_.out, ", ", workers_.jobs, " at a time",
                  workers_.threads > 1 ? concat(" with ", workers_.threads, " threads each") : "",
                  shard_.of > 1 ? concat(", shard ", shard_.index, " of ", shard_.of) : "");
  }

  // What was told besides the study, for the same command once more.
  std::string again() const {
    std::string words;
    for (const std::string& each : options_.set) words += " --set '" + each + "'";
    return words + (options_.shard.empty() ? "" : " --shard " + options_.shard);
  }

  void show(const Pool& pool, double elapsed, bool stopping) {
    const std::optional<double> left =
        stopping ? std::nullopt : seconds_left(pool.entries(), workers_.jobs);
    if (terminal_) {
      const Terminal terminal = Terminal::of(STDERR_FILENO);
      const Board board{
          .title = stopping ? "stopping: the runs save and end; once more kills" : title(),
          .elapsed = elapsed,
          .eta = left};
      err_ << screen_.show(draw(board, pool.entries(), terminal), terminal) << std::flush;
    } else {
      note(concat(counts(pool.entries()),
                  left ? concat(", ETA ", train::format_duration(*left)) : ""));
    }
  }

  int finish(const std::vector<Entry>& entries, bool interrupted) {
    Outcome outcome{.runs = std::ssize(entries), .interrupted = false};
    for (const Entry& entry : entries) {
      outcome.finished += entry.state == State::done ? 1 : 0;
      outcome.reran += entry.reran ? 1 : 0;
      outcome.skipped += entry.skipped ? 1 : 0;
      if (entry.state == State::failed)
        outcome.failed.push_back({entry.run->name, entry.exit_code, entry.note});
    }
    const auto failed = std::ssize(outcome.failed);
    outcome.interrupted = interrupted && outcome.finished + failed < outcome.runs;
    for (const Failure& failure : outcome.failed)
      note(concat("failed: ", failure.run, ": ", failure.message, "\n  its log is ", study_.out,
                  "/logs/", failure.run, ".log"));
    if (outcome.interrupted)
      note(concat("interrupted; go on with: ", options_.command.empty()
                                                   ? concat("ebb sweep ", options_.study, again())
                                                   : options_.command));
    if (options_.json) {
      out_ << to_json(outcome);
    } else {
      out_ << printable(concat(outcome.finished, " of ", outcome.runs, " runs are finished, ",
                               outcome.reran, " of them now; ", failed, " failed. They are in ",
                               study_.out))
           << '\n';
    }
    out_ << std::flush;
    require<DataError>(out_.good(), "[sweep] standard output cannot be written");
    return outcome.interrupted ? kInterrupted : failed > 0 ? kFailed : kDone;
  }

  const SweepOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  bool terminal_ = false;
  Study study_{};
  Expansion expansion_{};
  std::string program_{};
  Workers workers_{};
  Shard shard_{};
  Screen screen_{};
};

}  // namespace

int sweep(const SweepOptions& options, std::ostream& out, std::ostream& err) {
  return Sweep(options, out, err)();
}

}  // namespace ebb::study
