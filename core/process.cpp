#include "core/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

#include "core/memory.h"

namespace ebb {

void reserve_standard_streams() {
  // open() takes the lowest free number, which is this one as those below are taken.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) == -1 &&
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      return;
  }
}

void start_tuned(char** argv) {
  const auto unset = [](const char* name) { return std::getenv(name) == nullptr; };
  // Where threads are bound, this one is already: started anew, it would see the one processor it
  // is bound to.
  if (!unset("OMP_PROC_BIND") || !unset("OMP_PLACES") || !unset("GOMP_CPU_AFFINITY")) return;
  bool changed = false;
  const auto set = [&](const char* name, const char* value) {
    changed |= setenv(name, value, 0) == 0;
  };
  if (unset("OMP_WAIT_POLICY")) {
    set("OMP_WAIT_POLICY", "passive");
    set("GOMP_SPINCOUNT", "2000");
  }
  if (unset("GLIBC_TUNABLES")) set("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
  if (changed) execv("/proc/self/exe", argv);  // returns only if it failed
}

void explain_lack_of_memory() {
  std::set_terminate([] {
    static std::atomic_flag told;
    const auto end = [](const char* why) {
      while (told.test_and_set())
        pause();  // several threads may run out at once: the first ends all
      dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, why);
      _exit(EXIT_FAILURE);
    };
    try {
      if (const std::exception_ptr reason = std::current_exception())
        std::rethrow_exception(reason);
    } catch (const MemoryError& error) {
      end(error.what());
    } catch (const std::bad_alloc&) {
      end("[memory] there is no more on this machine");
    } catch (...) {
    }
    static_cast<void>(raise(SIGABRT));  // a mistake of ours, as without a handler
    _exit(EXIT_FAILURE);
  });
}

void keep_memory() {
#if defined(__GLIBC__)
  // Raising M_MMAP_THRESHOLD would not do: glibc refuses thresholds above 32 MiB.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

}  // namespace ebb
