#include "tools/study/claim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/error.h"
#include "train/files.h"

namespace ebb::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& path) {
  throw DataError(
      concat("[claim] ", path, ": ", std::strerror(errno),
             "; the folder of a study must have some space and be one that you may write to"));
}

// The first line of a file, or "".
std::string line_of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return "";
  char buffer[4096];
  const ssize_t count = ::read(fd, buffer, sizeof buffer);
  ::close(fd);
  std::string text(buffer, count > 0 ? static_cast<std::size_t>(count) : 0);
  return text.substr(0, text.find('\n'));
}

// When a process began, in ticks since boot: the field 22 of its stat, behind a name that may hold
// anything. "" if there is no such process; of one that has ended but was not waited for, too.
std::string start_of(pid_t process) {
  const std::string stat = line_of(concat("/proc/", process, "/stat"));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  const std::vector<std::string> fields = split_at(stat.substr(name_end + 1), ' ');  // "", state...
  if (fields.size() < 21 || fields[1] == "Z" || fields[1] == "X") return "";
  return fields[20];
}

// Of any clock: only that it changes matters.
std::string time_text() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = ms / 1000;
  struct tm parts {};
  ::gmtime_r(&seconds, &parts);
  char day[40];
  const std::size_t length = std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string fraction = to_text(1000 + ms % 1000).substr(1);  // three digits: one length
  return concat(std::string(day, length), fraction, 'Z');
}

bool same_file(const std::string& path, int fd) {
  struct stat here {
  }, open{};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &here) == 0 &&
         here.st_dev == open.st_dev && here.st_ino == open.st_ino;
}

}  // namespace

Claimant Claimant::this_process() {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  char space[64] = {};
  const ssize_t length = ::readlink("/proc/self/ns/pid", space, sizeof space - 1);
  return {.host = host,
          .machine = concat(line_of("/proc/sys/kernel/random/boot_id"), ' ',
                            std::string(space, length > 0 ? static_cast<std::size_t>(length) : 0)),
          .process = ::getpid(),
          .started = start_of(::getpid()),
          .now =
              [] {
                return std::chrono::duration<double>(
                           std::chrono::steady_clock::now().time_since_epoch())
                    .count();
              },
          .alive = [](pid_t id, const std::string& since) { return start_of(id) == since; }};
}

Claim::Claim(std::string path, const Claimant& me) : path_(std::move(path)) {
  content_ = Json({{"host", me.host},
                   {"machine", me.machine},
                   {"process", me.process},
                   {"started", me.started}})
                 .dump(-1, ' ', false, Json::error_handler_t::replace);
  content_.pop_back();  // the heartbeat follows
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd_ < 0 && errno != EEXIST) fail(path_);
  if (fd_ < 0) return;
  try {
    write(me.now());
  } catch (...) {  // of a full disk: an empty claim would keep everybody away
    ::unlink(path_.c_str());
    ::close(fd_);
    throw;
  }
}

Claim::Claim(Claim&& other) noexcept
    : path_(std::move(other.path_)),
      content_(std::move(other.content_)),
      fd_(std::exchange(other.fd_, -1)),
      written_(other.written_) {}

Claim& Claim::operator=(Claim&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(content_, other.content_);
  std::swap(fd_, other.fd_);
  std::swap(written_, other.written_);
  return *this;
}

Claim::~Claim() {
  if (fd_ < 0) return;
  if (ours()) ::unlink(path_.c_str());
  ::close(fd_);
}

void Claim::write(double now) {
  const std::string text = concat(content_, ",\"heartbeat\":\"", time_text(), "\"}\n");
  const auto size = static_cast<ssize_t>(text.size());
  // A file that was removed on another machine is stale here: ours() says so.
  if (::pwrite(fd_, text.data(), text.size(), 0) != size && errno != ESTALE) fail(path_);
  written_ = now;
}

void Claim::renew(double now) {
  if (now - written_ >= Claims::kHeartbeat) write(now);
}

bool Claim::ours() const { return same_file(path_, fd_); }

Claims::Claims(std::string folder, Claimant me) : folder_(std::move(folder)), me_(std::move(me)) {}

std::string Claims::path(const std::string& run) const {
  return concat(folder_, '/', run, ".json");
}

bool Claims::claimed(const std::string& run) const {
  return fs::exists(fs::symlink_status(path(run)));
}

std::string Claims::holder(const std::string& run) const {
  const auto found = seen_.find(run);
  return found == seen_.end() ? "" : found->second.host;
}

// Whether the claim's process is dead, or has been silent for too long.
bool Claims::abandoned(const std::string& path, Seen& seen) const {
  const std::string content = line_of(path);
  const double now = me_.now();
  const Json json = Json::parse(content, nullptr, false);
  const auto text = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string()
               ? json[name].get<std::string>()
               : std::string();
  };
  if (seen.since == 0 || content != seen.content) seen = {content, text("host"), now};
  if (now - seen.since >= kSilence) return true;
  const bool known = json.is_object() && json.contains("process") &&
                     json["process"].is_number_integer() && !text("started").empty();
  return known && text("machine") == me_.machine &&
         !me_.alive(json["process"].get<pid_t>(), text("started"));
}

// Takes the abandoned claim out of the way. If it is another by now, it gets its name back: its
// holder looks at the file, not at the name alone, and at worst stops a run that somebody goes on
// with.
bool Claims::set_aside(const std::string& path, const std::string& aside, const Seen& seen) {
  if (::rename(path.c_str(), aside.c_str()) != 0) return false;
  const bool right = line_of(aside) == seen.content;
  if (!right) static_cast<void>(::link(aside.c_str(), path.c_str()) == 0);
  ::unlink(aside.c_str());
  return right;
}

std::optional<Claim> Claims::acquire(const std::string& run) {
  const std::string file = path(run);
  Claim fresh(file, me_);
  if (fresh.fd_ < 0) {
    Seen& seen = seen_[run];
    if (!abandoned(file, seen)) return std::nullopt;
    const std::string aside =
        concat(file, ".stale-", me_.host, '-', me_.process, '-', ++taken_over_);
    if (!set_aside(file, aside, seen)) return std::nullopt;
    fresh = Claim(file, me_);
    if (fresh.fd_ < 0) return std::nullopt;  // another was quicker
  }
  seen_.erase(run);
  return fresh;
}

}  // namespace ebb::study
