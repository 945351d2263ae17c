#include "tools/study/runs.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "core/sha256.h"

namespace ebb::study {
namespace {

const Setting* find(const std::vector<Setting>& settings, std::string_view option) {
  const auto found = std::ranges::find(settings, option, &Setting::option);
  return found == settings.end() ? nullptr : &*found;
}

bool matches(const std::vector<Setting>& settings, const std::vector<Setting>& wanted) {
  return std::ranges::all_of(wanted, [&](const Setting& each) {
    const Setting* has = find(settings, each.option);
    return has != nullptr && spelling(has->text) == spelling(each.text);
  });
}

// `own` in place of or behind the common ones.
std::vector<Setting> merged(std::vector<Setting> common, const std::vector<Setting>& own) {
  for (const Setting& each : own) {
    const auto place = std::ranges::find(common, each.option, &Setting::option);
    if (place == common.end())
      common.push_back(each);
    else
      *place = each;
  }
  return common;
}

// The options that every program has, as they are given.
train::Options values_of(const std::vector<Setting>& settings) {
  train::Options values;
  for (const Setting& each : settings) {
    if (values.find(each.option) == nullptr) continue;  // the family's
    values.set(each.option, each.text);
    values.given.push_back(each.option);
  }
  return values;
}

bool has_no_effect(const train::Options& values, const std::string& option) {
  const train::OptionSpec* spec = values.find(option);
  return spec != nullptr && spec->conflict != nullptr && !spec->conflict(values).empty();
}

// The options of a run. One that is common to all is left out where what the run says itself leaves
// it no effect, such as cycles where the schedule is static; a program refuses such options.
std::vector<Setting> options_of(const std::vector<Setting>& common, const train::Options& before,
                                const std::vector<Setting>& own) {
  std::vector<Setting> all = merged(common, own);
  const train::Options now = values_of(all);
  std::erase_if(all, [&](const Setting& each) {
    return find(own, each.option) == nullptr && has_no_effect(now, each.option) &&
           !has_no_effect(before, each.option);
  });
  return all;
}

// What can be told without the program: names that no option has, options that a sweep sets
// itself, and values of those that every program has.
void check_setting(const Study& study, const train::Options& known, const Setting& setting) {
  const std::string& option = setting.option;
  if (option == "threads")
    complain(study, setting.place,
             "threads: no result depends on them; give --threads to ebb sweep");
  if (option == "config")
    complain(study, setting.place,
             "config: write what is in that file into [options], so that the study says it all");
  const std::vector<std::string> ours{"out",  "resume", "evaluate", "generate", "dry-run",
                                      "json", "quiet",  "help",     "version"};
  if (std::ranges::find(ours, option) != ours.end())
    complain(study, setting.place, option, ": a sweep says this itself; leave it out");
  const train::OptionSpec* spec = known.find(option);
  if (spec == nullptr) {
    const auto plain = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    };
    std::vector<std::string> names;
    for (const train::OptionSpec& each : known.specs) names.push_back(each.name);
    if (option.empty() || option.front() == '-' || !std::ranges::all_of(option, plain)) {
      const std::string nearest = nearest_word(option, names);
      complain(study, setting.place, "no option is named '", option, "'",
               nearest.empty() ? "; names are as on the command line, without the dashes in front"
                               : concat("; did you mean '", nearest, "'?"));
    }
    return;  // perhaps the family's
  }
  const bool flag = spec->kind == train::OptionSpec::Kind::flag;
  if (flag != setting.flag)
    complain(study, setting.place, option, ": expected ", flag ? "true or false" : spec->value,
             ", got ", setting.flag ? "" : "'", setting.text, setting.flag ? "" : "'");
  try {
    train::check(*spec, setting.text);
  } catch (const ConfigError& error) {
    std::string message = error.what();
    constexpr std::string_view kPrefix = "[command line] ";
    if (message.starts_with(kPrefix)) message.erase(0, kPrefix.size());
    complain(study, setting.place, message);
  }
}

void check_settings(const Study& study) {
  const train::Options known;
  const auto check = [&](const std::vector<Setting>& settings) {
    for (const Setting& each : settings) check_setting(study, known, each);
  };
  check(study.options);
  for (const Axis& axis : study.grid) check(axis.values);
  for (const Group& group : study.runs) check(group.settings);
  if (study.baseline) check(study.baseline->settings);
}

// A combination that is left out must be one.
void check_excluded(const Study& study) {
  std::vector<std::string> axes;
  for (const Axis& axis : study.grid) axes.push_back(axis.option);
  for (const Group& group : study.excluded) {
    if (group.settings.empty()) complain(study, group.place, "[[exclude]] leaves everything out");
    for (const Setting& setting : group.settings) {
      const auto axis = std::ranges::find(study.grid, setting.option, &Axis::option);
      if (axis == study.grid.end())
        complain(study, setting.place,
                 "[[exclude]]: ", unknown_word("option of the grid", setting.option, axes));
      std::vector<std::string> values;
      for (const Setting& value : axis->values) values.push_back(spelling(value.text));
      if (std::ranges::find(values, spelling(setting.text)) == values.end())
        complain(study, setting.place, "[[exclude]]: ",
                 unknown_word(concat("value of ", setting.option), setting.text, values));
    }
  }
}

std::int64_t combinations(const Study& study) {
  if (study.grid.empty()) return study.runs.empty() ? 1 : 0;  // without both, the options are a run
  std::int64_t count = 1;
  for (const Axis& axis : study.grid) {
    if (__builtin_mul_overflow(count, std::ssize(axis.values), &count)) return INT64_MAX;
  }
  return count;
}

// The n-th combination; the first axis turns slowest.
std::vector<Setting> combination(const Study& study, std::int64_t n) {
  std::vector<Setting> settings;
  for (auto axis = study.grid.rbegin(); axis != study.grid.rend(); ++axis) {
    settings.push_back(axis->values[static_cast<std::size_t>(n % std::ssize(axis->values))]);
    n /= std::ssize(axis->values);
  }
  std::ranges::reverse(settings);
  return settings;
}

// Options in which runs differ, in the order of grid and single runs.
std::vector<std::string> varied_options(const Study& study, const std::vector<Run>& runs) {
  std::vector<std::string> candidates;
  const auto add = [&](const std::string& option) {
    if (std::ranges::find(candidates, option) == candidates.end()) candidates.push_back(option);
  };
  for (const Axis& axis : study.grid) add(axis.option);
  for (const Group& group : study.runs) {
    for (const Setting& each : group.settings) add(each.option);
  }
  const auto text = [](const Run& run, const std::string& option) {
    const Setting* setting = find(run.options, option);
    return setting == nullptr ? std::string() : spelling(setting->text);
  };
  std::erase_if(candidates, [&](const std::string& option) {
    return std::ranges::all_of(
        runs, [&](const Run& run) { return text(run, option) == text(runs[0], option); });
  });
  return candidates;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_safe(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '+';
}

constexpr std::size_t kLongestName = 80;

// Values of the varied options: "CR_seed-1". A text that means one option alone stands by itself.
// Where the file system or another run could take offence, the fingerprint tells runs apart.
void name_runs(Expansion& expansion) {
  std::map<std::string, std::set<std::string>> options_of_text;
  for (const Run& run : expansion.runs) {
    for (const std::string& option : expansion.varied) {
      if (const Setting* setting = find(run.options, option))
        options_of_text[setting->text].insert(option);
    }
  }
  std::map<std::string, int> uses;
  std::set<std::string> doubtful{"logs", "claims", "failures", "study.json"};
  for (Run& run : expansion.runs) {
    std::string name;
    for (const std::string& option : expansion.varied) {
      const Setting* setting = find(run.options, option);
      if (setting == nullptr) continue;
      const bool alone = !setting->flag && !setting->text.empty() && is_letter(setting->text[0]) &&
                         options_of_text[setting->text].size() == 1;
      name += concat(name.empty() ? "" : "_", alone ? "" : concat(option, '-'),
                     spelling(setting->text));
    }
    if (name.empty()) name = "run";
    const bool unsafe = !std::ranges::all_of(name, [](char c) { return is_safe(c) || c == '_'; });
    for (char& c : name) {
      if (!is_safe(c)) c = '_';
    }
    if (!is_letter(name[0])) name.insert(0, "run-");
    if (unsafe || name.size() > kLongestName) {
      name.resize(std::min(name.size(), kLongestName));
      doubtful.insert(name);
    }
    run.name = name;
    ++uses[name];
  }
  for (Run& run : expansion.runs) {
    if (uses[run.name] > 1 || doubtful.contains(run.name))
      run.name += concat('-', run.fingerprint.substr(0, 8));
  }
}

void check_different(const Study& study, const Expansion& expansion) {
  std::map<std::string, const Run*> by_fingerprint;
  for (const Run& run : expansion.runs) {
    const auto [other, fresh] = by_fingerprint.emplace(run.fingerprint, &run);
    require<ConfigError>(
        fresh, "[study] ", study.path, ": two runs are the same and would have the same results: ",
        join_words(words(other->second->options), " "), " of ", other->second->origin, " and ",
        join_words(words(run.options), " "), " of ", run.origin, "; leave one out");
  }
}

void check_baseline(const Study& study, const Expansion& expansion) {
  if (!study.baseline) return;
  const bool any = std::ranges::any_of(expansion.runs, [&](const Run& run) {
    return matches(run.options, study.baseline->settings);
  });
  if (!any || study.baseline->settings.empty())
    complain(study, study.baseline->place,
             "[baseline] expected options of some of the runs, such as schedule = \"static\"; ",
             study.baseline->settings.empty()
                 ? "it is empty"
                 : concat("no run has ", join_words(words(study.baseline->settings), " ")));
}

}  // namespace

std::string spelling(const std::string& text) {
  std::int64_t integer = 0;
  double real = 0;
  if (parse_number(text, integer)) return to_text(integer);
  if (parse_number(text, real)) return to_text(real);
  return text;
}

bool shapes_results(const train::Options& known, std::string_view option) {
  const train::OptionSpec* spec = known.find(option);
  return spec == nullptr || spec->use != train::OptionSpec::Use::session;
}

std::string program_name(std::string_view program) {
  return std::string(program.substr(program.rfind('/') + 1));  // npos + 1 is 0
}

KeyValues texts(const std::vector<Setting>& settings) {
  KeyValues result;
  for (const Setting& each : settings) result.emplace_back(each.option, each.text);
  return result;
}

std::vector<std::string> words(const std::vector<Setting>& settings) {
  std::vector<std::string> result;
  for (const Setting& each : settings) {
    if (each.flag) {
      if (each.text == "true") result.push_back(concat("--", each.option));
    } else if (each.text.empty() || each.text[0] == '-') {  // could be taken for another option
      result.push_back(concat("--", each.option, '=', each.text));
    } else {
      result.push_back(concat("--", each.option));
      result.push_back(each.text);
    }
  }
  return result;
}

std::string fingerprint(const train::Options& known, std::string_view program,
                        const KeyValues& options) {
  KeyValues sorted;
  for (const auto& [option, text] : options) {
    // A flag that is false is none.
    if (shapes_results(known, option) && text != "false")
      sorted.emplace_back(option, spelling(text));
  }
  std::ranges::sort(sorted);
  constexpr std::string_view kEnd("\0", 1);  // which no word holds
  Sha256 hash;
  hash.update(program_name(program)).update(kEnd);
  for (const auto& [option, text] : sorted)
    hash.update(option).update(kEnd).update(text).update(kEnd);
  return hash.hex();
}

Expansion expand(const Study& study, bool many) {
  check_settings(study);
  check_excluded(study);
  const std::int64_t count = combinations(study);
  constexpr std::int64_t kMostAtAll = 1'000'000;
  const Place place = study.grid.empty() ? Place{1, 1} : study.grid[0].place;
  if (count > kMostAtAll || (count > kMostRuns && !many))
    complain(study, place, "the grid has ", count == INT64_MAX ? "more than 2^63" : to_text(count),
             " combinations; ",
             count > kMostAtAll ? concat("a study has up to ", kMostAtAll)
                                : concat("add --yes for more than ", kMostRuns));
  Expansion expansion;
  const train::Options known, common = values_of(study.options);
  const auto add = [&](const std::vector<Setting>& own, std::string origin) {
    std::vector<Setting> options = options_of(study.options, common, own);
    expansion.runs.push_back({.name = {},
                              .options = options,
                              .fingerprint = fingerprint(known, study.program, texts(options)),
                              .origin = std::move(origin)});
  };
  for (std::int64_t n = 0; n < count; ++n) {
    const std::vector<Setting> own = combination(study, n);
    const bool excluded = std::ranges::any_of(
        study.excluded, [&](const Group& group) { return matches(own, group.settings); });
    if (!excluded) add(own, study.grid.empty() ? "[options]" : "[grid]");
  }
  for (const Group& group : study.runs)
    add(group.settings, concat("[[runs]] in line ", group.place.line));
  require<ConfigError>(!expansion.runs.empty(), "[study] ", study.path,
                       ": every combination is left out, no run remains");
  check_different(study, expansion);
  expansion.varied = varied_options(study, expansion.runs);
  check_baseline(study, expansion);
  name_runs(expansion);
  return expansion;
}

}  // namespace ebb::study
