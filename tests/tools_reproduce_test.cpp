#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/errors.h"
#include "tools/reproduce.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"

using namespace ebb;
using namespace ebb::study;

TEST_CASE("seeds of a study are replaced, in its grid and in its single runs") {
  Study study = parse_study(
      "program = 'ebb-cnn'\n[grid]\nlr = [0.1, 0.2]\nseed = [1, 2, 3]\n"
      "[[runs]]\nschedule = ['fp32', 'static']\nseed = [1, 2, 3]\n",
      "s.toml");
  set_seeds(study, 2);
  std::vector<std::string> commands;
  for (const Run& run : expand(study, false).runs)
    commands.push_back(join_words(words(run.options), " "));
  CHECK(commands == std::vector<std::string>{
                        "--lr 0.1 --seed 1", "--lr 0.1 --seed 2", "--lr 0.2 --seed 1",
                        "--lr 0.2 --seed 2", "--schedule fp32 --seed 1", "--schedule fp32 --seed 2",
                        "--schedule static --seed 1", "--schedule static --seed 2"});
  set_seeds(study, 4);
  CHECK(expand(study, false).runs.size() == 16);
  CHECK_THROWS_AS(set_seeds(study, 0), ConfigError);
  Study none = parse_study("program = 'ebb-cnn'\n", "s.toml");
  CHECK_THROWS_WITH_AS(set_seeds(none, 2), doctest::Contains("lists no seeds"), ConfigError);
}

TEST_CASE("claims have words and two sides; those of every reproduction are about runs of it") {
  const auto error_of = [](const std::string& text) {
    return test::config_error_of([&] { parse_study("program = 'ebb-cnn'\n" + text, "s.toml"); });
  };
  const std::string begin = "[[claims]]\nsays = 'a'\n";
  CHECK(error_of(begin + "beter = { lr = 1 }\n")
            .find("s.toml:4:1: unknown key 'beter'; did you mean 'better'?") != std::string::npos);
  CHECK(error_of(begin + "better = { lr = 1 }\n").find("and better and than, each a table") !=
        std::string::npos);
  CHECK(error_of("claims = 3\n").find("expected [[claims]]") != std::string::npos);

  std::vector<Study> studies;
  for (const tools::Reproduction& each : tools::reproductions())
    studies.push_back(parse_study(each.text, concat(each.name, ".toml")));
  CHECK(studies.size() >= 9);
  for (const Study& study : studies) {
    CAPTURE(study.path);
    CHECK(!study.claims.empty());
    // The second part of a study has claims about runs of its first part, too.
    const std::string stem = study.path.substr(0, study.path.find('.'));
    std::vector<Run> runs;
    for (const Study& part : studies) {
      if (part.path.substr(0, part.path.find('.')) != stem) continue;
      for (Run& run : expand(part, false).runs) runs.push_back(std::move(run));
    }
    CHECK(runs.size() >= 20);
    const auto is_of = [](const Run& run, const Group& side) {
      return std::ranges::all_of(side.settings, [&](const Setting& wanted) {
        const auto own = std::ranges::find(run.options, wanted.option, &Setting::option);
        return own == run.options.end() ? wanted.text.empty()
                                        : spelling(own->text) == spelling(wanted.text);
      });
    };
    for (const Hypothesis& claim : study.claims) {
      CAPTURE(claim.says);
      for (const Group* side : {&claim.better, &claim.than})
        CHECK(std::ranges::any_of(runs, [&](const Run& run) { return is_of(run, *side); }));
    }
  }
}
