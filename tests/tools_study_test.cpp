#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "tools/study/ask.h"
#include "tools/study/claim.h"
#include "tools/study/manifest.h"
#include "tools/study/plan.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"
#include "tools/study/table.h"

using namespace ebb;
using namespace ebb::study;

namespace {

constexpr const char* kFirst = R"(name = "first"
program = "ebb-cnn"
out = "runs/first"
[options]
arch = "lenet5"
iterations = 40
[grid]
schedule = ["CR", "RR", "static"]
seed = [1, 2]
[[runs]]
schedule = "fp32"
seed = 1
[[exclude]]
schedule = "RR"
seed = 2
[baseline]
schedule = "static"
)";

Expansion expanded(const std::string& text, bool many = false) {
  return expand(parse_study(text, "s.toml"), many);
}

std::vector<std::string> names(const Expansion& expansion) {
  std::vector<std::string> result;
  for (const Run& run : expansion.runs) result.push_back(run.name);
  return result;
}

std::string command(const Run& run) { return join_words(words(run.options), " "); }

std::string error_of(const std::string& text, bool many = false) {
  try {
    expanded(text, many);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

// A folder of the test's own.
struct Scratch {
  std::string path =
      (std::filesystem::temp_directory_path() / concat("ebb-study-", getpid())).string();
  Scratch() { std::filesystem::create_directories(path); }
  ~Scratch() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("a list in [[runs]] or [[exclude]] stands for each of its values") {
  const Expansion expansion = expanded(R"(program = "ebb-cnn"
[grid]
schedule = ["CR", "RR"]
seed = [1, 2]
[[exclude]]
schedule = ["RR"]
seed = [1, 2]
[[runs]]
max-bits = [3, 4]
schedule = "static"
seed = [1, 2]
)");
  std::vector<std::string> commands;
  for (const Run& run : expansion.runs) commands.push_back(command(run));
  CHECK(commands == std::vector<std::string>{"--schedule CR --seed 1", "--schedule CR --seed 2",
                                             "--max-bits 3 --schedule static --seed 1",
                                             "--max-bits 3 --schedule static --seed 2",
                                             "--max-bits 4 --schedule static --seed 1",
                                             "--max-bits 4 --schedule static --seed 2"});
}

TEST_CASE("--set replaces an option of all runs, or adds one") {
  Study study = parse_study(kFirst, "s.toml");
  for (const char* text : {"arch=mlp", "data=a=b", "simulate=true"}) set_option(study, text);
  CHECK(command(expand(study, false).runs[0]) ==
        "--arch mlp --iterations 40 --data a=b --simulate --schedule CR --seed 1");
  for (const char* text : {"", "data", "=x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(set_option(study, text), ConfigError);
  }
}

TEST_CASE(
    "a study is its grid without what is excluded, then its single runs, in the file's order") {
  const Expansion expansion = expanded(kFirst);
  CHECK(names(expansion) == std::vector<std::string>{"CR_seed-1", "CR_seed-2", "RR_seed-1",
                                                     "static_seed-1", "static_seed-2",
                                                     "fp32_seed-1"});
  CHECK(expansion.varied == std::vector<std::string>{"schedule", "seed"});
  CHECK(command(expansion.runs[2]) == "--arch lenet5 --iterations 40 --schedule RR --seed 1");
  CHECK(command(expansion.runs[5]) == "--arch lenet5 --iterations 40 --schedule fp32 --seed 1");
}

TEST_CASE("a common option is left out where a run leaves it no effect") {
  const Expansion expansion = expanded(
      "program = 'p'\n[options]\ncycles = 4\nmin-bits = 3\nmax-bits = 6\n"
      "[grid]\nschedule = ['CR', 'static', 'fp32']\n[[runs]]\nschedule = 'static'\ncycles = 2\n");
  CHECK(command(expansion.runs[0]) == "--cycles 4 --min-bits 3 --max-bits 6 --schedule CR");
  CHECK(command(expansion.runs[1]) == "--max-bits 6 --schedule static");
  CHECK(command(expansion.runs[2]) == "--schedule fp32");
  // What the run says itself is the program's to refuse.
  CHECK(command(expansion.runs[3]) == "--cycles 2 --max-bits 6 --schedule static");
}

TEST_CASE("names are safe, readable and different") {
  struct Case {
    const char* why;
    std::string text;
    std::vector<std::string> names;  // "#": eight digits of the fingerprint
  };
  const Case cases[] = {
      {"one run", "", {"run"}},
      {"numbers with their option", "[grid]\nlr = [0.1, 1e-3]\n", {"lr-0.1", "lr-0.001"}},
      {"a text that two options have",
       "[grid]\ngrid = ['affine', 'symmetric']\ngradient-grid = ['affine', 'symmetric']\n"
       "[[exclude]]\ngrid = 'affine'\ngradient-grid = 'affine'\n",
       {"grid-affine_gradient-grid-symmetric", "grid-symmetric_gradient-grid-affine",
        "grid-symmetric_gradient-grid-symmetric"}},
      {"flags", "[grid]\nsimulate = [true, false]\n", {"simulate-true", "simulate-false"}},
      {"characters of a path",
       "[grid]\nbits = ['3->8 : cos', '8']\n",
       {"bits-3-_8___cos#", "bits-8"}},
      {"a name of ours", "[grid]\ndata = ['logs', '../x']\n", {"logs#", "data-.._x#"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Expansion expansion = expanded("program = 'p'\n" + c.text);
    REQUIRE(expansion.runs.size() == c.names.size());
    for (std::size_t i = 0; i < c.names.size(); ++i) {
      std::string expected = c.names[i];
      if (expected.back() == '#')
        expected = expected.substr(0, expected.size() - 1) + "-" +
                   expansion.runs[i].fingerprint.substr(0, 8);
      CHECK(expansion.runs[i].name == expected);
    }
  }
  const std::string longest(300, 'x');
  const Expansion expansion =
      expanded("program = 'p'\n[grid]\ndata = ['" + longest + "a', '" + longest + "b']\n");
  CHECK(expansion.runs[0].name.size() == 89);
  CHECK(expansion.runs[0].name != expansion.runs[1].name);
}

TEST_CASE("fingerprints know options that shape results, whatever their order and spelling") {
  const train::Options known;
  const auto print = [&](const KeyValues& options) {
    return fingerprint(known, "x/ebb-cnn", options);
  };
  const std::string one = print({{"lr", "0.001"}, {"seed", "1"}});
  CHECK(one == fingerprint(known, "ebb-cnn", {{"seed", "1"}, {"lr", "1e-3"}}));
  CHECK(one == print({{"lr", "0.001"}, {"seed", "1"}, {"simd", "scalar"}, {"simulate", "false"}}));
  CHECK(one != print({{"lr", "0.002"}, {"seed", "1"}}));
  CHECK(one != print({{"lr", "0.001"}, {"seed", "1"}, {"simulate", "true"}}));
  CHECK(one != fingerprint(known, "ebb-mlp", {{"lr", "0.001"}, {"seed", "1"}}));
}

TEST_CASE("options become words that the program reads as they are meant") {
  const std::vector<Setting> settings{{"simulate", "true", true},
                                      {"quick", "false", true},
                                      {"keep-fp32", ""},
                                      {"lr", "-1"},
                                      {"bits", "3->8 : cos"}};
  CHECK(words(settings) ==
        std::vector<std::string>{"--simulate", "--keep-fp32=", "--lr=-1", "--bits", "3->8 : cos"});
}

TEST_CASE("a wrong study is refused with its place") {
  struct Case {
    std::string text, error;
  };
  const std::string begin = "program = 'p'\n";
  const Case cases[] = {
      {"program = \n", "s.toml:1:11: no TOML: "},
      {"program = 'a'\nprogram = 'b'\n", "s.toml:2:"},
      {"", "s.toml:1:1: expected program = \"ebb-cnn\""},
      {begin + "optoins = 1\n", "s.toml:2:1: unknown key 'optoins'; did you mean 'options'?"},
      {begin + "name = 3\n", "s.toml:2:1: name: expected a text in quotes, got a number"},
      {begin + "options = 3\n", "s.toml:2:1: options: expected a table of options, got a number"},
      {begin + "[options]\nlr = [1]\n",
       "s.toml:3:6: lr: expected a text, a finite number, true or false, got a list"},
      {begin + "[options]\nlr = nan\n", "s.toml:3:6: lr: expected a text, a finite number"},
      {begin + "[options]\nlr = 1970-01-01\n", "got a date or time"},
      {begin + "[options]\nlr = 'x'\n", "s.toml:3:1: --lr: expected a number, got 'x'"},
      {begin + "[options]\nlr = true\n", "s.toml:3:1: lr: expected X, got true"},
      {begin + "[options]\nsimulate = 1\n",
       "s.toml:3:1: simulate: expected true or false, got '1'"},
      {begin + "[options]\noptimizer = 'adan'\n", "did you mean 'adam'?"},
      {begin + "[options]\nthreads = 4\n", "s.toml:3:1: threads: no result depends on them"},
      {begin + "[options]\nout = 'x'\n", "s.toml:3:1: out: a sweep says this itself"},
      {begin + "[options]\nmax_bits = 8\n",
       "s.toml:3:1: no option is named 'max_bits'; did you mean 'max-bits'?"},
      {begin + "[options]\n--lr = 8\n", "s.toml:3:1: no option is named '--lr'"},
      {begin + "[options]\ndata = \"a\\u0000b\"\n", "one with a NUL"},
      {begin + "[grid]\nseed = 1\n",
       "s.toml:3:1: seed: expected a list of its values, such as [1, 2, 3], got a number"},
      {begin + "[grid]\nseed = []\n", "got an empty one"},
      {begin + "[runs]\nseed = 1\n",
       "s.toml:2:2: runs: expected [[runs]], one for each, got a table"},
      {begin + "[grid]\nseed = [1, 1]\n",
       "two runs are the same and would have the same results: --seed 1 of [grid] and --seed 1 of "
       "[grid]"},
      {begin + "[grid]\nlr = [0.5]\n[[runs]]\nlr = 5e-1\n",
       "--lr 0.5 of [grid] and --lr 0.5 of [[runs]] in line 4"},
      {begin + "[grid]\nsimd = ['auto', 'scalar']\n", "would have the same results"},
      {begin + "[grid]\nseed = [1, 2]\n[[exclude]]\nsed = 1\n",
       "s.toml:5:1: [[exclude]]: unknown option of the grid 'sed'; did you mean 'seed'?"},
      {begin + "[grid]\nseed = [1, 2]\n[[exclude]]\nseed = 3\n",
       "s.toml:5:1: [[exclude]]: unknown value of seed '3'"},
      {begin + "[grid]\nseed = [1]\n[[exclude]]\nseed = 1\n", "no run remains"},
      {begin + "[grid]\nseed = [1]\n[baseline]\nseed = 2\n",
       "s.toml:4:2: [baseline] expected options of some of the runs, such as schedule = "
       "\"static\"; no run has --seed 2"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const std::string error = error_of(c.text);
    CAPTURE(error);
    CHECK(error.find(c.error) != std::string::npos);
  }
}

TEST_CASE("a large grid is meant only if somebody says so") {
  std::string values = "[0";
  for (int i = 1; i < 101; ++i) values += concat(", ", i);
  values += "]";
  const std::string text = "program = 'p'\n[grid]\nseed = " + values + "\nlr = " + values + "\n";
  CHECK(error_of(text).find(
            "s.toml:3:1: the grid has 10201 combinations; add --yes for more than 10000") !=
        std::string::npos);
  CHECK(
      error_of(text + "weight-decay = " + values + "\n", true).find("a study has up to 1000000") !=
      std::string::npos);
}

TEST_CASE("study.json is read back, and runs keep the names that they had") {
  const Study study = parse_study(kFirst, "s.toml");
  Expansion expansion = expand(study, false);
  const std::string json = to_json(manifest_of(study, expansion));
  const Manifest before = parse_manifest(json, "study.json");
  CHECK(to_json(before) == json);
  CHECK(before.runs[0].command ==
        std::vector<std::string>{"ebb-cnn", "--arch", "lenet5", "--iterations", "40", "--schedule",
                                 "CR", "--seed", "1", "--out", "runs/first/CR_seed-1"});
  const auto all_there = [](const std::string&) { return true; };
  CHECK(keep_names(study, expansion, before, all_there).empty());

  // One more option varies; those of before are found where they are.
  const Study more = parse_study(std::string(kFirst) + "[[runs]]\nlr = 0.5\n", "s.toml");
  Expansion grown = expand(more, false);
  CHECK(keep_names(more, grown, before, all_there) ==
        std::vector<std::string>{"1 run more than when it was last run"});
  CHECK(grown.runs[0].name == "CR_seed-1");

  // The same runs with other options are others.
  std::string text = kFirst;
  text.replace(text.find("40"), 2, "50");
  const Study other = parse_study(text, "s.toml");
  Expansion changed = expand(other, false);
  CHECK_THROWS_WITH_AS(
      keep_names(other, changed, before, all_there),
      "[study] s.toml: the run CR_seed-1 in runs/first was begun with other options: --iterations "
      "was 40 and is 50; give the study another out, or move that directory away",
      ConfigError);
  CHECK(keep_names(other, changed, before, [](const std::string&) { return false; }).size() == 2);
}

TEST_CASE("what a program says last is why it failed") {
  struct Case {
    std::string said;
    int exit_code;
    std::string message;
  };
  const Case cases[] = {
      {"step 1/2\nebb-cnn: warning: a\nebb-cnn: [data] b\n  while c\n", 1, "[data] b\n  while c"},
      {"ebb-cnn: b\n", 1, "b"},
      {"x\nfree(): invalid pointer\n", 134, "it was ended by signal 6 (Aborted)"},
      {"", 137, "it was ended by signal 9 (Killed), perhaps for lack of memory"},
      {"sh: not found\n", 127, "sh: not found"},
      {"", 1, "it ended with exit code 1 and said nothing"},
  };
  for (const Case& c : cases) CHECK(message_of("/bin/ebb-cnn", c.said, c.exit_code) == c.message);
}

TEST_CASE("processors are shared by runs and threads, never more than there are unless told") {
  struct Case {
    std::int64_t jobs, threads;  // 0: not given
    std::size_t runs;
    int expected_jobs, expected_threads;  // 0: refused
  };
  const Case cases[] = {{0, 0, 20, 8, 1}, {0, 0, 3, 3, 2},  {4, 0, 20, 4, 2}, {0, 4, 20, 2, 4},
                        {0, 3, 20, 2, 3}, {9, 0, 20, 0, 0}, {0, 9, 20, 0, 0}, {9, 2, 20, 9, 2}};
  for (const Case& c : cases) {
    CAPTURE(c.jobs);
    CAPTURE(c.threads);
    SweepOptions options;
    if (c.jobs > 0) options.jobs = c.jobs;
    if (c.threads > 0) options.threads = c.threads;
    if (c.expected_jobs == 0) {
      CHECK_THROWS_AS(workers(options, c.runs, 8), ConfigError);
      continue;
    }
    const Workers got = workers(options, c.runs, 8);
    CHECK(got.jobs == c.expected_jobs);
    CHECK(got.threads == c.expected_threads);
  }
}

TEST_CASE("a shard begins with its own part and has all the others behind it") {
  using Order = std::vector<std::size_t>;
  CHECK(order_of(parse_shard(""), 4) == Order{0, 1, 2, 3});
  CHECK(order_of(parse_shard("1/3"), 5) == Order{0, 3, 1, 4, 2});
  CHECK(order_of(parse_shard("3/3"), 5) == Order{2, 0, 3, 1, 4});
  CHECK(order_of(parse_shard("4/9"), 2) == Order{0, 1});
  for (const char* wrong : {"0/3", "4/3", "1", "1/2/3", "a/b", "-1/3", "1/0"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_shard(wrong), ConfigError);
  }
}

TEST_CASE("a run has one claimant: a live one keeps it, a dead or silent one loses it") {
  const Scratch scratch;
  double now = 1000;
  bool alive = true;
  const auto claimant = [&](const char* host, const char* machine, pid_t process) {
    return Claimant{.host = host,
                    .machine = machine,
                    .process = process,
                    .started = "77",
                    .now = [&] { return now; },
                    .alive = [&](pid_t, const std::string&) { return alive; }};
  };
  Claims a(scratch.path, claimant("a", "m1", 1)), b(scratch.path, claimant("b", "m2", 2));
  Claims neighbour(scratch.path, claimant("a", "m1", 3));

  std::optional<Claim> first = a.acquire("run");
  REQUIRE(first);
  CHECK(b.claimed("run"));
  CHECK_FALSE(b.acquire("run"));
  CHECK(b.holder("run") == "a");
  CHECK_FALSE(neighbour.acquire("run"));

  // A heartbeat within five minutes of the last look keeps it.
  now += 299;
  CHECK_FALSE(b.acquire("run"));
  usleep(2000);  // heartbeats are told apart by milliseconds
  first->renew(now);
  now += 299;
  CHECK_FALSE(b.acquire("run"));
  CHECK(first->ours());

  // Five minutes of silence lose it, for one of those who want it.
  now += 301;
  std::optional<Claim> second = b.acquire("run");
  REQUIRE(second);
  CHECK_FALSE(first->ours());
  CHECK(second->ours());
  CHECK_FALSE(neighbour.acquire("run"));
  now += 31;
  first->renew(now);  // a claim that was lost writes over nothing
  first.reset();      // and removes nothing
  CHECK(second->ours());
  CHECK(neighbour.holder("run") == "b");

  // Given up, it is free at once.
  second.reset();
  std::optional<Claim> third = a.acquire("run");
  REQUIRE(third);

  // A dead process is not waited for on its own machine; another machine cannot know.
  alive = false;
  CHECK_FALSE(b.acquire("run"));
  CHECK(neighbour.acquire("run"));
  CHECK_FALSE(third->ours());

  // What a crash left between making the file and writing it counts as silent.
  alive = true;
  std::ofstream(scratch.path + "/torn.json").flush();
  CHECK_FALSE(a.acquire("torn"));
  now += 301;
  CHECK(a.acquire("torn"));
}

TEST_CASE("this process is alive, and nobody with its number and another beginning") {
  const Claimant me = Claimant::this_process();
  CHECK_FALSE(me.started.empty());
  CHECK(me.alive(me.process, me.started));
  CHECK_FALSE(me.alive(me.process, "1"));
}

TEST_CASE("the table fits its terminal, and running rows are shown before others") {
  std::vector<Run> runs(30);
  std::vector<Entry> entries(30);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].name = concat("schedule_of_a_long_name_seed-", i);
    entries[i].run = &runs[i];
    entries[i].state = i < 10 ? State::done : State::queued;
    if (entries[i].state == State::queued) continue;
    entries[i].position = {.done = 40,
                           .iterations = 40,
                           .loss = 1.5,
                           .bits = "int8",
                           .metric = "accuracy",
                           .score = 0.5};
  }
  entries[20].state = State::running;
  entries[20].begin = 0;
  entries[20].seconds = 10;
  entries[20].position = {.done = 10, .iterations = 40};
  entries[25].state = State::failed;
  entries[25].note = "[data] <b>\x1b[31m" + std::string(200, 'x');
  for (const int width : {10, 40, 60, 80, 200}) {
    for (const int height : {3, 12, 24, 60}) {
      CAPTURE(width);
      CAPTURE(height);
      const std::vector<Line> lines =
          draw({.title = "t", .elapsed = 5, .eta = 7}, entries, {.width = width, .height = height});
      CHECK(std::ssize(lines) <= std::max(4, height - 1));
      std::string all;
      for (const Line& line : lines) {
        CHECK(line.width < width);
        CHECK(std::ssize(line.text) == line.width);
        all += line.text + "\n";
      }
      CHECK(all.find('\x1b') == std::string::npos);
      if (width >= 60) CHECK(all.find("ETA 30 s") != std::string::npos);
      if (width >= 60)
        CHECK(all.find("10 of 30 done, 1 running, 18 queued, 1 failed") != std::string::npos);
    }
  }
  // 30 of 40 steps are left at 1 s each, and 18 runs of 40 steps are queued: one at a time.
  CHECK(seconds_left(entries, 1) == doctest::Approx(30 + 18 * 40));
  CHECK(seconds_left(entries, 2) == doctest::Approx((30 + 18 * 40) / 2.0));
}

TEST_CASE("large numbers have SI prefixes and three digits") {
  struct Case {
    double value;
    const char* text;
  };
  const Case cases[] = {{0, "0"},           {999, "999"},       {1000, "1.00 k"},
                        {12345, "12.3 k"},  {999600, "1.00 M"}, {2.26e10, "22.6 G"},
                        {1e30, "1000000 Y"}};
  for (const Case& c : cases) CHECK(si_text(c.value) == c.text);
}
