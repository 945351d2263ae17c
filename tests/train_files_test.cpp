#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "errors.h"
#include "tests/scratch.h"
#include "train/files.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;
namespace fs = std::filesystem;

namespace {

int fail_with(int code) {
  errno = code;
  return -1;
}

// A disk with room for `space` bytes more, written at most `piece` bytes a call.
FileSystem small_disk(std::int64_t space, std::size_t piece = 7) {
  FileSystem files = FileSystem::real();
  files.write = [space, piece](int fd, const void* data, std::size_t size) mutable -> std::int64_t {
    const std::size_t count = std::min({size, piece, static_cast<std::size_t>(space)});
    if (count == 0) return fail_with(ENOSPC);
    space -= static_cast<std::int64_t>(count);
    return ::write(fd, data, count);
  };
  return files;
}

int entries_in(const std::string& directory) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count;
}

}  // namespace

TEST_CASE("write_file replaces a file whole, through short and interrupted writes") {
  const Scratch scratch;
  const std::string path = scratch / "file";
  write_file(path, "old");
  FileSystem files = small_disk(1000, 3);
  files.write = [inner = files.write, calls = 0](int fd, const void* data,
                                                 std::size_t size) mutable -> std::int64_t {
    return ++calls % 2 == 1 ? fail_with(EINTR) : inner(fd, data, size);
  };
  write_file(path, "twelve bytes", files);
  CHECK(read_file(path) == "twelve bytes");
  write_file(path, "");
  CHECK(read_file(path).empty());
  CHECK(entries_in(scratch.path()) == 1);
}

TEST_CASE(
    "whatever fails, write_file leaves the old file, nothing beside it, and names path and "
    "reason") {
  struct Case {
    const char* why;
    std::function<void(FileSystem&)> breakage;
    const char* expected;
  };
  const Case cases[] = {
      {"full at once", [](FileSystem& f) { f = small_disk(0); },
       "No space left on device (after 0 of 12 bytes)"},
      {"full halfway", [](FileSystem& f) { f = small_disk(8); },
       "No space left on device (after 8 of 12 bytes)"},
      {"a write that takes nothing",
       [](FileSystem& f) { f.write = [](int, const void*, std::size_t) { return 0; }; },
       "Input/output error"},
      {"sync", [](FileSystem& f) { f.sync = [](int) { return fail_with(EIO); }; },
       "Input/output error (after 12 of 12 bytes)"},
      {"close",
       [](FileSystem& f) {
         f.close = [](int fd) {
           ::close(fd);
           return fail_with(EDQUOT);
         };
       },
       "quota"},
      {"rename",
       [](FileSystem& f) { f.rename = [](const char*, const char*) { return fail_with(EACCES); }; },
       "Permission denied (renaming"},
      {"open",
       [](FileSystem& f) { f.open = [](const char*, int, unsigned) { return fail_with(EROFS); }; },
       "Read-only file system"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Scratch scratch;
    const std::string path = scratch / "file";
    write_file(path, "old");
    FileSystem files = FileSystem::real();
    c.breakage(files);
    const std::string message = data_error_of([&] { write_file(path, "twelve bytes", files); });
    CAPTURE(message);
    CHECK(contains(message, path));
    CHECK(contains(message, c.expected));
    CHECK(read_file(path) == "old");
    CHECK(entries_in(scratch.path()) == 1);
  }
}

TEST_CASE("a real limit of the operating system cuts a write short and leaves nothing behind") {
  const Scratch scratch;
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message =
      data_error_of([&] { write_file(scratch / "file", std::string(5000, 'x')); });
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(contains(message, "File too large (after 1000 of 5000 bytes)"));
  CHECK(entries_in(scratch.path()) == 0);
}

TEST_CASE("a read-only directory, a missing one and a directory for a file give their reasons") {
  const Scratch scratch;
  if (::geteuid() != 0) {  // root writes anywhere
    REQUIRE(::chmod(scratch.path().c_str(), 0555) == 0);
    CHECK(contains(data_error_of([&] { write_file(scratch / "file", "x"); }), "Permission denied"));
    REQUIRE(::chmod(scratch.path().c_str(), 0755) == 0);
  }
  CHECK(contains(data_error_of([&] { write_file(scratch / "missing/file", "x"); }),
                 "No such file or directory"));
  CHECK(contains(data_error_of([&] { read_file(scratch / "missing"); }),
                 "No such file or directory"));
  CHECK(contains(data_error_of([&] { read_file(scratch.path()); }), "Is a directory"));
}

TEST_CASE("a line file holds whole lines only and continues after a stated size") {
  const Scratch scratch;
  const std::string path = scratch / "lines";
  {
    LineFile lines(path, 0, FileSystem::real());
    lines.append("one");
    lines.append("two");
    lines.sync();
  }
  CHECK(read_file(path) == "one\ntwo\n");
  {
    LineFile lines(path, 4, FileSystem::real());
    CHECK(read_file(path) == "one\n");
    LineFile moved = std::move(lines);
    moved.append("three");
  }
  CHECK(read_file(path) == "one\nthree\n");
  CHECK(contains(data_error_of([&] { LineFile(path, 100, FileSystem::real()); }),
                 "expected at least 100 bytes to continue after, found 10"));

  LineFile full(path, 10, small_disk(8, 3));
  full.append("four");
  CHECK(contains(data_error_of([&] { full.append("fifth"); }),
                 "No space left on device (after 3 of 6 bytes)"));
  CHECK(read_file(path) == "one\nthree\nfour\n");
}

TEST_CASE("a directory is claimed by one holder at a time") {
  const Scratch scratch;
  const std::string path = scratch / "lock";
  {
    DirectoryLock first(path);
    const DirectoryLock moved = std::move(first);
    CHECK(contains(data_error_of([&] { DirectoryLock{path}; }),
                   "another run is writing to this directory"));
  }
  CHECK_NOTHROW(DirectoryLock{path});
}

TEST_CASE("what is no regular file is refused and never waited for") {
  const Scratch scratch;
  const std::string pipe = scratch / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, std::string("/dev/zero"), std::string("/dev/full")}) {
    CAPTURE(path);
    CHECK(contains(data_error_of([&] { read_file(path); }), path + ": expected a regular file"));
    CHECK(data_error_of([&] { LineFile(path, 0, FileSystem::real()); }) != "");
    CHECK(data_error_of([&] { DirectoryLock{path}; }) != "");
  }
}

