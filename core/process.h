#pragma once

namespace ebb {

/// What a program that trains does first in its main(). The library changes nothing about its process by itself.

/// Lets waiting OpenMP threads spin only briefly. Threads that spin as long as they wait take the processor from the thread they
/// wait for as soon as anything else runs on the machine: steps then take several times as long. Threads that never spin are woken
/// a thousand times a step. So they spin for some 25 us (libgomp's count of pauses; other libraries sleep at once). The policy is
/// read when the OpenMP library is loaded, so the program starts itself anew, once, with the environment it wants; whoever sets
/// OMP_WAIT_POLICY, or binds threads (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), keeps their choice. Where that fails everything works as before, only slower.
void spin_briefly(char** argv);

/// Keeps freed memory in the process (glibc). A step allocates the same large tensors as the one before; giving them back to the
/// kernel in between costs a page fault for every 4 KiB.
void keep_memory();

}  // namespace ebb
