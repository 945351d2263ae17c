#include "tools/study/ask.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "tools/study/child.h"

namespace ebb::study {
namespace {

namespace fs = std::filesystem;

/// A file without a name, for what a program says.
class Scratch {
 public:
  Scratch() : fd_(::memfd_create("ebb", MFD_CLOEXEC)) {
    require<DataError>(fd_ >= 0, "[sweep] no memory for what a program says");
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::close(fd_); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::string text() const {
    std::string all;
    std::array<char, 65536> buffer{};
    ssize_t count = 0;
    while ((count = ::pread(fd_, buffer.data(), buffer.size(), std::ssize(all))) > 0)
      all.append(buffer.data(), static_cast<std::size_t>(count));
    return all;
  }

 private:
  int fd_;
};

struct Asked {
  std::size_t index;
  std::unique_ptr<Scratch> out, err;
  Child child;
};

// What runs share that differ in the seed alone.
std::string question(const Run& run) {
  std::string key;
  for (const Setting& each : run.options) {
    if (each.option != "seed") key += concat(each.option, '\n', each.text, '\n');
  }
  return key;
}

// The place of the option that a message of the program names.
const Setting* blamed(const Run& run, const std::string& message) {
  const Setting* found = nullptr;
  std::size_t first = std::string::npos;
  for (const Setting& each : run.options) {
    const std::string flag = concat("--", each.option);
    for (std::size_t at = message.find(flag); at != std::string::npos;
         at = message.find(flag, at + 1)) {
      const char next = at + flag.size() < message.size() ? message[at + flag.size()] : ' ';
      const bool whole = next != '-' && !std::isalnum(static_cast<unsigned char>(next));
      if (whole && at < first) {
        first = at;
        found = &each;
      }
    }
  }
  return found;
}

}  // namespace

std::string find_program(const std::string& name) {
  const auto runs = [](const fs::path& path) {
    return fs::is_regular_file(path) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    require<ConfigError>(runs(name), "[program] ", name,
                         " is no program that can be started; check the path");
    return fs::absolute(name).string();
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> folders{here, here.parent_path() / "models"};
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split_at(path == nullptr ? "" : path, ':'))
    folders.emplace_back(folder);
  for (const fs::path& folder : folders) {
    if (runs(folder / name)) return (folder / name).string();
  }
  const std::vector<std::string> programs{"ebb-cnn",         "ebb-mlp", "ebb-lstm",
                                          "ebb-transformer", "ebb-gnn", "ebb-detect"};
  const std::string nearest = nearest_word(name, programs);
  throw ConfigError(
      concat("[program] there is no ", name, " beside ", (here / "ebb").string(), " or in PATH; ",
             nearest.empty() || nearest == name ? "give its path"
                                                : concat("did you mean '", nearest, "'?")));
}

Said run_program(const std::vector<std::string>& words, bool shown) {
  const Scratch out, err;
  Child child(words, out.fd(), shown ? STDERR_FILENO : err.fd());
  int passed_on = 0;
  for (;;) {
    if (const std::optional<int> code = child.ended()) return {*code, out.text(), err.text()};
    for (; passed_on < Interrupts::count(); ++passed_on) child.send(SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string message_of(std::string_view program, std::string_view said, int exit_code) {
  const std::string prefix = concat(program_name(program), ": ");
  std::string text(said);
  text.erase(text.find_last_not_of(" \n") + 1);
  const std::size_t line = text.rfind('\n' + prefix);
  const bool own = line != std::string::npos || text.starts_with(prefix);
  if (line != std::string::npos) text.erase(0, line + 1);
  if (own)
    text.erase(0, prefix.size());
  else
    text.erase(0, text.rfind('\n') + 1);  // npos + 1 is 0
  if (exit_code > 128)
    return concat("it was ended by signal ", exit_code - 128, " (", strsignal(exit_code - 128), ")",
                  exit_code == 128 + SIGKILL ? ", perhaps for lack of memory" : "");
  return text.empty() ? concat("it ended with exit code ", exit_code, " and said nothing") : text;
}

std::vector<Answer> Questions::ask(
    const std::vector<const Run*>& runs, int jobs,
    const std::function<void(std::size_t, std::size_t)>& progress) const {
  std::map<std::string, std::size_t> first;  // of those that are asked about together
  std::vector<std::size_t> asked_as(runs.size()), open;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto [known, fresh] = first.emplace(question(*runs[i]), i);
    asked_as[i] = known->second;
    if (fresh) open.push_back(i);
  }
  std::vector<Answer> answers(runs.size());
  std::vector<Asked> under_way;
  std::size_t next = 0, done = 0;
  if (!open.empty()) progress(0, open.size());
  while (done < open.size()) {
    if (Interrupts::count() > 0) return {};
    while (next < open.size() && std::ssize(under_way) < jobs) {
      std::vector<std::string> command{program_};
      for (std::string& word : words(runs[open[next]]->options)) command.push_back(std::move(word));
      // Some options need an --out, and a dry run makes none.
      command.insert(command.end(), {"--threads", "1", "--dry-run", "--json", "--quiet", "--out",
                                     study_.out + "/.dry-run"});
      auto out = std::make_unique<Scratch>(), err = std::make_unique<Scratch>();
      Child child(command, out->fd(), err->fd());
      under_way.push_back({open[next++], std::move(out), std::move(err), std::move(child)});
    }
    bool more = false;
    for (Asked& each : under_way) {
      const std::optional<int> code = each.child.ended();
      if (!code) continue;
      Answer& answer = answers[each.index];
      answer.exit_code = *code;
      if (*code == 0)
        answer.prediction = parse_prediction(each.out->text());
      else
        answer.message = message_of(study_.program, each.err->text(), *code);
      ++done;
      more = true;
    }
    std::erase_if(under_way, [](const Asked& each) { return each.child.id() < 0; });
    if (more) progress(done, open.size());
    if (done < open.size()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (std::size_t i = 0; i < runs.size(); ++i) answers[i] = answers[asked_as[i]];
  return answers;
}

std::vector<const Run*> representatives(const std::vector<const Run*>& runs, std::size_t enough) {
  if (runs.size() <= enough) return runs;
  std::set<std::pair<std::string, std::string>> seen;
  std::vector<const Run*> chosen;
  for (const Run* run : runs) {
    bool fresh = false;
    for (const Setting& each : run->options)
      fresh |= each.option != "seed" && seen.emplace(each.option, each.text).second;
    if (fresh) chosen.push_back(run);
  }
  return chosen;
}

void refuse_wrong(const Study& study, const std::vector<const Run*>& runs,
                  const std::vector<Answer>& answers) {
  const Run* first = nullptr;
  std::string message;
  std::size_t alike = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].exit_code != 2) continue;
    if (first == nullptr) {
      first = runs[i];
      message = answers[i].message;
    }
    if (answers[i].message == message) ++alike;
  }
  if (first == nullptr) return;
  constexpr std::string_view kPrefix = "[command line] ";
  if (message.starts_with(kPrefix)) message.erase(0, kPrefix.size());
  const std::string who =
      concat("run ", first->name, alike > 1 ? concat(" and ", alike - 1, " more") : "", ": ");
  if (const Setting* setting = blamed(*first, message))
    complain(study, setting->place, who, message);
  throw ConfigError(concat("[study] ", study.path, ": ", who, message));
}

}  // namespace ebb::study
