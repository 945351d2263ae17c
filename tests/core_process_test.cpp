#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>

#include "core/memory.h"
#include "core/process.h"

using namespace ebb;

namespace {

struct End {
  int status = 0;  // as waitpid() has it
  std::string said;
};

/// How a process ends from which `leave` throws where no exception may leave.
End end_of(const std::function<void()>& leave) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) dup2(pipe_ends[1], fd);
    std::signal(SIGABRT, SIG_DFL);
    explain_lack_of_memory();
    [&]() noexcept { leave(); }();
    _exit(0);
  }
  close(pipe_ends[1]);
  End end;
  char buffer[256];
  for (ssize_t n = 0; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    end.said.append(buffer, static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  REQUIRE(waitpid(child, &end.status, 0) == child);
  return end;
}

}  // namespace

TEST_CASE(
    "memory that runs out where no exception may leave ends the program with its message and exit "
    "code 1") {
  const End memory = end_of([] { throw MemoryError("[memory] cannot allocate 1.0 GiB for x"); });
  CHECK(WIFEXITED(memory.status));
  CHECK(WEXITSTATUS(memory.status) == 1);
  CHECK(memory.said == "core_tests: [memory] cannot allocate 1.0 GiB for x\n");
  const End plain = end_of([] { throw std::bad_alloc(); });
  CHECK(WEXITSTATUS(plain.status) == 1);
  CHECK(plain.said == "core_tests: [memory] there is no more on this machine\n");

  const End mistake = end_of([] { throw std::logic_error("ours"); });
  CHECK(WIFSIGNALED(mistake.status));
  CHECK(WTERMSIG(mistake.status) == SIGABRT);
}
