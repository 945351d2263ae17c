#include "tools/study/pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "tools/study/ask.h"
#include "train/files.h"

namespace ebb::study {
namespace {

namespace fs = std::filesystem;

constexpr int kSavedAndStopped = 3;  // the exit code of a program that a signal stopped

std::string content_of(const std::string& path) {
  return fs::exists(path) ? train::read_file(path) : std::string();
}

// What was added to a log since it had `begin` bytes.
std::string added_to(const std::string& path, std::int64_t begin) {
  const std::string all = content_of(path);
  return all.substr(std::min(all.size(), static_cast<std::size_t>(begin)));
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  require<DataError>(!error, "[sweep] cannot make the folder ", path, ": ", error.message(),
                     "; give the study an out that you may write to");
}

}  // namespace

Pool::Pool(const Study& study, const std::vector<Run>& runs, Settings settings, Claimant me,
           Tell tell)
    : study_(study),
      settings_(std::move(settings)),
      me_(std::move(me)),
      tell_(std::move(tell)),
      claims_(study.out + "/claims", me_),
      entries_(runs.size()),
      failed_before_(runs.size()),
      starts_(runs.size()),
      look_again_(runs.size()) {
  for (const char* folder : {"/logs", "/claims", "/failures"}) make_folder(study.out + folder);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Entry& entry = entries_[i];
    entry.run = &runs[i];
    entry.record = Follower(directory(entry));
    failed_before_[i] = content_of(failure_file(entry));
    try {
      if (look(directory(entry), study_.program, runs[i]) != Stage::finished) continue;
      entry.state = State::done;
      entry.skipped = true;
      observe(entry);
      // What a killed process left is taken away.
      if (claims_.claimed(runs[i].name)) static_cast<void>(claims_.acquire(runs[i].name));
    } catch (const DataError&) {
      // Said when it is its turn.
    }
  }
}

Pool::~Pool() {
  for (const Job& job : jobs_) job.child.send(SIGTERM);  // all at once; then each is waited for
}

std::string Pool::directory(const Entry& entry) const {
  return concat(study_.out, '/', entry.run->name);
}
std::string Pool::log(const Entry& entry) const {
  return concat(study_.out, "/logs/", entry.run->name, ".log");
}
std::string Pool::failure_file(const Entry& entry) const {
  return concat(study_.out, "/failures/", entry.run->name, ".json");
}

bool Pool::step() {
  for (std::size_t i = 0; i < jobs_.size();) {
    look_after(jobs_[i]);
    const std::optional<int> code = jobs_[i].child.ended();
    if (!code) {
      ++i;
      continue;
    }
    Job job = std::move(jobs_[i]);
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
    ended(std::move(job), *code);
  }
  bool open = !jobs_.empty();
  for (const std::size_t index : settings_.order) {
    if (stopped_) break;
    const State state = entries_[index].state;
    if (state != State::queued && state != State::elsewhere) continue;
    open = true;
    if (std::ssize(jobs_) >= settings_.jobs) break;
    if (me_.now() >= look_again_[index]) begin(index);
  }
  return open;
}

void Pool::observe(Entry& entry) {
  entry.looked_at = me_.now();
  entry.position = entry.record.position();
  if (entry.state == State::running) entry.seconds = entry.looked_at - entry.started;
}

void Pool::look_after(Job& job) {
  Entry& entry = entries_[job.index];
  constexpr double kRhythm = 0.3;  // seconds
  if (job.lost || me_.now() - entry.looked_at < kRhythm) return;
  observe(entry);
  if (job.claim.ours()) return job.claim.renew(me_.now());
  job.lost = true;
  job.child.send(SIGTERM);
  entry.state = State::stopping;
  tell_(entry, "another process took it over; stopping it here");
}

