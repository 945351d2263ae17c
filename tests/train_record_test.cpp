#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include "core/error.h"
#include "errors.h"
#include "tests/scratch.h"
#include "train/app/report.h"
#include "train/config.h"
#include "train/record.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;

namespace {

const Format k3 = Format::integer(3), k4 = Format::integer(4), k8 = Format::integer(8);

StepRow step(std::int64_t t) {
  return {.iteration = t,
          .epoch = t / 4,
          .loss = 1.0 / static_cast<double>(t + 3),
          .accuracy = t % 2 == 1 ? std::nullopt : std::optional(1.0 / 3.0),
          .learning_rate = 0.1,
          .formats = {k3, k4, k8},
          .bit_ops = (uint128{1} << 100) + static_cast<uint128>(t),
          .seconds = 0.25};
}

EvalRow evaluation(std::int64_t t) {
  return {.iteration = t,
          .split = "test",
          .examples = 10'000,
          .loss = 0.1,
          .metric = "accuracy",
          .score = 2.0 / 3.0,
          .formats = {k8, k8, std::nullopt},
          .bit_ops = 7,
          .seconds = 1};
}

const std::string kConfig = to_json(RunConfig{.program = "ebb-test", .options = {{"seed", "1"}}});

int entries_in(const std::string& directory) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

Checkpoint at(std::int64_t iteration) { return {.iteration = iteration, .config = "{}"}; }

// A run of ten steps, evaluated and saved after every four.
void record_run(const std::string& path) {
  RunDirectory run = RunDirectory::create(path, kConfig);
  for (std::int64_t t = 0; t < 10; ++t) {
    run.add(step(t));
    if ((t + 1) % 4 != 0) continue;
    run.add(evaluation(t + 1));
    run.save(at(t + 1));
  }
}

}  // namespace

TEST_CASE("an evaluation's line holds further scores, and which way is better where less is more") {
  const Scratch scratch;
  EvalRow row = evaluation(4);
  row.metric = "perplexity";
  row.lower_is_better = true;
  row.more = {{"accuracy", 1.0 / 3.0}, {"ece", 0.25}};
  const std::string line = to_line(row);
  CHECK(line.ends_with(
      R"("seconds":1.0,"lower_is_better":true,"scores":{"accuracy":0.3333333333333333,"ece":0.25}})"));
  // Earlier versions said neither; of their metrics these two are the better the lower.
  const std::string old = line.substr(0, line.find(",\"lower_is_better\"")) + "}";
  record_run(scratch / "run");
  write_file(scratch / "run/evals.jsonl", line + "\n");
  CHECK(read_history(scratch / "run").evaluations == std::vector{row});
  row.more.clear();
  write_file(scratch / "run/evals.jsonl", old + "\n");
  CHECK(read_history(scratch / "run").evaluations == std::vector{row});
}

TEST_CASE("a line of the record is one JSON object and keeps every bit") {
  CHECK(
      to_line(step(5)) ==
      R"({"iteration":5,"epoch":1,"loss":0.125,"learning_rate":0.1,"bits":{"weight":"int3","activation":"int4","gradient":"int8"},)"
      R"("bit_ops":"1267650600228229401496703205381","seconds":0.25})");
  const Scratch scratch;
  record_run(scratch / "run");
  const History history = read_history(scratch / "run");
  REQUIRE(history.steps.size() == 10);
  for (std::int64_t t = 0; t < 10; ++t)
    CHECK(history.steps[static_cast<std::size_t>(t)] == step(t));
  CHECK(history.evaluations == std::vector<EvalRow>{evaluation(4), evaluation(8)});
  CHECK(read_config(scratch / "run") == kConfig);
  CHECK(read_checkpoint(scratch / "run").iteration == 8);
}

TEST_CASE(
    "an evaluation that an earlier version recorded with bits of gradients is read without them") {
  const Scratch scratch;
  record_run(scratch / "run");
  const std::string path = scratch / "run/evals.jsonl", activation = R"("activation":"int8")";
  std::string text = read_file(path);
  CHECK(text.find("gradient") == std::string::npos);
  text.insert(text.find(activation) + activation.size(), R"(,"gradient":8)");
  write_file(path, text);
  CHECK(read_history(scratch / "run").evaluations ==
        std::vector<EvalRow>{evaluation(4), evaluation(8)});
}

