#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "data/graph_open.h"
#include "data/graph_synthetic.h"
#include "tests/data_files.h"
#include "tests/errors.h"
#include "tests/scratch.h"

using namespace ebb;
namespace fs = std::filesystem;
using test::contains;
using test::data_error_of;

namespace {

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

void write_linqs(const fs::path& folder, const std::string& name) {
  write(folder / (name + ".content"), "a\t1\tX\nb\t0\tY\nc\t1\tX\n");
  write(folder / (name + ".cites"), "a\tb\nb\tc\n");
}

}  // namespace

TEST_CASE("a split that nobody knows is answered with the nearest one, on any data") {
  CHECK_THROWS_WITH_AS(open_graph("synthetic", "randm", Key(1)),
                       "[graph] synthetic: unknown split 'randm'; did you mean 'random'? Known: "
                       "auto, random, planetoid",
                       ConfigError);
}

TEST_CASE("folders in either format are opened, with their split or a drawn one") {
  const Scratch scratch;
  write_linqs(fs::path(scratch.path()) / "papers", "tiny");
  CHECK(contains(data_error_of([&] {
                   open_graph((fs::path(scratch.path()) / "papers").string(), "auto", Key(1));
                 }),
                 "hold no split"));
  write(fs::path(scratch.path()) / "papers" / "planetoid_split.tsv", "b\ttrain\nc\ttest\n");
  const Graph papers = open_graph((fs::path(scratch.path()) / "papers").string(), "auto", Key(1));
  CHECK(papers.name == "tiny");
  CHECK(papers.split == GraphSplit{.train = {1}, .validation = {}, .test = {2}});
  write(fs::path(scratch.path()) / "papers" / "planetoid_split.tsv", "b\ttrain\n");
  CHECK(contains(data_error_of([&] {
                   open_graph((fs::path(scratch.path()) / "papers").string(), "auto", Key(1));
                 }),
                 "expected nodes to train on and to test, got 1 and 0"));
  write(fs::path(scratch.path()) / "papers" / "planetoid_split.tsv", "b\ttrain\nc\ttest\n");
  write(fs::path(scratch.path()) / "papers" / "tiny.content", "a\t1\tX\nb\t0\tX\nc\t1\tX\n");
  CHECK(contains(data_error_of([&] {
                   open_graph((fs::path(scratch.path()) / "papers").string(), "auto", Key(1));
                 }),
                 "expected at least 2 classes, got 1"));

  const fs::path shop = fs::path(scratch.path()) / "shop";
  write(shop / "raw" / "edge.csv", "0,1\n");
  write(shop / "raw" / "node-feat.csv", "1\n2\n3\n4\n5\n");
  CHECK(contains(data_error_of([&] { open_graph(shop.string(), "random", Key(1)); }),
                 "node-label.csv: no such file"));
  write(shop / "raw" / "node-label.csv", "0\n1\n0\n1\n0\n");
  CHECK(open_graph(shop.string(), "random", Key(1)).split == random_split(5, Key(1)));
  for (const auto& [name, test_node] : {std::pair{"early", "2\n"}, {"late", "0\n"}}) {
    write(shop / "split" / name / "train.csv", "0\n1\n");
    write(shop / "split" / name / "valid.csv", "\n");
    write(shop / "split" / name / "test.csv", test_node);
  }
  CHECK(open_graph(shop.string(), "early", Key(1)).split.test == std::vector<std::int64_t>{2});
  CHECK(contains(data_error_of([&] { open_graph(shop.string(), "late", Key(1)); }),
                 "must not overlap"));
  write(shop / "split" / "early" / "train.csv", "0\n1\n0\n");
  CHECK(contains(data_error_of([&] { open_graph(shop.string(), "early", Key(1)); }),
                 "node 0 is in the train part and in the train part"));
  write(shop / "split" / "early" / "train.csv", "\n");
  CHECK(contains(data_error_of([&] { open_graph(shop.string(), "early", Key(1)); }),
                 "hold no split"));
  CHECK(contains(data_error_of([&] { open_graph(shop.string(), "auto", Key(1)); }),
                 "choose --split early or late"));
  CHECK_THROWS_WITH_AS(open_graph(shop.string(), "erly", Key(1)),
                       doctest::Contains("did you mean 'early'?"), ConfigError);
}

TEST_CASE("what cannot be opened is said, with what was looked for") {
  const Scratch scratch;
  write(fs::path(scratch.path()) / "notes.txt", "no graph");
  CHECK(contains(data_error_of([&] { open_graph(scratch.path(), "auto", Key(1)); }),
                 "found notes.txt"));
  CHECK(contains(data_error_of([] { open_graph("synthetic-arxv", "auto", Key(1)); }),
                 "did you mean 'synthetic-arxiv'?"));
  write_linqs(scratch.path(), "one");
  CHECK(contains(data_error_of([&] { read_ogb(scratch.path(), ""); }),
                 "node-feat.csv: no such file"));
  write_linqs(scratch.path(), "two");
  CHECK(
      contains(data_error_of([&] { read_linqs(scratch.path()); }), "several graphs, one and two"));
}

TEST_CASE("the real sets have the sizes that their authors give") {
  struct Case {
    const char *folder, *split;
    std::int64_t nodes, edges, features;
    int classes;
    std::array<std::size_t, 3> parts;
    std::int64_t isolated;
  };
  // Cora's 5,429 links are 5,278 different ones; see the data's own README for the rest.
  const Case cases[] = {{"cora", "auto", 2708, 5278, 1433, 7, {140, 500, 1000}, 0},
                        {"citeseer", "auto", 3312, 4536, 3703, 6, {120, 500, 1000}, 48},
                        {"ogb-format/amazon_photo",
                         "random_60_20_20",
                         7650,
                         119'081,
                         745,
                         8,
                         {4590, 1530, 1530},
                         115},
                        {"ogb-format/amazon_computers",
                         "random_60_20_20",
                         13'752,
                         245'861,
                         767,
                         10,
                         {8251, 2750, 2751},
                         281}};
  for (const Case& c : cases) {
    const fs::path folder = data_test::real_data(c.folder);
    if (folder.empty()) continue;
    const Graph graph = open_graph(folder.string(), c.split, Key(1));
    CAPTURE(describe(graph));
    CHECK(graph.nodes() == c.nodes);
    CHECK(graph.neighbours.entries() == 2 * c.edges);
    CHECK(graph.features.shape()[1] == c.features);
    CHECK(graph.classes == c.classes);
    CHECK(std::array{graph.split.train.size(), graph.split.validation.size(),
                     graph.split.test.size()} == c.parts);
    std::int64_t isolated = 0;
    for (std::int64_t i = 0; i < graph.nodes(); ++i)
      isolated += graph.neighbours.count(i) == 0 ? 1 : 0;
    CHECK(isolated == c.isolated);
    if (std::string(c.folder) == "cora") {
      std::array<int, 7> sizes{};
      for (const std::int32_t label : graph.labels) ++sizes[static_cast<std::size_t>(label)];
      CHECK(sizes == std::array{298, 418, 818, 426, 217, 180, 351});
    }
  }
}