void Pool::begin(std::size_t index) {
  Entry& entry = entries_[index];
  const auto leave = [&](const std::string& why, double seconds) {
    entry.state = State::elsewhere;
    entry.note = why;
    look_again_[index] = me_.now() + seconds;
    if (me_.now() - entry.looked_at > 2) observe(entry);
  };
  std::optional<Claim> claim = claims_.acquire(entry.run->name);
  if (!claim) {
    const std::string host = claims_.holder(entry.run->name);
    return leave(host.empty() ? "elsewhere" : concat("on ", host), 1);
  }
  try {
    Stage stage = look(directory(entry), study_.program, *entry.run);
    if (stage == Stage::finished) return finish(entry, false);
    if (stage == Stage::begun) {
      if (is_written_to(directory(entry))) return leave("still being written to", 0.3);
      remove_stillborn(directory(entry));
      stage = look(directory(entry), study_.program, *entry.run);
    }
    if (const std::string failed = content_of(failure_file(entry)); !failed.empty()) {
      if (failed != failed_before_[index]) {  // by another process, meanwhile
        const Failure failure = parse_failure(failed);
        entry.state = State::failed;
        entry.exit_code = failure.exit_code;
        entry.note = failure.message;
        return;
      }
      fs::remove(failure_file(entry));
    }
    start(index, std::move(*claim), stage == Stage::begun);
  } catch (const DataError& error) {
    if (!fs::is_directory(study_.out)) throw;
    fail(entry, 1, error.what());
  }
}

void Pool::start(std::size_t index, Claim claim, bool resume) {
  Entry& entry = entries_[index];
  std::vector<std::string> command{settings_.program};
  for (std::string& word : words(entry.run->options)) command.push_back(std::move(word));
  command.insert(command.end(),
                 {"--threads", to_text(settings_.threads), "--out", directory(entry)});
  if (resume) command.emplace_back("--resume");
  const std::string path = log(entry);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  require<DataError>(fd >= 0, "[sweep] ", path, " cannot be written: ", std::strerror(errno));
  const std::int64_t begin = ::lseek(fd, 0, SEEK_END);
  entry.begin = resume ? saved_steps(directory(entry)) : 0;
  try {
    jobs_.push_back({index, std::move(claim), Child(command, fd, fd), begin});
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
  ++starts_[index];
  entry.state = State::running;
  entry.note.clear();
  entry.started = me_.now();
  entry.seconds = 0;
  entry.record = Follower(directory(entry));
  tell_(entry, resume ? concat("goes on from step ", entry.begin) : "begins");
}

void Pool::ended(Job job, int exit_code) {
  Entry& entry = entries_[job.index];
  observe(entry);
  if (job.lost) {
    entry.state = State::elsewhere;
    entry.note = "taken over";
    return;
  }
  Stage stage = Stage::begun;
  try {
    stage = look(directory(entry), study_.program, *entry.run);
  } catch (const DataError& error) {
    return fail(entry, 1, error.what());
  }
  if (stage == Stage::finished || exit_code == 0) return finish(entry, true);
  if (stopped_ && (exit_code == kSavedAndStopped || exit_code > 128)) {
    entry.state = State::queued;
    return tell_(entry, concat("saved at step ", saved_steps(directory(entry))));
  }
  const std::string step = to_text(saved_steps(directory(entry)));
  if (exit_code == kSavedAndStopped)
    return fail(entry, exit_code,
                concat("somebody stopped it, and it saved at step ", step,
                       "; run the sweep again to go on"));
  const std::string message =
      message_of(study_.program, added_to(log(entry), job.log_begin), exit_code);
  // Killed from outside: it goes on, once in any case, and then as long as it gets further.
  if (exit_code > 128 && (starts_[job.index] == 1 || saved_steps(directory(entry)) > entry.begin)) {
    entry.state = State::queued;
    return tell_(entry, concat(message, "; it will go on from step ", step));
  }
  fail(entry, exit_code, message);
}

void Pool::fail(Entry& entry, int exit_code, const std::string& message) {
  entry.state = State::failed;
  entry.exit_code = exit_code;
  entry.note = message;
  train::write_file(failure_file(entry), to_json(Failure{entry.run->name, exit_code, message}));
  tell_(entry, concat("failed: ", message));
}

void Pool::finish(Entry& entry, bool reran) {
  entry.state = State::done;
  entry.reran = reran;
  entry.note.clear();
  if (!reran) observe(entry);
  tell_(entry, reran ? "finished" : "finished elsewhere");
}

void Pool::stop() {
  stopped_ = true;
  for (const Job& job : jobs_) {
    job.child.send(SIGTERM);
    entries_[job.index].state = State::stopping;
  }
}

void Pool::kill() {
  for (const Job& job : jobs_) job.child.send(SIGKILL);
}

}  // namespace ebb::study
