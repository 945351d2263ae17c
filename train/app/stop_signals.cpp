#include "train/app/stop_signals.h"

#include <unistd.h>

#include <cerrno>

namespace ebb::cli {
namespace {

// A signal handler can reach nothing but this.
volatile std::sig_atomic_t stop_requested = 0;

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  struct sigaction action {};
  action.sa_handler = [](int) {
    stop_requested = 1;
    // Said at once, with what a handler may do; the step under way may take minutes.
    constexpr char kText[] =
        "\nstopping when the step, or piece of an evaluation, under way is done; once more kills "
        "at once\n";
    const int code = errno;
    static_cast<void>(write(STDERR_FILENO, kText, sizeof kText - 1) == 0);
    errno = code;
  };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  for (std::size_t i = 0; i < kStopping.size(); ++i) {
    sigaction(kStopping[i], nullptr, &old_[i]);
    const bool nohup = kStopping[i] == SIGHUP && old_[i].sa_handler == SIG_IGN;
    if (!nohup) sigaction(kStopping[i], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStopping.size(); ++i) sigaction(kStopping[i], &old_[i], nullptr);
}

const volatile std::sig_atomic_t* StopSignals::requested() { return &stop_requested; }

}  // namespace ebb::cli
