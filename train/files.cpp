#include "train/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/memory.h"

namespace ebb::train {
namespace {

// strerror shares a buffer between threads; the category does not.
std::string reason(int code) { return std::generic_category().message(code); }

std::string advice(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT: return "; free some space or write elsewhere";
    case EACCES:
    case EPERM:
    case EROFS: return "; choose a directory you may write to";
    case EFBIG: return "; raise the limit on the size of files (ulimit -f)";
    case ENOENT: return "; check the path";
    case ELOOP: return "; a run writes through no symbolic link: put the file itself there";
    default: return "";
  }
}

[[noreturn]] void fail(std::string_view op, const std::string& path, int code,
                       const std::string& detail = "") {
  throw DataError(concat("[", op, "] ", path, ": ", reason(code), detail, advice(code)));
}

// Writes everything or returns how far it came, with errno set. A call that takes nothing without
// an error would loop for ever.
std::size_t write_all(const FileSystem& files, int fd, std::string_view content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const std::int64_t count = files.write(fd, content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

std::string progress(std::size_t done, std::size_t size) {
  return concat(" (after ", done, " of ", size, " bytes)");
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Without O_NONBLOCK, opening a pipe would wait for its other end.
constexpr int kNeverWait = O_NONBLOCK | O_CLOEXEC;

// What is wrong with an open file that should be a regular one; empty if nothing is.
std::string complaint(const struct stat& info) {
  return S_ISREG(info.st_mode)   ? ""
         : S_ISDIR(info.st_mode) ? "Is a directory"
                                 : "expected a regular file, found a pipe, a socket or a device; "
                                   "put the file itself there";
}

// Whether a path still leads to the file that is open.
bool leads_to(const std::string& path, int fd) {
  struct stat here {
  }, open{};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &here) == 0 &&
         here.st_dev == open.st_dev && here.st_ino == open.st_ino;
}

}  // namespace

FileSystem FileSystem::real() {
  return {
      .open = [](const char* path, int flags, unsigned mode) { return ::open(path, flags, mode); },
      .write = [](int fd, const void* data,
                  std::size_t size) { return static_cast<std::int64_t>(::write(fd, data, size)); },
      .sync = [](int fd) { return ::fsync(fd); },
      .close = [](int fd) { return ::close(fd); },
      .rename = [](const char* from, const char* to) { return ::rename(from, to); },
  };
}

void write_file(const std::string& path, std::string_view content, const FileSystem& files) {
  const std::string part = path + ".part";
  ::unlink(part.c_str());  // what a crash left, or a link that somebody put there
  const int fd =
      files.open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) fail("write", part, errno);
  const auto give_up = [&](int code, const std::string& detail) {
    ::unlink(part.c_str());
    fail("write", path, code, detail);
  };

  const std::size_t done = write_all(files, fd, content);
  const bool written = done == content.size() && files.sync(fd) == 0;
  const int code = errno;
  // close() is where network file systems report what they could not store.
  const bool closed = files.close(fd) == 0;
  if (!written) give_up(code, progress(done, content.size()));
  if (!closed) give_up(errno, progress(done, content.size()));
  if (files.rename(part.c_str(), path.c_str()) != 0)
    give_up(errno, concat(" (renaming ", part, ")"));

  const std::string parent = parent_of(path);
  const int directory = files.open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0) fail("write", parent, errno);
  const bool durable = files.sync(directory) == 0;
  const int sync_code = errno;
  files.close(directory);
  if (!durable && sync_code != EINVAL)
    fail("write", parent, sync_code);  // EINVAL: this file system cannot sync directories
}

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | kNeverWait);
  if (fd < 0) fail("read", path, errno);
  const struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } close{fd};
  struct stat info {};
  const std::string wrong = ::fstat(fd, &info) == 0 ? complaint(info) : reason(errno);
  require<DataError>(wrong.empty(), "[read] ", path, ": ", wrong);
  std::string content;
  const auto size = static_cast<std::size_t>(info.st_size);
  allocate(
      size, [&] { content.reserve(size); }, "the file ", path);
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read", path, errno);
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

LineFile::LineFile(std::string path, std::int64_t size, FileSystem files)
    : path_(std::move(path)), size_(size), files_(std::move(files)) {
  fd_ = files_.open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | kNeverWait, 0644);
  if (fd_ < 0) fail("write", path_, errno);
  struct stat info {};
  std::string wrong = ::fstat(fd_, &info) == 0 ? complaint(info) : reason(errno);
  if (wrong.empty() && info.st_nlink > 1)
    wrong = concat("the file has ", info.st_nlink,
                   " names (hard links), and lines added here would show in all; put a copy there");
  if (!wrong.empty()) {
    files_.close(fd_);
    throw DataError(concat("[write] ", path_, ": ", wrong));
  }
  const off_t length = ::lseek(fd_, 0, SEEK_END);
  const bool long_enough = length >= size_;
  if (!long_enough || (length > size_ && ::ftruncate(fd_, size_) != 0)) {
    const int code = errno;
    files_.close(fd_);
    require<DataError>(long_enough, "[write] ", path_, ": expected at least ", size_,
                       " bytes to continue after, found ", length);
    fail("write", path_, code, " (cutting it back)");
  }
}

LineFile::LineFile(LineFile&& other) noexcept
    : path_(std::move(other.path_)),
      size_(other.size_),
      files_(std::move(other.files_)),
      fd_(std::exchange(other.fd_, -1)) {}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  std::swap(files_, other.files_);
  std::swap(fd_, other.fd_);
  return *this;
}

LineFile::~LineFile() {
  if (fd_ >= 0) ::close(fd_);
}

void LineFile::append(std::string_view line) {
  const std::string text = concat(line, '\n');
  const std::size_t done = write_all(files_, fd_, text);
  if (done < text.size()) {
    const int code = errno;
    const bool cut = ::ftruncate(fd_, size_) == 0;
    fail("write", path_, code,
         concat(progress(done, text.size()), cut ? "" : ", leaving half a line"));
  }
  size_ += static_cast<std::int64_t>(text.size());
}

void LineFile::sync() {
  if (files_.sync(fd_) != 0) fail("write", path_, errno);
  require<DataError>(leads_to(path_, fd_), "[write] ", path_,
                     ": the file was removed or replaced while the run was writing to it, so its "
                     "newest lines are lost; resume the "
                     "run from a directory that nothing else changes");
}

DirectoryLock::DirectoryLock(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | kNeverWait, 0600);
  if (fd_ < 0) fail("lock", path, errno);
  struct stat info {};
  std::string wrong = ::fstat(fd_, &info) == 0 ? complaint(info) : reason(errno);
  if (wrong.empty())
    ::fchmod(fd_, 0600);  // Ebb 0.1 made it readable; where it is another's, they decide
  if (wrong.empty() && ::flock(fd_, LOCK_EX | LOCK_NB) != 0)
    wrong =
        errno == EWOULDBLOCK
            ? "another run is writing to this directory; wait for it to end or choose another --out"
            : reason(errno);
  if (wrong.empty() && !leads_to(path, fd_))
    wrong = "the file was replaced while it was locked; try again";
  if (wrong.empty()) return;
  ::close(fd_);
  throw DataError(concat("[lock] ", path, ": ", wrong));
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void DirectoryLock::check() const {
  require<DataError>(leads_to(path_, fd_), "[lock] ", path_,
                     ": the lock of this run was removed or replaced, so another run may be "
                     "writing here; this one ends");
}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace ebb::train
