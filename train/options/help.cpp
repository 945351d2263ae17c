#include "train/options/help.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "core/text.h"
#include "train/options/wrap.h"

namespace ebb::train {
namespace {

constexpr std::size_t kColumns = 100, kIndent = 28;

// Two columns: what it is called, and what it is.
std::string entry(const std::string& name, const std::string& text) {
  std::string line = concat("  ", name);
  if (line.size() + 2 > kIndent) line += '\n';
  const std::size_t column = line.ends_with('\n') ? 0 : line.size();
  return concat(line, std::string(kIndent - column, ' '), wrap(text, kColumns, kIndent), '\n');
}

std::string shown(const std::string& text) { return text.empty() ? "none" : text; }

// The default of most architectures, then of those that have another: "10; lenet5: 3".
std::string default_by_arch(const OptionSpec& option, const Program& program) {
  if (!option.default_help.empty()) return option.default_help;
  std::vector<std::pair<std::string, std::vector<std::string>>> texts;  // and who has it
  for (const Arch& arch : program.archs) {
    const std::string text = shown(default_text(option, arch));
    auto found = std::ranges::find(texts, text, [](const auto& pair) { return pair.first; });
    if (found == texts.end()) found = texts.insert(texts.end(), {text, {}});
    found->second.push_back(arch.name);
  }
  const auto most =
      std::ranges::max_element(texts, {}, [](const auto& pair) { return pair.second.size(); });
  std::string line = most->first;
  for (const auto& [text, archs] : texts) {
    if (text != most->first) line += concat("; ", join_words(archs), ": ", text);
  }
  return line;
}

std::string help_of(const OptionSpec& option, const Program& program) {
  if (option.kind == OptionSpec::Kind::flag) return option.help;
  const std::string by_default =
      option.name == "arch" ? program.archs.at(0).name : default_by_arch(option, program);
  return concat(option.help, " [", by_default, "]");
}

}  // namespace

KeyValues defaults_of(const Arch& arch) {
  KeyValues texts{{"epochs", to_text(arch.epochs)},
                  {"batch", to_text(arch.batch)},
                  {"optimizer", arch.optimizer},
                  {"lr", to_text(arch.lr)},
                  {"weight-decay", to_text(arch.weight_decay)},
                  {"clip", arch.clip ? to_text(*arch.clip) : ""},
                  {"lr-schedule", arch.lr_schedule}};
  texts.insert(texts.end(), arch.options.begin(), arch.options.end());
  return texts;
}

std::string default_text(const OptionSpec& option, const Arch& arch) {
  const KeyValues own = defaults_of(arch);
  const auto found = std::ranges::find(own, option.name, &KeyValues::value_type::first);
  return found == own.end() ? option.fallback : found->second;
}

std::string help_text(const Program& program) {
  const Options options(program.options);
  std::string text =
      concat(program.summary, "\n\nUsage: ", program.name,
             " [OPTIONS], as in --NAME VALUE or --NAME=VALUE\n"
             "Defaults are in brackets, followed by architectures with other defaults.\n");
  std::string group;
  for (const OptionSpec& option : options.specs) {
    if (option.name == "preset" && program.presets.empty()) continue;
    if (option.group != group) text += concat('\n', group = option.group, ":\n");
    const std::string value = option.value.empty() ? "" : concat(' ', option.value);
    text += entry(concat("--", option.name, value), help_of(option, program));
  }
  text += entry("--help, -h", "this text") + entry("--version", "the version of Ebb");
  text += "\nArchitectures:\n";
  for (const Arch& arch : program.archs) text += entry(arch.name, arch.summary);
  if (!program.presets.empty()) text += "\nPresets:\n";
  for (const Preset& preset : program.presets) text += entry(preset.name, preset.summary);
  return text +
         "\nExit codes: 0 done; 1 failed; 2 the command line itself is wrong; 3 interrupted by "
         "Ctrl-C and saved.\n"
         "Progress and warnings go to stderr; NO_COLOR switches colours off.\n";
}

}  // namespace ebb::train