TEST_CASE("nothing is written through a link") {
  const Scratch scratch;
  const std::string outside = scratch / "outside", path = scratch / "file";
  write_file(outside, "precious\n");
  fs::create_symlink(outside, path);
  CHECK(contains(data_error_of([&] { LineFile(path, 0, FileSystem::real()); }),
                 "a run writes through no symbolic link"));
  CHECK(contains(data_error_of([&] { DirectoryLock{path}; }),
                 "a run writes through no symbolic link"));
  fs::create_symlink(outside, path + ".part");
  write_file(path, "new");  // takes the place of both links
  CHECK(read_file(path) == "new");
  CHECK_FALSE(fs::is_symlink(path));

  fs::create_hard_link(outside, scratch / "second name");
  CHECK(contains(data_error_of([&] { LineFile(scratch / "second name", 0, FileSystem::real()); }),
                 "the file has 2 names"));
  CHECK(read_file(outside) == "precious\n");
}

TEST_CASE("a file or a lock that is replaced under a run is noticed") {
  const Scratch scratch;
  const std::string path = scratch / "lines", lock_path = scratch / "lock";
  LineFile lines(path, 0, FileSystem::real());
  const DirectoryLock lock(lock_path);
  CHECK_NOTHROW(lines.sync());
  CHECK_NOTHROW(lock.check());
  write_file(path, "another file of that name");
  CHECK(contains(data_error_of([&] { lines.sync(); }), "removed or replaced"));
  fs::remove(lock_path);
  CHECK(contains(data_error_of([&] { lock.check(); }), "removed or replaced"));
  const DirectoryLock other(lock_path);
  CHECK(contains(data_error_of([&] { lock.check(); }), "removed or replaced"));
  CHECK_NOTHROW(other.check());
}

TEST_CASE("only its owner can open a lock, so nobody else can hold a run up") {
  const Scratch scratch;
  const std::string path = scratch / "lock";
  write_file(path, "");
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  const DirectoryLock lock(path);
  CHECK(fs::status(path).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}