TEST_CASE("formats that an earlier version recorded as widths are read") {
  const Scratch scratch;
  record_run(scratch / "run");
  const std::string path = scratch / "run/steps.jsonl";
  const std::string names = R"({"weight":"int3","activation":"int4","gradient":"int8"})";
  std::string text = read_file(path);
  text.replace(text.find(names), names.size(), R"({"weight":3,"activation":4,"gradient":32})");
  write_file(path, text);
  CHECK(read_history(scratch / "run").steps[0].formats == RoleFormats{k3, k4, Format::fp32()});
  for (const char* none : {"33", "0", "\"int17\"", "3.5", "[]"}) {
    CAPTURE(none);
    std::string bad = text;
    bad.replace(bad.find("32}"), 2, none);
    write_file(path, bad);
    CHECK_THROWS_AS(read_history(scratch / "run"), DataError);
  }
}

TEST_CASE("resuming cuts the record back to the checkpoint, torn lines included") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  record_run(path);
  write_file(path + "/steps.jsonl", read_file(path + "/steps.jsonl") + R"({"iteration":10,"epo)");
  const auto quality = [](std::int64_t t) {
    return to_line(t, {.site = "fc",
                       .role = Role::weight,
                       .format = Format::integer(4),
                       .elements = 6,
                       .sqnr_db = 1.0 / 0.0}) +
           "\n";
  };
  CHECK(
      quality(7) ==
      R"({"iteration":7,"site":"fc","role":"weight","format":"int4","grid":"tensor","elements":6,"at_ends":0.0,"zeros":0.0,"underflow":0.0,"sqnr_db":null})"
      "\n");
  write_file(path + "/operands.jsonl", quality(7) + quality(7) + quality(8) + quality(9));
  write_file(path + "/evals.jsonl",
             read_file(path + "/evals.jsonl") + to_line(evaluation(10)) + "\n{");

  RunDirectory run = RunDirectory::open(path);
  const std::optional<Checkpoint> checkpoint = run.checkpoint();
  REQUIRE(checkpoint.has_value());
  const History history = run.cut_back(checkpoint->iteration);
  CHECK(history.steps.size() == 8);
  CHECK(history.evaluations.size() == 2);
  CHECK(read_file(path + "/operands.jsonl") == quality(7) + quality(7));
  for (std::int64_t t = 8; t < 10; ++t) run.add(step(t));

  const History after = read_history(path);
  REQUIRE(after.steps.size() == 10);
  CHECK(after.steps[9] == step(9));
  CHECK(after.evaluations.size() == 2);
}

TEST_CASE("a run killed before its first checkpoint begins again") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  { RunDirectory::create(path, kConfig).add(step(0)); }
  RunDirectory run = RunDirectory::open(path);
  CHECK_FALSE(run.checkpoint().has_value());
  CHECK(run.cut_back(0).steps.empty());
  CHECK(read_file(path + "/steps.jsonl").empty());
}

TEST_CASE("a directory that exists, that is in use, or that is no run is refused with advice") {
  const Scratch scratch;
  const std::string path = scratch / "a/b/run/";
  const RunDirectory first = RunDirectory::create(path, kConfig);
  CHECK(contains(data_error_of([&] { RunDirectory::create(path, kConfig); }),
                 "exists already, and a run never overwrites; choose another --out"));
  // does.
  CHECK(contains(data_error_of([&] { RunDirectory::open(path); }),
                 "another run is writing to this directory"));
  CHECK(contains(data_error_of([&] { RunDirectory::open(scratch / "none"); }),
                 "expected a run directory"));
  CHECK(contains(data_error_of([&] { read_config(scratch.path()); }),
                 "expected a run directory with config.json"));
  CHECK(contains(data_error_of([&] { read_checkpoint(scratch.path()); }),
                 "checkpoint.safetensors: No such file"));
  const int before = entries_in(scratch.path());
  CHECK(contains(data_error_of([&] { RunDirectory::open(scratch.path()); }),
                 "holds no run that could go on"));
  CHECK(
      contains(data_error_of([&] { RunDirectory::open("/"); }), "/ holds no run that could go on"));
  write_file(scratch / "config.json", "{}");  // of somebody else
  CHECK(contains(data_error_of([&] { RunDirectory::open(scratch.path()); }),
                 "config.json is no configuration of a run"));
  CHECK(entries_in(scratch.path()) == before + 1);
  write_file(scratch / "file", "x");
  CHECK(contains(data_error_of([&] { RunDirectory::create(scratch / "file/run", kConfig); }),
                 "cannot make the directory"));
}

