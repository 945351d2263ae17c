#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace ebb::study {

/// Who claims runs, and how it sees others. A value, so that tests can play other machines and
/// other times.
struct Claimant {
  std::string host{};     ///< its name, for people
  std::string machine{};  ///< what process ids mean something in: boot and process namespace
  pid_t process = 0;
  std::string started{};          ///< when the process began, as the kernel says it
  std::function<double()> now{};  ///< seconds of a steady clock
  /// Whether a process of this machine that began at `started` lives.
  std::function<bool(pid_t process, const std::string& started)> alive{};

  static Claimant this_process();
};

/// A claim on a run among processes that share a folder: a file that only one can make. It holds
/// host, process and a heartbeat, and is given up by removing it.
class Claim {
 public:
  Claim(const Claim&) = delete;
  Claim(Claim&& other) noexcept;
  Claim& operator=(const Claim&) = delete;
  Claim& operator=(Claim&& other) noexcept;
  /// Gives the run up, unless another process has taken it over.
  ~Claim();

  /// Renews the heartbeat if it is time. It is written to the file that was made, whatever has
  /// become of its name, so that a claim of another process is never written over.
  /// @throws DataError if it cannot be written
  void renew(double now);
  /// False once another process has taken the run over.
  [[nodiscard]] bool ours() const;

 private:
  friend class Claims;
  Claim(std::string path, const Claimant& me);
  void write(double now);

  std::string path_, content_;
  int fd_ = -1;
  double written_ = 0;
};

/// The claims of a study's runs, in one folder.
///
/// A claim is taken over if its process is dead on this machine, or if nothing about it has changed
/// for five minutes as this process's own clock counts them: the clocks of machines need not agree.
/// Whoever takes over gives the old file a name of its own first, looks whether it is the one it
/// judged, and only then makes a new claim as anybody would. Of several who try, the file system
/// picks one.
class Claims {
 public:
  static constexpr double kHeartbeat = 30, kSilence = 300;  ///< seconds

  Claims(std::string folder, Claimant me);

  /// None if another process holds the run. @throws DataError if the folder cannot be written
  std::optional<Claim> acquire(const std::string& run);
  /// The host of who holds it, as of the last acquire; empty if that is not known.
  [[nodiscard]] std::string holder(const std::string& run) const;
  /// Whether anybody claims it.
  [[nodiscard]] bool claimed(const std::string& run) const;

 private:
  struct Seen {
    std::string content, host;
    double since = 0;
  };
  [[nodiscard]] std::string path(const std::string& run) const;
  bool abandoned(const std::string& path, Seen& seen) const;
  static bool set_aside(const std::string& path, const std::string& aside, const Seen& seen);

  std::string folder_;
  Claimant me_;
  std::map<std::string, Seen> seen_;
  int taken_over_ = 0;
};

}  // namespace ebb::study
