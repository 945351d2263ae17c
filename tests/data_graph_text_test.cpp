#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "data/graph_text.h"
#include "tests/errors.h"

using namespace ebb;
using test::contains;
using test::data_error_of;

namespace {

const std::string kContent = "p7\t1\t0\t0.5\tTheory\np3\t0\t0\t0\tArt\r\np9\t1\t1\t1\tTheory\n";

Graph linqs(const std::string& content, const std::string& cites) {
  return parse_linqs("papers", {"papers.content", content}, {"papers.cites", cites});
}

Graph ogb(const std::string& features, const std::string& labels, const std::string& edges) {
  return parse_ogb("shop", {"node-feat.csv", features}, {"node-label.csv", labels},
                   {"edge.csv", edges});
}

}  // namespace

TEST_CASE(
    "LINQS files become a graph in the order of the content, classes in the order of the "
    "alphabet") {
  const Graph graph = linqs(kContent, "p9\tp7\np7 p9\np3\tp3\n");
  CHECK(graph.nodes() == 3);
  CHECK(graph.classes == 2);
  CHECK(graph.labels == std::vector<std::int32_t>{1, 0, 1});
  CHECK(graph.features == Tensor::from({3, 3}, std::vector<float>{1, 0, 0.5f, 0, 0, 0, 1, 1, 1}));
  CHECK(graph.neighbours ==
        undirected(
            3, std::vector<Edge>{{0, 2}}));  // both directions once, and no link of p3 to itself
  CHECK(graph.notes.empty());
  const Graph lost = linqs(kContent, "p9\tp1\np1\tp2\np7\tp3");
  CHECK(lost.neighbours.entries() == 2);
  REQUIRE(lost.notes.size() == 1);
  CHECK(contains(lost.notes[0], "2 links name nodes without features"));
  CHECK(linqs(kContent, "").neighbours.entries() == 0);  // isolated nodes are nodes
  const Graph indented = linqs(" a\t1\tX\n\tb 0  Y \n",
                               "  b a\n");  // blanks before the first field as between the others
  CHECK(indented.neighbours.entries() == 2);
  CHECK(indented.notes.empty());
  CHECK(linqs("\xff\t1\tX\n\xfe\t0\tY\n", "\xfe\t\xff\n").neighbours.entries() ==
        2);  // names are bytes
}

TEST_CASE("what is wrong with LINQS files is said with file and line") {
  struct Case {
    std::string content, cites, expected;
  };
  const Case cases[] = {
      {"a\t1\t0\tX\nb\t1\tX\n", "",
       "papers.content line 2: expected 2 features as in the lines before, got 1"},
      {"a\tX\n", "",
       "papers.content line 1: expected a node, its words and its class; a node without features?"},
      {"a\t1\tX\n\nb\t1\tY\n", "", "papers.content line 2: the line is empty"},
      {"a\t1\tX\n\r\nb\t1\tY\n", "", "papers.content line 2: the line is empty"},
      {"a\t1\tX\n \t\nb\t1\tY\n", "",
       "papers.content line 2: expected a node, its words and its class"},
      {"id\tword\tclass\na\t1\tX\n", "",
       "papers.content line 1: expected a number that float32 can hold, got 'word'"},
      {"a\t\xc3\tX\n", "", "papers.content line 1: expected a number"},
      {"a\t-inf\tX\n", "", "got '-inf'"},
      {"a\t1\tX\na\t0\tY\n", "", "papers.content line 2: node 'a' has a line already"},
      {"a\tone\tX\n", "",
       "papers.content line 1: expected a number that float32 can hold, got 'one'"},
      {"a\t1e39\tX\n", "", "got '1e39'"},
      {"a\tnan\tX\n", "", "got 'nan'"},
      {"", "", "papers.content: there are no nodes"},
      {kContent, "p7\n", "papers.cites line 1: expected two nodes, got 1"},
      {kContent, "p7\tp3\tp9\n", "papers.cites line 1: expected two nodes, got 3"},
      {kContent, "p7\tp3\n\n", "papers.cites line 2: the line is empty"},
      {kContent, "p7\tp3\n \n", "papers.cites line 2: expected two nodes, got 0"},
  };
  for (const Case& c : cases) {
    const std::string message = data_error_of([&] { linqs(c.content, c.cites); });
    CAPTURE(message);
    CAPTURE(c.expected);
    CHECK(contains(message, c.expected));
  }
}

