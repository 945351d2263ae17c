#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace ebb::train {

/// The system calls behind everything a run writes. A value that is handed in, so that tests can
/// play a full disk, short writes or a failing rename. Each returns -1 and sets errno on failure,
/// like the call it stands for.
struct FileSystem {
  std::function<int(const char* path, int flags, unsigned mode)> open;
  std::function<std::int64_t(int fd, const void* data, std::size_t size)> write;
  std::function<int(int fd)> sync;
  std::function<int(int fd)> close;
  std::function<int(const char* from, const char* to)> rename;

  static FileSystem real();
};

/// Replaces a whole file so that a reader, a crash or a full disk never meets half of it: the parts
/// go to PATH.part beside it, made anew, which is synced, renamed over it and made durable by
/// syncing the directory. Where PATH or PATH.part is a link, the link is replaced, never what it
/// leads to.
/// @throws DataError naming path, reason and progress; PATH is then what it was and PATH.part is
/// gone
void write_file(const std::string& path, std::string_view content,
                const FileSystem& files = FileSystem::real());

/// The bytes of a regular file. A pipe or a device is refused, never waited for.
/// @throws DataError if it is none, or cannot be opened or read
std::string read_file(const std::string& path);

/// A text file that grows by whole lines.
class LineFile {
 public:
  /// Opens for appending after the first `size` bytes; what follows them is cut off. A missing file
  /// is created. Links are not followed, and a file that has a second name is refused: whoever gave
  /// it that name wants it to stay.
  /// @throws DataError if the file cannot be opened, is no regular file of one name, or is shorter
  /// than `size`
  LineFile(std::string path, std::int64_t size, FileSystem files);
  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&& other) noexcept;
  ~LineFile();

  /// Adds the line and its line feed.
  /// @throws DataError if not all of it could be written; the file then ends with the line before
  void append(std::string_view line);
  /// Waits until all lines are on the disk. @throws DataError, also if the path leads to another
  /// file by now, or to none
  void sync();

 private:
  std::string path_;
  std::int64_t size_;
  FileSystem files_;
  int fd_ = -1;
};

/// An exclusive claim on a run directory, held until destruction or the end of the process, however
/// that comes. Only the owner of the lock file may open it, so nobody else can hold a run up.
class DirectoryLock {
 public:
  /// Makes the lock file if there is none.
  /// @throws DataError if another process holds the claim, or the lock file is a link or cannot be
  /// made
  explicit DirectoryLock(const std::string& path);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock();

  /// @throws DataError if the lock file was removed or replaced, alone or with its directory: the
  /// claim is then worth nothing
  void check() const;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace ebb::train
