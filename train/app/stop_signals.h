#pragma once

#include <array>
#include <csignal>

namespace ebb::cli {

/// While one is alive, Ctrl-C, SIGTERM and a closed terminal ask the loop to stop, once; a second
/// one kills as usual.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  /// Not 0 once a signal came: what LoopSettings::stop looks at.
  static const volatile std::sig_atomic_t* requested();

 private:
  static constexpr std::array kStopping{SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kStopping.size()> old_{};
};

}  // namespace ebb::cli