TEST_CASE("a full disk while the directory is made leaves nothing") {
  const Scratch scratch;
  FileSystem files = FileSystem::real();
  files.write = [](int, const void*, std::size_t) -> std::int64_t {
    errno = ENOSPC;
    return -1;
  };
  CHECK(contains(data_error_of([&] { RunDirectory::create(scratch / "run", "{}", files); }),
                 "No space left on device"));
  CHECK_FALSE(std::filesystem::exists(scratch / "run"));
}

TEST_CASE("a full disk while a checkpoint is saved leaves the one before") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  record_run(path);
  FileSystem files = FileSystem::real();
  files.write = [](int fd, const void* data, std::size_t size) -> std::int64_t {
    if (size > 100) return ::write(fd, data, 100);
    errno = ENOSPC;
    return -1;
  };
  RunDirectory run = RunDirectory::open(path, files);
  run.cut_back(8);
  CHECK(contains(data_error_of([&] { run.save(at(9)); }),
                 "checkpoint.safetensors: No space left on device"));
  CHECK(read_checkpoint(path).iteration == 8);
  CHECK_FALSE(std::filesystem::exists(path + "/checkpoint.safetensors.part"));
}

TEST_CASE("a record that does not belong to its checkpoint, or is none, is refused") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  record_run(path);
  write_file(path + "/steps.jsonl", to_line(step(0)) + "\n");
  CHECK(contains(data_error_of([&] { RunDirectory::open(path).cut_back(8); }),
                 "expected the 8 steps that the checkpoint follows, found 1"));
  for (const char* line : {"nonsense\n", "{}\n", "[]\n",
                           R"({"iteration":"0"})"
                           "\n"}) {
    CAPTURE(line);
    write_file(path + "/steps.jsonl", line);
    CHECK(contains(data_error_of([&] { RunDirectory::open(path).cut_back(8); }),
                   "steps.jsonl, line 1 is no line of a record"));
  }
  write_file(path + "/checkpoint.safetensors", "nonsense");
  CHECK(contains(data_error_of([&] { static_cast<void>(RunDirectory::open(path).checkpoint()); }),
                 "while reading"));
}

TEST_CASE("a directory is a run's from its first moment, and one that wrote nothing may begin") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  { RunDirectory::create(path, kConfig); }
  CHECK_FALSE(RunDirectory::open(path).untouched());
  for (const char* name : {"config.json", "steps.jsonl", "evals.jsonl"})
    std::filesystem::remove(path + "/" + name);
  CHECK(RunDirectory::open(path).untouched());
  write_file(path + "/steps.jsonl", to_line(step(0)) + "\n");
  CHECK_FALSE(RunDirectory::open(path).untouched());
  std::filesystem::remove(path + "/lock");  // what is left is nobody's
  CHECK(
      contains(data_error_of([&] { RunDirectory::open(path); }), "holds no run that could go on"));
}