TEST_CASE("a LINQS split names nodes of the content, each in one part") {
  const auto read = [](const std::string& text) {
    return parse_linqs_split({"papers.content", kContent}, {"split.tsv", text});
  };
  CHECK(read("p9\ttrain\np7\ttrain\np3\ttest\n") ==
        GraphSplit{.train = {0, 2}, .validation = {}, .test = {1}});
  CHECK(contains(data_error_of([&] { read("p1\ttrain\n"); }),
                 "split.tsv line 1: there is no node 'p1'"));
  CHECK(contains(data_error_of([&] { read("p7\tvalid\n"); }),
                 "expected train, val or test, got 'valid'"));
  CHECK(contains(data_error_of([&] { read("p7\ttrain\np7\ttest\n"); }),
                 "line 2: node 'p7' is in a part already"));
  CHECK(contains(data_error_of([&] { read("p7\n"); }), "expected a node and its part"));
}

TEST_CASE("OGB files become a graph; what is wrong with them is said with file and line") {
  const Graph graph = ogb("1,-2\n0,1e-3\n3,4\n", "2\n0\n0\n", "0,1\n1,0\n2,2\n");
  CHECK(graph.labels == std::vector<std::int32_t>{2, 0, 0});
  CHECK(graph.classes == 3);
  CHECK(graph.features == Tensor::from({3, 2}, std::vector<float>{1, -2, 0, 1e-3f, 3, 4}));
  CHECK(graph.neighbours == undirected(3, std::vector<Edge>{{0, 1}}));
  struct Case {
    std::string features, labels, edges, expected;
  };
  const Case cases[] = {
      {"1,2\n3\n", "0\n1\n", "",
       "node-feat.csv line 2: expected 2 features as in the lines before, got 1"},
      {"1,2\n3,\n", "0\n1\n", "",
       "node-feat.csv line 2: expected a number that float32 can hold, got ''"},
      {"1\n\n", "0\n1\n", "", "node-feat.csv line 2: the line is empty"},
      {"1\n", "0\n1\n", "",
       "node-feat.csv: expected a line for each of the 2 nodes with a label, got 1"},
      {"1\n2\n3\n", "0\n1\n", "",
       "node-feat.csv: expected a line for each of the 2 nodes with a label, got 3"},
      {"", "", "", "got 0"},
      {"1\n", "-1\n", "", "node-label.csv line 1: expected a class of 0 .. 999999, got '-1'"},
      {"1\n", "nan\n", "", "got 'nan'"},
      {"1\n", "1000000\n", "", "got '1000000'"},
      {"1\n", "0\n\n", "", "node-label.csv line 2: the line is empty"},
      {"x\n1\n", "0\n1\n", "",
       "node-feat.csv line 1: expected a number that float32 can hold, got 'x'"},
      {"1\n2\n", "label\n0\n1\n", "", "node-label.csv line 1: expected a class"},
      {"1\n2\n", "0\n1\n", "from,to\n0,1\n",
       "edge.csv line 1: expected a node of 0 .. 1, got 'from'"},
      {"1\n2\n", "0\n1\n", "0,1\n\n", "edge.csv line 2: the line is empty"},
      {"1\n2\n", "0\n1\n", "-1,0\n", "edge.csv line 1: expected a node of 0 .. 1, got '-1'"},
      {"\xff\n", "0\n", "", "node-feat.csv line 1: expected a number"},
      {"1\n2\n", "0\n1\n", "0,2\n", "edge.csv line 1: expected a node of 0 .. 1, got '2'"},
      {"1\n2\n", "0\n1\n", "0,1\n0\n", "edge.csv line 2: expected two nodes, got 1"},
      {"1\n2\n", "0\n1\n", "0, 1\n", "edge.csv line 1: expected a node of 0 .. 1, got ' 1'"},
  };
  for (const Case& c : cases) {
    const std::string message = data_error_of([&] { ogb(c.features, c.labels, c.edges); });
    CAPTURE(message);
    CAPTURE(c.expected);
    CHECK(contains(message, c.expected));
  }
  CHECK(ogb("1\n2\n3\n", "2\n0\n0\n", "0,1\n0,1\r\n1,0").neighbours.entries() ==
        2);  // node 2 is isolated, class 1 has no node
  CHECK(parse_ogb_part({"train.csv", "4\n0\n2\n"}, 5) == std::vector<std::int64_t>{0, 2, 4});
  CHECK(parse_ogb_part({"train.csv", "\n"}, 5).empty());
  CHECK(contains(data_error_of([] {
                   parse_ogb_part({"train.csv", "1\n\n"}, 5);
                 }),
                 "train.csv line 2: the line is empty"));
  CHECK(contains(data_error_of([] {
                   parse_ogb_part({"train.csv", "5\n"}, 5);
                 }),
                 "train.csv line 1: expected a node of 0 .. 4"));
}
