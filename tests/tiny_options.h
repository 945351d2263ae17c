#pragma once

#include <string>
#include <vector>

#include "train/options/options.h"

namespace ebb::test {

/// The options of a program with one network and no options of its own.
inline train::Options options_of(const std::vector<std::string>& args) {
  static const train::Program program{
      .name = "ebb-test",
      .summary = "",
      .archs = {{.name = "net", .summary = "", .lr = 0.1, .lr_schedule = "1"}}};
  train::Options options = train::parse_command_line(args, program).options;
  train::apply_defaults(options, program);
  return options;
}

}  // namespace ebb::test
