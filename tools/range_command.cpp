#include "tools/range_command.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <ostream>

#include "core/error.h"
#include "core/text.h"
#include "tools/study/ask.h"
#include "tools/study/child.h"
#include "tools/study/look.h"
#include "train/files.h"
#include "train/record.h"

namespace ebb::tools {
namespace {

using Words = std::vector<std::string>;

/// Where `--name VALUE` or `--name=VALUE` begins among the words.
Words::const_iterator place_of(const Words& words, const std::string& name) {
  return std::ranges::find_if(words, [flag = "--" + name](const std::string& word) {
    return word == flag || word.starts_with(flag + "=");
  });
}

bool gave(const Words& words, const std::string& name) {
  return place_of(words, name) != words.end();
}

/// The value of an option, taken out of the words; none if it is not there.
std::optional<std::string> take(Words& words, const std::string& name) {
  const auto place = place_of(words, name);
  if (place == words.end()) return std::nullopt;
  const std::size_t equals = place->find('=');
  if (equals != std::string::npos) {
    const std::string value = place->substr(equals + 1);
    words.erase(place);
    return value;
  }
  require<ConfigError>(place + 1 != words.end(), "[range-test] --", name, " has no value");
  const std::string value = *(place + 1);
  words.erase(place, place + 2);
  return value;
}

void refuse_what_is_set(const Words& words) {
  for (const char* name :
       {"bits", "schedule", "cycles", "period", "min-bits", "max-bits", "out", "resume", "evaluate",
        "generate", "dump", "export", "dry-run", "json", "patience"})
    require<ConfigError>(!gave(words, name), "[range-test] --", name,
                         " has no place behind --: a range test sets bits and output itself, by ",
                         "--min-bits, --max-bits and --out before it");
}

/// What the program makes of the options of the real run.
study::Prediction ask(const std::string& program, const Words& options) {
  Words words{program};
  words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), {"--dry-run", "--json", "--quiet", "--out", "none"});
  const study::Said said = study::run_program(words, false);
  const std::string message = study::message_of(program, said.err, said.exit_code);
  require<ConfigError>(said.exit_code != 2, message);
  require<DataError>(said.exit_code == 0, message);
  return study::parse_prediction(said.out);
}

/// The options of the test: those of the real run, with its learning rates over as many updates.
Words options_of_test(Words words, const report::RangeSettings& settings,
                      const study::Prediction& real) {
  const std::int64_t updates = settings.updates * (settings.high - settings.low + 1);
  for (const char* name : {"iterations", "epochs", "lr-schedule"}) take(words, name);
  const std::string iterations = to_text(updates);
  words.insert(words.end(),
               {"--iterations", iterations, "--bits", range_schedule(settings), "--lr-schedule",
                concat("(", real.lr_schedule, ") @", real.iterations, "up")});
  const auto set = [&](const std::string& name, const std::string& value) {
    if (!gave(words, name)) words.insert(words.end(), {"--" + name, value});
  };
  set("gradient-bits", to_text(settings.high));
  set("eval-every", iterations);
  return words;
}

}  // namespace

int range_test(const RangeOptions& options, std::ostream& out, std::ostream& err) {
  check(options.settings);
  refuse_what_is_set(options.options);
  const std::string program = study::find_program(options.program);
  Words named = options.options;
  const std::string arch = take(named, "arch").value_or("");
  const std::string directory =
      !options.out.empty()
          ? options.out
          : concat("runs/range-", study::program_name(program), arch.empty() ? "" : "-", arch);
  const study::Interrupts interrupts;
  Words words = options_of_test(options.options, options.settings, ask(program, options.options));
  words.insert(words.begin(), program);
  words.insert(words.end(), {"--out", directory});
  const bool there = std::filesystem::exists(directory);
  if (there) words.emplace_back("--resume");
  const study::Said said = study::run_program(words, true);
  require<DataError>(said.exit_code == 0 || said.exit_code == 3, "[range-test] ",
                     study::program_name(program), " ended with exit code ", said.exit_code,
                     there ? concat("; ", directory, " may hold another run: choose another --out")
                           : std::string());
  train::write_file(directory + report::kRangeFile, report::to_json(options.settings));
  const report::RangeTest test =
      report::judge_range(train::read_history(directory), options.settings);
  out << (options.json ? report::to_json(test, directory) : report::to_table(test)) << std::flush;
  require<DataError>(out.good(), "[range-test] standard output cannot be written");
  if (said.exit_code == 3) err << "ebb: interrupted and saved; the same command goes on\n";
  return said.exit_code;
}

}  // namespace ebb::tools
