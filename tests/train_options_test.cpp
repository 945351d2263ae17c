#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/scratch.h"
#include "train/config.h"
#include "train/files.h"
#include "train/options/conflicts.h"
#include "train/options/options.h"

using namespace ebb;
using namespace ebb::train;

namespace {

const Program kProgram{
    .name = "ebb-test",
    .summary = "Trains nothing",
    .archs =
        {{.name = "small", .summary = "a small one", .lr = 0.05, .lr_schedule = "1", .epochs = 3},
         {.name = "resnet8",
          .summary = "residual",
          .lr_schedule = "1->0:cos",
          .optimizer = "adam",
          .batch = 32,
          .options = {{"layers", "2"}}}},
    .options = {{.name = "data", .value = "DIR", .fallback = "embedded", .help = "where to read"},
                {.name = "layers",
                 .value = "N",
                 .kind = OptionSpec::Kind::integer,
                 .fallback = "1",
                 .help = "how deep",
                 .expected = "1 and more",
                 .accepts = [](double n) { return n >= 1; }},
                {.name = "kept",
                 .value = "F",
                 .kind = OptionSpec::Kind::real,
                 .fallback = "0.5",
                 .help = "share kept",
                 .expected = "a share of 0 to below 1",
                 .accepts = [](double share) { return share >= 0 && share < 1; }},
                {.name = "unit",
                 .value = "word|byte",
                 .fallback = "byte",
                 .help = "",
                 .choices = {"word", "byte"}},
                {.name = "tied",
                 .value = "",
                 .kind = OptionSpec::Kind::flag,
                 .fallback = "false",
                 .help = "share weights",
                 .conflict =
                     [](const Options& options) {
                       return only_with(options, "arch", {"resnet8"});
                     }}},
    .presets = {{.name = "known",
                 .summary = "an experiment",
                 .options = {{"schedule", "LT"},
                             {"epochs", "40"},
                             {"layers", "3"},
                             {"min-bits", "5"},
                             {"lr", "20"}},
                 .warnings = {"nobody knows"}}}};

CommandLine parsed(const std::string& text) {
  const std::vector<std::string> args = split_at(text, ' ');
  CommandLine line = parse_command_line(args, kProgram);
  if (!line.text) check(line.options, kProgram);
  return line;
}

// The message of the ConfigError that a command line causes, or "".
std::string error_of(const std::string& text) {
  try {
    parsed(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string value_of(const Options& options, const std::string& name) {
  for (const auto& [known, text] : option_texts(options, false)) {
    if (known == name) return text;
  }
  return "no such option";
}

}  // namespace

TEST_CASE("an option with = and nothing behind it has that for its value, not the next word") {
  const CommandLine line = parsed("--keep-fp32= --seed 4");
  CHECK(line.gave("keep-fp32"));
  CHECK(line.options.text("keep-fp32").empty());
  CHECK(line.options.integer("seed") == 4);
  CHECK(contains(error_of("--seed= --batch 16"), "--seed"));
}

TEST_CASE("a command line fills the options and names what was given") {
  const CommandLine line = parsed(
      "--arch resnet8 --iterations=100 --lr 1e-3 --simulate --keep-fp32 first,last --out /tmp/x "
      "--bits 4");
  CHECK(line.options.text("arch") == "resnet8");
  CHECK(line.options.integer("iterations") == 100);
  CHECK(line.options.real("lr") == 1e-3);
  CHECK(line.options.text("lr") == "0.001");  // as it is recorded
  CHECK(line.options.flag("simulate"));
  CHECK(line.options.text("keep-fp32") == "first,last");
  CHECK_FALSE(line.options.has("batch"));
  CHECK(line.options.given == std::vector<std::string>{"arch", "bits", "keep-fp32", "simulate",
                                                       "iterations", "lr", "out"});
  CHECK(parsed("").options.text("arch") == "small");
}

TEST_CASE("what is not given is the architecture's") {
  Options options = parsed("--arch resnet8 --lr 0.5").options;
  apply_defaults(options, kProgram);
  CHECK(options.real("lr") == 0.5);
  CHECK(options.text("optimizer") == "adam");
  CHECK(options.text("lr-schedule") == "1->0:cos");
  CHECK(options.integer("epochs") == 10);
  CHECK(options.integer("batch") == 32);
  CHECK(options.integer("layers") == 2);
  CHECK(options.real("kept") == 0.5);
  CHECK_FALSE(options.flag("tied"));
  CHECK(options.text("unit") == "byte");
  CHECK_THROWS_WITH_AS(static_cast<void>(options.text("depth")), doctest::Contains("no --depth"),
                       ConfigError);
  CHECK_FALSE(options.has("iterations"));
  CHECK(value_of(options, "schedule") == "CR");
  Options with_bits = parsed("--bits 4").options;
  apply_defaults(with_bits, kProgram);
  CHECK(value_of(with_bits, "schedule").empty());
  Options counted = parsed("--iterations 7").options;
  apply_defaults(counted, kProgram);
  CHECK_FALSE(counted.has("epochs"));
}

TEST_CASE(
    "a preset sets what is not given, and gives way to the other of two options that exclude each "
    "other") {
  Options options = parsed("--preset known --lr 5 --tied").options;
  apply_defaults(options, kProgram);
  CHECK(options.text("schedule") == "LT");
  CHECK(options.integer("min-bits") == 5);
  CHECK(options.real("lr") == 5.0);
  CHECK(options.integer("epochs") == 40);
  CHECK(options.integer("layers") == 3);
  CHECK(options.flag("tied"));
  const Options other = parsed("--preset known --iterations 9 --bits 4").options;
  CHECK_FALSE(other.has("epochs"));
  CHECK(other.text("schedule") == "CR");
  CHECK(find_preset(kProgram, "known").warnings.size() == 1);
}

TEST_CASE("a wrong command line names the option, what was expected and the nearest known word") {
  struct Case {
    const char* args;
    const char* expected;
  };
  const Case cases[] = {
      {"--iteration 5", "unknown option '--iteration'; did you mean '--iterations'?"},
      {"--frobnicate=5", "unknown option '--frobnicate'"},
      {"train", "unexpected argument 'train'"},
      {"--batch", "--batch"},
      {"--batch x", "--batch: expected an integer, got 'x'"},
      {"--batch 12x", "--batch: expected an integer, got '12x'"},
      {"--batch 1.5", "--batch: expected an integer, got '1.5'"},
      {"--batch 99999999999999999999", "--batch: expected an integer"},
      {"--batch 0", "--batch: expected an integer of 1 and more, got 0"},
      {"--lr fast", "--lr: expected a number, got 'fast'"},
      {"--lr nan", "--lr: expected 0, or 1e-30 to 1e30, got nan"},
      {"--lr=-1", "--lr: expected 0, or 1e-30 to 1e30, got -1"},
      {"--arch resnet9", "unknown architecture 'resnet9'; did you mean 'resnet8'?"},
      {"--min-bits 9 --max-bits 8", "--min-bits 9 is above --max-bits 8"},
      {"--max-bits 17", "--max-bits: expected 1 to 16 bits, got 17"},
      {"--min-bits 0", "--min-bits: expected 1 to 16 bits, got 0"},
      {"--gradient-bits 33", "--gradient-bits: expected 1 to 16 bits or a format, got '33'"},
      {"--eval-bits none", "--eval-bits: expected 1 to 16 bits, current or a format"},
      {"--grid afine", "did you mean 'affine'?"},
      {"--grid symmetric --min-bits 1", "no grid of 1 bit"},
      {"--gradient-grid symmetric --gradient-bits 1", "gradients of 1 bit have no symmetric grid"},
      {"--gradient-grid symetric", "did you mean 'symmetric'?"},
      {"--accumulator wrap99", "2 to 62 bits, got 99"},
      {"--simulate --accumulator sat16", "--simulate multiplies in float32"},
      {"--period floor+2", "did you mean 'floor+1'?"},
      {"--optimizer sdg", "did you mean 'sgd'?"},
      {"--epochs 1 --iterations 2", "--iterations and --epochs contradict each other"},
      {"--schedule CR --bits 4", "--schedule and --bits contradict each other"},
      {"--lr-plateau 1", "--lr-plateau: expected a factor above 0 and below 1, got 1"},
      {"--layers two", "--layers: expected an integer, got 'two'"},
      {"--layers 0", "--layers: expected 1 and more, got 0"},
      {"--kept 1", "--kept: expected a share of 0 to below 1, got 1"},
      {"--kept nan", "--kept: expected a share of 0 to below 1, got nan"},
      {"--unit words", "did you mean 'word'?"},
      {"--layer 3", "did you mean '--layers'?"},
      {"--layers 1 --layers 2", "--layers is given 2 times"},
      {"--preset knwon", "unknown preset 'knwon'; did you mean 'known'?"},
      {"--threads 0", "--threads: expected 1 to 1024, got 0"},
      {"--simd sse", "sse"},
      {"--lr 1e31", "--lr: expected 0, or 1e-30 to 1e30, got 1e31"},
      {"--lr 1e-40", "--lr: expected 0, or 1e-30 to 1e30, got 1e-40"},  // float32 would make it 0
      {"--weight-decay 1e31", "--weight-decay: expected 0, or 1e-30 to 1e30, got 1e31"},
      {"--clip 0", "--clip: expected a norm of 1e-30 to 1e30, got 0"},
      {"--clip 1e-40", "--clip: expected a norm of 1e-30 to 1e30, got 1e-40"},
      {"--accumulate 32 --batch 16",
       "--accumulate: expected 1 to 16, the --batch that is cut, got 32"},
      {"--resume",
       "--resume needs --out RUN, the directory of the run that is to go on, as its last line "
       "named it: ebb-test --resume --out runs/ebb-test-small-CR-seed1"},
      {"--resume --out none", "--resume needs --out RUN"},
      {"--save-every 5 --out none",
       "--save-every has no effect with --out none, where nothing is saved; leave it out"},
      {"--keep best --out none", "--keep has no effect with --out none"},
      {"--keep first", "unknown value 'first'; known: last, best, all"},
      {"--patience 0", "--patience: expected an integer of 1 and more, got 0"},
      {"--checkpoint best", "--checkpoint has no effect without --evaluate"},
      {"--evaluate a --checkpoint first",
       "--checkpoint: expected last, best or a number of steps, got 'first'"},
      {"--evaluate a --log-every 2", "--log-every has no effect with --evaluate"},
      {"--nonsense 1", "unknown option '--nonsense'; --help lists all options"},
      {"--evaluate a --out b", "--evaluate and --out contradict"},
      {"--out a --dry-run --resume", "--resume and --dry-run contradict"},
      {"--resume --evaluate a", "--resume and --evaluate contradict"},
      {"--save-every 5 --evaluate a",
       "--save-every has no effect with --evaluate, where nothing is trained; leave it out"},
      {"--statistics-every 5 --evaluate a", "--statistics-every has no effect with --evaluate"},
      {"--seed 1 --seed 2", "--seed is given 2 times; give it once"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.args);
    const std::string message = error_of(c.args);
    CAPTURE(message);
    CHECK(contains(message, c.expected));
  }
  const std::vector<std::string> empty{"--from", ""};
  CHECK_THROWS_WITH_AS(parse_command_line(empty, kProgram),
                       doctest::Contains("--from: expected RUN, got ''"), ConfigError);
}

TEST_CASE("what was given and has no effect with the others is refused, whatever a preset says") {
  struct Case {
    const char* args;
    const char* expected;  // empty: it means something
  };
  const Case cases[] = {
      {"--bits 4 --cycles 2", "--cycles has no effect with --bits"},
      {"--bits 4 --max-bits 6",
       "--max-bits has no effect with --bits, only with a --schedule; leave it out"},
      {"--schedule fp32 --max-bits 6", "--max-bits has no effect with --schedule fp32"},
      {"--schedule static --max-bits 6", ""},
      {"--gradient-bits 4 --bits group{gradient:4,*:8}",
       "--gradient-bits has no effect with a --bits whose group has a part for gradients"},
      {"--gradient-bits 4 --bits group{gradient:4,*:(8", "--bits: [schedule]"},
      {"--bits 4 --period floor", "--period has no effect with --bits"},
      {"--schedule static --min-bits 4", "--min-bits has no effect with --schedule static"},
      {"--schedule CR --min-bits 4 --cycles 2 --period floor", ""},
      {"--arch resnet8 --momentum 0.5",
       "--momentum has no effect with --optimizer adam, only with --optimizer sgd; leave it out"},
      {"--arch resnet8 --optimizer sgd --momentum 0.5", ""},
      {"--preset known --bits 4", ""},
      {"--tied", "--tied has no effect with --arch small, only with --arch resnet8"},
      {"--arch resnet8 --tied", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.args);
    Options options = parsed(c.args).options;
    apply_defaults(options, kProgram);
    std::string message;
    try {
      check_given(options);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.empty() == std::string(c.expected).empty());
    CHECK(contains(message, c.expected));
  }
}

TEST_CASE("--help shows every option in its group, with what it is by default, in 100 columns") {
  const CommandLine line = parsed("--help");
  REQUIRE(line.text.has_value());
  for (const auto& option : option_texts(parsed("").options, false)) {
    CAPTURE(option.first);
    CHECK(contains(*line.text, concat("--", option.first)));
  }
  for (const std::string& shown : split_at(*line.text, '\n')) {
    CAPTURE(shown);
    CHECK(shown.size() <= 100);
  }
  for (const char* part :
       {"Precision:", "Machine:", "resnet8", "Exit codes: 0 done", "how deep [1; resnet8: 2]",
        "learning rate [0.05; resnet8: 0.1]", "batch size [128; resnet8: 32]", "share kept [0.5]",
        "number of processors: ", "known                     an experiment",
        "--arch NAME               network to train; the table below lists them [small]"}) {
    CAPTURE(part);
    CHECK(contains(*line.text, part));
  }
  CHECK_FALSE(contains(*line.text, "see below"));
  CHECK(contains(parsed("--version").text.value(), "ebb-test 0."));
}

TEST_CASE("a file gives options, TOML or a run's configuration, and the command line wins") {
  const Scratch scratch;
  const std::string path = scratch / "options";
  const auto with = [&](const std::string& text, const std::string& more = "") {
    write_file(path, text);
    return concat("--config ", path, more.empty() ? "" : concat(' ', more));
  };
  const Options plain =
      parsed(with("lr = 1e-3  # a comment\nbatch = 16\ntied = true\nschedule = \"RR\"\n")).options;
  CHECK(plain.text("lr") == "0.001");
  CHECK(plain.integer("batch") == 16);
  CHECK(plain.flag("tied"));
  CHECK(plain.text("schedule") == "RR");
  CHECK(parsed(with("[options]\nbatch = 16\n", "--batch 8")).options.integer("batch") == 8);
  // What excludes an option settles it, too.
  const Options counted =
      parsed(with("epochs = 9\nschedule = 'RR'\n", "--iterations 5 --bits 4")).options;
  CHECK_FALSE(counted.has("epochs"));
  CHECK(counted.text("schedule") == "CR");
  // A run lists all options that there are, also those without effect, and its preset's are its
  // own.
  Options run = parsed("--preset known --lr 5 --batch 16").options;
  apply_defaults(run, kProgram);
  const RunConfig config{.program = "ebb-test", .options = option_texts(run, true)};
  const Options again = parsed(with(to_json(config), "--min-bits 4")).options;
  for (const auto& option : config.options) {
    CAPTURE(option.first);
    if (option.first != "min-bits") CHECK(again.text(option.first) == option.second);
  }
  CHECK(again.integer("min-bits") == 4);
  CHECK_NOTHROW(check_given(again));

  struct Case {
    const char *text, *more, *expected;
  };
  const Case cases[] = {
      {"lr = \n", "", "line 1, column 6"},
      {"bacth = 4\n", "", "unknown option 'bacth'; did you mean 'batch'?"},
      {"batch = [4]\n", "", "line 1, column 9: batch: expected a text, a number, true or false"},
      {"batch = 'many'\n", "", "--batch: expected an integer, got 'many'"},
      {"epochs = 1\niterations = 2\n", "", "--iterations and --epochs contradict each other"},
      {"{\"program\": \"ebb-cnn\", \"options\": {}, \"session\": {}, \"resolved\": {}, \"build\": "
       "{}, \"data\": {}}",
       "", "is of a run of ebb-cnn, not of ebb-test"},
      {"{\"program\": 1}", "", "expected an object with program, options"},
      {"lr = 1\n", "--resume --out x", "--config and --resume contradict each other"}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const std::string message = error_of(with(c.text, c.more));
    CAPTURE(message);
    CHECK(contains(message, c.expected));
  }
  CHECK_THROWS_AS(parsed("--config " + scratch / "none"), DataError);
}

TEST_CASE("what is not as by default about products is shown as on a command line") {
  struct Case {
    const char *args, *shown;
  };
  const Case cases[] = {
      {"", ""},
      {"--bits 4 --lr 7", ""},  // shown elsewhere
      {"--grid symmetric --accumulator sat14", "--grid symmetric --accumulator sat14"},
      {"--gradient-grid symmetric --keep-fp32 first,last --eval-bits fp32",
       "--eval-bits fp32 --gradient-grid symmetric --keep-fp32 first,last"},
      {"--simulate", "--simulate"}};
  for (const Case& c : cases) {
    CAPTURE(c.args);
    CHECK(format_options(arithmetic_options(option_texts(parsed(c.args).options, true))) ==
          c.shown);
  }
  CHECK(arithmetic_options({}) == arithmetic_options(option_texts(
                                      Options(), true)));  // an old run that recorded none of them
}

TEST_CASE(
    "a resumed run takes its recorded options, free ones anew, and refuses the others by name") {
  Options original =
      parsed("--arch resnet8 --batch 32 --clip 2 --threads 1 --out run --kept 0.25 --preset known")
          .options;
  apply_defaults(original, kProgram);
  const auto recorded = option_texts(original, true);
  CHECK(std::none_of(recorded.begin(), recorded.end(),
                     [](const auto& option) { return option.first == "threads"; }));

  const Options resumed =
      resumed_options(parsed("--out run --resume --threads 3 --quiet --batch 32"), recorded);
  for (const auto& option : recorded) {
    CAPTURE(option.first);
    CHECK(value_of(resumed, option.first) == option.second);
  }
  CHECK(resumed.integer("threads") == 3);
  CHECK(resumed.flag("quiet"));

  // Adjustable ones.
  CHECK(resumed_options(parsed("--eval-every 64"), recorded).integer("eval-every") == 64);
  CHECK_FALSE(resumed_options(parsed(""), recorded).has("eval-every"));
  CHECK(resumed_options(parsed("--cost-reference 4/4/4"), recorded).text("cost-reference") ==
        "4/4/4");

  struct Case {
    const char* args;
    const char* expected;
  };
  const Case cases[] = {
      {"--batch 64", "--batch is '64' now and was '32' in the run"},
      {"--seed 2", "--seed is '2' now and was '1' in the run"},
      {"--lr-plateau 0.5", "--lr-plateau is '0.5' now and was nothing in the run"},
      {"--kept 0.75", "--kept is '0.75' now and was '0.25' in the run"},
      {"--layers 2", "--layers is '2' now and was '3' in the run"},
      {"--arch small", "--arch is 'small' now and was 'resnet8'"},
      {"--simulate", "--simulate is 'true' now and was 'false'"}};
  for (const Case& c : cases) {
    CAPTURE(c.args);
    CHECK_THROWS_WITH_AS(static_cast<void>(resumed_options(parsed(c.args), recorded)),
                         doctest::Contains(c.expected), DataError);
  }
  const std::vector<std::pair<std::string, std::string>> newer{{"warp", "9"}};
  CHECK_THROWS_WITH_AS(static_cast<void>(resumed_options(parsed(""), newer)),
                       doctest::Contains("--warp"), DataError);
}

TEST_CASE(
    "an evaluation keeps the network and the data of the run, and is free in what is its own") {
  Options original = parsed("--arch resnet8 --batch 32 --kept 0.25 --grid symmetric").options;
  apply_defaults(original, kProgram);
  const auto recorded = option_texts(original, true);
  std::vector<std::string> warnings;
  const Options own =
      options_to_evaluate(parsed("--grid affine --keep-fp32 first --accumulator sat20 --eval-bits "
                                 "4 --cost-reference 4/4/4 --threads 1"),
                          recorded, {}, warnings);
  CHECK(own.text("grid") == "affine");
  CHECK(own.text("keep-fp32") == "first");
  CHECK(own.text("accumulator") == "sat20");
  CHECK(own.text("eval-bits") == "4");
  CHECK(own.text("cost-reference") == "4/4/4");
  CHECK(own.integer("batch") == 32);
  CHECK(own.text("arch") == "resnet8");
  CHECK(warnings.empty());

  const Options same =
      options_to_evaluate(parsed("--arch resnet8 --batch 32 --seed 1"), recorded, {}, warnings);
  CHECK(option_texts(same, true) == recorded);
  CHECK(warnings.empty());
  for (const char* useless : {"--lr 7", "--optimizer sgd", "--max-bits 5", "--gradient-bits 3",
                              "--iterations 9", "--batch 64"}) {
    CAPTURE(useless);
    const Options unmoved = options_to_evaluate(parsed(useless), recorded, {}, warnings);
    CHECK(option_texts(unmoved, true) == recorded);
    REQUIRE(warnings.size() == 1);
    CHECK(contains(warnings[0], concat(useless, " has no effect here, where nothing is trained")));
    warnings.clear();
  }
  for (const char* other :
       {"--arch small", "--layers 5", "--kept 0.75", "--seed 2", "--preset known"}) {
    CAPTURE(other);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(options_to_evaluate(parsed(other), recorded, {}, warnings)),
        doctest::Contains("another network or other data"), DataError);
  }
  const std::vector<std::string> free{"seed"};
  CHECK(options_to_evaluate(parsed("--seed 2"), recorded, free, warnings).integer("seed") == 2);
}