TEST_CASE("a line that is missing, doubled, exchanged or edited before the checkpoint is named") {
  // Steps 0..7 and evaluations after 4 and 8 belong to the checkpoint of step 8; steps 8 and 9
  // follow it.
  const std::string steps = "steps.jsonl", evaluations = "evals.jsonl";
  struct Case {
    const char* why;
    const std::string& file;
    std::function<void(std::vector<std::string>&)> damage;
    const char* expected;
  };
  const Case cases[] = {
      {"nothing", steps, [](auto&) {}, ""},
      {"missing", steps, [](auto& lines) { lines.erase(lines.begin() + 2); },
       "line 3: expected the step of iteration 2, got that of 3"},
      {"doubled", steps, [](auto& lines) { lines.insert(lines.begin() + 2, lines[2]); },
       "line 4: expected the step of iteration 3"},
      {"exchanged", steps, [](auto& lines) { std::swap(lines[4], lines[5]); },
       "line 5: expected the step of iteration 4"},
      {"edited", steps, [](auto& lines) { lines[6].replace(lines[6].find("0.25"), 4, "0.26"); },
       "line 7 is not what it was"},
      {"edited behind the checkpoint", steps, [](auto& lines) { lines[8] = "x"; }, ""},
      {"too few", steps, [](auto& lines) { lines.resize(5); },
       "expected the 8 steps that the checkpoint follows, found 5"},
      {"a NUL", steps, [](auto& lines) { lines[1] += std::string(1, '\0'); },
       "line 2 is no line of a record"},
      {"missing", evaluations, [](auto& lines) { lines.erase(lines.begin()); },
       "expected the 2 lines"},
      {"doubled", evaluations, [](auto& lines) { lines.insert(lines.begin(), lines[0]); },
       "line 2: the evaluation after 4 steps"},
      {"exchanged", evaluations, [](auto& lines) { std::swap(lines[0], lines[1]); },
       "line 2: expected an evaluation after 8 steps"},
      {"edited", evaluations, [](auto& lines) { lines[0].replace(lines[0].find("0.1"), 3, "0.0"); },
       "line 1 is not what it was"},
      {"more", evaluations, [](auto& lines) { lines.push_back("x"); }, ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CAPTURE(c.file);
    const Scratch scratch;
    const std::string path = scratch / "run";
    record_run(path);
    std::vector<std::string> lines = split_at(read_file(path + "/" + c.file), '\n');
    lines.pop_back();  // what follows the last line feed
    c.damage(lines);
    write_file(path + "/" + c.file, join_words(lines, "\n") + "\n");
    const std::string damaged = read_file(path + "/" + c.file);
    const std::string message = data_error_of([&] {
      RunDirectory run = RunDirectory::open(path);
      const std::optional<Checkpoint> checkpoint = run.checkpoint();
      const History history = run.cut_back(checkpoint->iteration, checkpoint->notes);
      CHECK(history.steps.size() == 8);
      CHECK(history.evaluations.size() == 2);
      CHECK(contains(run.dropped(), "2 lines of steps.jsonl"));
    });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
    CHECK((message.empty() == (std::string(c.expected).empty())));
    if (!message.empty()) CHECK(read_file(path + "/" + c.file) == damaged);
  }
}

TEST_CASE("a record that is refused is left as it was, whichever of its files is the reason") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  record_run(path);  // two steps more than its checkpoint
  const std::string steps = read_file(path + "/steps.jsonl");
  std::filesystem::rename(path + "/evals.jsonl", scratch / "outside");
  std::filesystem::create_symlink(scratch / "outside", path + "/evals.jsonl");
  CHECK(contains(data_error_of([&] { RunDirectory::open(path).cut_back(8); }),
                 "a run writes through no symbolic link"));
  CHECK(read_file(path + "/steps.jsonl") == steps);
}

TEST_CASE("a directory that vanishes, or whose lock is replaced, ends the run at the next save") {
  for (const bool whole : {true, false}) {
    const Scratch scratch;
    const std::string path = scratch / "run";
    RunDirectory run = RunDirectory::create(path, kConfig);
    run.add(step(0));
    if (whole) {
      std::filesystem::remove_all(path);
    } else {
      std::filesystem::remove(path + "/lock");
      write_file(path + "/lock", "");
    }
    CHECK(contains(data_error_of([&] { run.save(at(1)); }), "removed or replaced"));
    CHECK_FALSE(std::filesystem::exists(path + "/checkpoint.safetensors"));
  }
}
