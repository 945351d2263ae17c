#pragma once

namespace ebb {

/// What a program that trains does first in its main(). The library changes nothing about its
/// process by itself.

/// Fills the descriptors 0, 1 and 2 where whoever started the program closed them. The next file
/// that is opened would else get one of them, and what goes to standard output or error would go
/// into that file. They are opened on /dev/null, the input for writing and the outputs for reading,
/// so that using one is an error as before.
void reserve_standard_streams();

/// Re-executes this program, once, with environment variables set that its libraries read only when
/// they are loaded.
///
/// Waiting OpenMP threads then spin only briefly. Threads that spin as long as they wait take the
/// processor from the thread they wait for as soon as anything else runs on the machine: steps take
/// several times as long. Threads that never spin are woken a thousand times per step. So they spin
/// for some 25 us (libgomp's count of pauses; other libraries sleep at once).
///
/// And glibc asks for huge pages (2 MiB) for its heap, where the kernel leaves that to programs:
/// passes over large tensors look up far fewer addresses.
///
/// Whoever sets OMP_WAIT_POLICY or GLIBC_TUNABLES keeps their choice, and programs whose threads
/// are bound (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY) are left alone. Where it fails
/// everything works as before, only slower.
void start_tuned(char** argv);

/// If memory runs out inside a parallel loop, where an exception cannot leave its thread, the
/// program then ends with a message and exit code 1 in place of a core dump.
void explain_lack_of_memory();

/// Keeps freed memory in the process (glibc). A step allocates the same large tensors as the one
/// before; giving them back to the kernel in between costs a page fault for every 4 KiB.
void keep_memory();

}  // namespace ebb
