#include "core/process.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace ebb {

void spin_briefly(char** argv) {
  // Where threads are bound, this one is already: started anew, it would see the one processor it is bound to.
  for (const char* const choice : {"OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}) {
    if (std::getenv(choice) != nullptr) return;
  }
  if (setenv("OMP_WAIT_POLICY", "passive", 0) != 0) return;
  setenv("GOMP_SPINCOUNT", "2000", 0);
  execv("/proc/self/exe", argv);  // returns only if it failed
}

void keep_memory() {
#if defined(__GLIBC__)
  // Raising M_MMAP_THRESHOLD would not do: glibc refuses thresholds above 32 MiB.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

}  // namespace ebb
