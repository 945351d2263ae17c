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
    case ENOENT: return "; check the path";
    default: return "";
  }
}

[[noreturn]] void fail(std::string_view op, const std::string& path, int code, const std::string& detail = "") {
  throw DataError(concat("[", op, "] ", path, ": ", reason(code), detail, advice(code)));
}

// Writes everything or returns how far it came, with errno set. A call that takes nothing without an error would loop for ever.
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

std::string progress(std::size_t done, std::size_t size) { return concat(" (after ", done, " of ", size, " bytes)"); }

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

FileSystem FileSystem::real() {
  return {
      .open = [](const char* path, int flags, unsigned mode) { return ::open(path, flags, mode); },
      .write = [](int fd, const void* data, std::size_t size) { return static_cast<std::int64_t>(::write(fd, data, size)); },
      .sync = [](int fd) { return ::fsync(fd); },
      .close = [](int fd) { return ::close(fd); },
      .rename = [](const char* from, const char* to) { return ::rename(from, to); },
  };
}

void write_file(const std::string& path, std::string_view content, const FileSystem& files) {
  const std::string part = path + ".part";
  const int fd = files.open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
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
  if (files.rename(part.c_str(), path.c_str()) != 0) give_up(errno, concat(" (renaming ", part, ")"));

  const std::string parent = parent_of(path);
  const int directory = files.open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0) fail("write", parent, errno);
  const bool durable = files.sync(directory) == 0;
  const int sync_code = errno;
  files.close(directory);
  if (!durable && sync_code != EINVAL) fail("write", parent, sync_code);  // EINVAL: this file system cannot sync directories
}

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("read", path, errno);
  std::string content;
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) content.reserve(static_cast<std::size_t>(info.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int code = errno;
      ::close(fd);
      if (count < 0) fail("read", path, code);
      return content;
    }
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

LineFile::LineFile(std::string path, std::int64_t size, FileSystem files)
    : path_(std::move(path)), size_(size), files_(std::move(files)) {
  fd_ = files_.open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("write", path_, errno);
  const off_t length = ::lseek(fd_, 0, SEEK_END);
  const bool long_enough = length >= size_;
  if (!long_enough || (length > size_ && ::ftruncate(fd_, size_) != 0)) {
    const int code = errno;
    files_.close(fd_);
    require<DataError>(long_enough, "[write] ", path_, ": expected at least ", size_, " bytes to continue after, found ", length);
    fail("write", path_, code, " (cutting it back)");
  }
}

LineFile::LineFile(LineFile&& other) noexcept
    : path_(std::move(other.path_)), size_(other.size_), files_(std::move(other.files_)), fd_(std::exchange(other.fd_, -1)) {}

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
    fail("write", path_, code, concat(progress(done, text.size()), cut ? "" : ", leaving half a line"));
  }
  size_ += static_cast<std::int64_t>(text.size());
}

void LineFile::sync() {
  if (files_.sync(fd_) != 0) fail("write", path_, errno);
}

DirectoryLock::DirectoryLock(const std::string& path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("lock", path, errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int code = errno;
  ::close(fd_);
  require<DataError>(code != EWOULDBLOCK, "[lock] ", path,
                     ": another run is writing to this directory; wait for it to end or choose another --out");
  fail("lock", path, code);
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace ebb::train
