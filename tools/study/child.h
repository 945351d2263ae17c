#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace ebb::study {

/// A program in the background. It is in a process group of its own, so that Ctrl-C reaches it
/// through us alone, and gets SIGTERM if this process dies, however that comes.
class Child {
 public:
  /// Its standard output and error go to the descriptors, its standard input is empty. A program
  /// that cannot be started says so there and ends with 127.
  Child(const std::vector<std::string>& words, int out, int err);
  Child(const Child&) = delete;
  Child(Child&& other) noexcept;
  Child& operator=(const Child&) = delete;
  Child& operator=(Child&& other) noexcept;
  /// Ends it by SIGTERM and waits, if it runs.
  ~Child();

  /// Its exit code, 128 + the signal that ended it, or none while it runs.
  std::optional<int> ended();
  void send(int signal) const;
  [[nodiscard]] pid_t id() const { return id_; }

 private:
  pid_t id_ = -1;  // -1: has been waited for, or moved away
};

/// While one is alive, Ctrl-C, SIGTERM and a closed terminal are counted and do nothing else, and
/// writing to a reader who has gone, or beyond a limit on files, is an error as any other.
class Interrupts {
 public:
  Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts();
  static int count();

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
  struct sigaction old_[std::size(kSignals)]{};
};

}  // namespace ebb::study
