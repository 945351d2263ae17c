#include "train/app/run_main.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/memory.h"
#include "core/printable.h"
#include "core/process.h"
#include "train/app/session.h"

namespace ebb::cli {
namespace {

constexpr std::string_view kAskForLess = "; lower --batch or the sizes of the network";

}  // namespace

int run(std::span<const std::string> args, const ModelFamily& family, const Console& console) {
  const auto fail = [&](const std::exception& error, Exit code) {
    console.err << family.program.name << ": " << printable(error.what(), LineFeeds::kept)
                << std::endl;
    return code;
  };
  try {
    return Session(family, console)(args);
  } catch (const ConfigError& error) {
    return fail(error, kWrongCommandLine);
  } catch (const MemoryError& error) {
    return fail(Error(concat(error.what(), kAskForLess)), kFailed);
  } catch (const std::bad_alloc&) {
    return fail(Error(concat("[memory] there is no more on this machine", kAskForLess)), kFailed);
  } catch (const std::length_error&) {  // of a container: more than there are addresses
    return fail(Error(concat("[memory] no machine has what these options ask for", kAskForLess)),
                kFailed);
  } catch (const std::exception& error) {
    return fail(error, kFailed);
  }
}

int run_main(int argc, char** argv, const ModelFamily& family) {
  reserve_standard_streams();
  // A reader of the log that has gone, or a limit on files, is an error of that write and no reason
  // to lose the run.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  start_tuned(argv);
  explain_lack_of_memory();
  keep_memory();
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  const char* terminal_kind = std::getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) == 1 && terminal_kind != nullptr &&
                        std::string_view(terminal_kind) != "dumb";
  return run(args, family,
             {.out = std::cout,
              .err = std::cerr,
              .terminal = terminal,
              .color = terminal && !set("NO_COLOR"),
              .width = [] {
                winsize size{};
                const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
                return known ? static_cast<int>(size.ws_col) : 80;
              }});
}

}  // namespace ebb::cli
