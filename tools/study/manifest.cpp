#include "tools/study/manifest.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "train/files.h"

namespace ebb::study {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kFormat = 1;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json to_object(const KeyValues& texts) {
  Json object = Json::object();
  for (const auto& [name, text] : texts) object[name] = text;
  return object;
}

KeyValues to_texts(const Json& object) {
  KeyValues texts;
  for (const auto& [name, text] : object.items()) texts.emplace_back(name, text.get<std::string>());
  return texts;
}

// "--lr was 0.1 and is 0.2": the first option in which two runs differ.
std::string difference(const train::Options& known, const KeyValues& before, const KeyValues& now) {
  const auto text = [](const KeyValues& options, const std::string& name) {
    const auto found = std::ranges::find(options, name, &KeyValues::value_type::first);
    return found == options.end() || found->second == "false" ? std::string("not given")
                                                              : spelling(found->second);
  };
  KeyValues all = now;
  all.insert(all.end(), before.begin(), before.end());
  for (const auto& [name, unused] : all) {
    const std::string old = text(before, name), fresh = text(now, name);
    if (shapes_results(known, name) && old != fresh)
      return concat("--", name, " was ", old, " and is ", fresh);
  }
  return "the program was another";
}

std::string count_of(std::size_t count) { return concat(count, count == 1 ? " run" : " runs"); }

}  // namespace

Manifest manifest_of(const Study& study, const Expansion& expansion) {
  Manifest manifest{.name = study.name, .program = study.program, .varied = expansion.varied};
  if (study.baseline) manifest.baseline = texts(study.baseline->settings);
  for (const Run& run : expansion.runs) {
    std::vector<std::string> command{study.program};
    for (std::string& word : words(run.options)) command.push_back(std::move(word));
    command.insert(command.end(), {"--out", concat(study.out, '/', run.name)});
    manifest.runs.push_back({run.name, texts(run.options), std::move(command)});
  }
  return manifest;
}

std::string to_json(const Manifest& manifest) {
  Json runs = Json::array();
  for (const Manifest::Entry& run : manifest.runs)
    runs.push_back(
        {{"name", run.name}, {"options", to_object(run.options)}, {"command", run.command}});
  return dump({{"format", kFormat},
               {"name", manifest.name},
               {"program", manifest.program},
               {"baseline", manifest.baseline ? to_object(*manifest.baseline) : Json()},
               {"varied", manifest.varied},
               {"runs", runs}});
}

Manifest parse_manifest(std::string_view text, const std::string& path) {
  try {
    const Json json = Json::parse(text);
    const auto format = json.at("format").get<std::int64_t>();
    require<DataError>(format == kFormat, "[study] ", path, " has the format ", format,
                       ", this version of Ebb reads ", kFormat, "; use the version that wrote it");
    Manifest manifest{.name = json.at("name").get<std::string>(),
                      .program = json.at("program").get<std::string>(),
                      .varied = json.at("varied").get<std::vector<std::string>>()};
    if (!json.at("baseline").is_null()) manifest.baseline = to_texts(json.at("baseline"));
    for (const Json& run : json.at("runs"))
      manifest.runs.push_back({run.at("name").get<std::string>(), to_texts(run.at("options")),
                               run.at("command").get<std::vector<std::string>>()});
    return manifest;
  } catch (const nlohmann::json::exception&) {
    throw DataError(concat("[study] ", path,
                           " is not what ebb sweep writes there; restore it, or remove it: "
                           "a sweep writes it anew"));
  }
}

std::vector<std::string> keep_names(const Study& study, Expansion& expansion,
                                    const Manifest& before, bool (*exists)(const std::string&)) {
  const train::Options known;
  std::map<std::string, std::string> name_of, fingerprint_of;
  std::map<std::string, const Manifest::Entry*> entries;
  for (const Manifest::Entry& run : before.runs) {
    const std::string print = fingerprint(known, before.program, run.options);
    name_of[print] = run.name;
    fingerprint_of[run.name] = print;
    entries[run.name] = &run;
  }
  std::set<std::string> kept;
  for (Run& run : expansion.runs) {
    if (const auto old = name_of.find(run.fingerprint); old != name_of.end()) {
      run.name = old->second;
      kept.insert(run.name);
    }
  }
  for (Run& run : expansion.runs) {
    if (name_of.contains(run.fingerprint)) continue;
    if (kept.contains(run.name)) run.name += concat('-', run.fingerprint.substr(0, 8));
    const auto old = entries.find(run.name);
    require<ConfigError>(
        old == entries.end() || !exists(concat(study.out, '/', run.name)), "[study] ", study.path,
        ": the run ", run.name, " in ", study.out, " was begun with other options: ",
        old == entries.end() ? "" : difference(known, old->second->options, texts(run.options)),
        "; give the study another out, or move that directory away");
  }
  std::vector<std::string> changes;
  const std::size_t added = expansion.runs.size() - kept.size();
  const std::size_t gone = before.runs.size() - kept.size();
  if (added > 0) changes.push_back(concat(count_of(added), " more than when it was last run"));
  if (gone > 0)
    changes.push_back(concat(count_of(gone),
                             " of before are not in it any more; what they left in ", study.out,
                             " stays"));
  return changes;
}

std::string to_json(const Failure& failure) {
  return dump(
      {{"run", failure.run}, {"exit_code", failure.exit_code}, {"message", failure.message}});
}

Failure parse_failure(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    return {.run = json.at("run").get<std::string>(),
            .exit_code = json.at("exit_code").get<int>(),
            .message = json.at("message").get<std::string>()};
  } catch (const nlohmann::json::exception&) {
    throw DataError("[study] a file in failures is not what ebb sweep writes there; remove it");
  }
}

std::string to_json(const Outcome& outcome) {
  Json failed = Json::array();
  for (const Failure& each : outcome.failed)
    failed.push_back({{"run", each.run}, {"message", each.message}});
  return dump({{"runs", outcome.runs},
               {"finished", outcome.finished},
               {"reran", outcome.reran},
               {"skipped", outcome.skipped},
               {"failed", failed},
               {"interrupted", outcome.interrupted}});
}

void write_shared(const std::string& path, std::string_view content) {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  const std::string own = concat(path, '.', host, '.', ::getpid());
  train::write_file(own, content);
  std::error_code error;
  std::filesystem::rename(own, path, error);
  if (!error) return;
  std::filesystem::remove(own);
  throw DataError(concat("[write] ", path, ": ", error.message()));
}

}  // namespace ebb::study
