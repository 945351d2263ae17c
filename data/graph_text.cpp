#include "data/graph_text.h"

#include <algorithm>
#include <map>
#include <string>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::int64_t kMostClasses = 1'000'000;

/// The lines of a text, one after the other.
class Lines {
 public:
  explicit Lines(const NamedText& file) : name_(file.name), rest_(file.text) {
    if (rest_.ends_with('\n')) rest_.remove_suffix(1);
    done_ = rest_.empty();
  }

  bool next() {
    if (done_) return false;
    const std::size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    done_ = end == std::string_view::npos;
    if (!done_) rest_.remove_prefix(end + 1);
    ++number_;
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    expect(!line_.empty(), "the line is empty; remove it");
    return true;
  }

  /// The fields of the line: between single commas, or between runs of blanks.
  const std::vector<std::string_view>& fields(char separator) {
    fields_.clear();
    std::string_view rest = line_;
    const std::string_view at = separator == ',' ? "," : " \t";
    for (;;) {
      const std::size_t end = rest.find_first_of(at);
      const std::string_view field = rest.substr(0, end);
      if (separator == ',' || !field.empty()) fields_.push_back(field);
      if (end == std::string_view::npos) return fields_;
      rest.remove_prefix(end + 1);
    }
  }

  [[nodiscard]] std::string_view line() const { return line_; }
  template <class... Parts>
  void expect(bool ok, const Parts&... parts) const {
    require<DataError>(ok, "[graph] ", name_, " line ", number_, ": ", parts...);
  }

  float number(std::string_view field) const {
    double value = 0;
    const bool read = parse_number(field, value);
    const auto kept = static_cast<float>(value);
    expect(read && kept - kept == 0.0f, "expected a number that float32 can hold, got '", field,
           "'");
    return kept;
  }
  /// An integer of 0 .. limit - 1.
  std::int64_t index(std::string_view field, std::int64_t limit, std::string_view what) const {
    std::int64_t value = -1;
    expect(parse_number(field, value) && value >= 0 && value < limit, "expected a ", what,
           " of 0 .. ", limit - 1, ", got '", field, "'");
    return value;
  }

 private:
  std::string_view name_, rest_, line_;
  std::vector<std::string_view> fields_;
  std::int64_t number_ = 0;
  bool done_ = false;
};

using NodeIds = std::map<std::string_view, std::int64_t>;

/// Appends a row of features; the first row says how many there are.
void add_features(const Lines& lines, std::vector<float>& features, std::int64_t rows,
                  std::span<const std::string_view> fields) {
  lines.expect(!fields.empty(), "a node without features");
  lines.expect(rows == 0 || features.size() == static_cast<std::size_t>(rows) * fields.size(),
               "expected ", rows == 0 ? 0 : features.size() / static_cast<std::size_t>(rows),
               " features as in the lines before, got ", fields.size());
  for (const std::string_view field : fields) features.push_back(lines.number(field));
}

Tensor feature_tensor(const std::vector<float>& features, std::size_t nodes) {
  const auto rows = static_cast<std::int64_t>(nodes);
  return Tensor::from({rows, static_cast<std::int64_t>(features.size() / nodes)}, features);
}

NodeIds linqs_nodes(const NamedText& content) {
  NodeIds nodes;
  for (Lines lines(content); lines.next();) {
    std::string_view id = lines.line();
    id.remove_prefix(std::min(id.find_first_not_of(" \t"), id.size()));
    id = id.substr(0, id.find_first_of(" \t"));
    lines.expect(nodes.emplace(id, nodes.size()).second, "node '", id, "' has a line already");
  }
  return nodes;
}

}  // namespace

Graph parse_linqs(std::string_view graph_name, const NamedText& content, const NamedText& cites) {
  Graph graph{.name = std::string(graph_name)};
  const NodeIds nodes = linqs_nodes(content);
  std::vector<float> features;
  std::vector<std::string_view> class_of;
  std::map<std::string_view, std::int32_t> classes;
  for (Lines lines(content); lines.next();) {
    const auto& fields = lines.fields(' ');
    lines.expect(fields.size() >= 3,
                 "expected a node, its words and its class; a node without features?");
    add_features(lines, features, static_cast<std::int64_t>(class_of.size()),
                 std::span(fields).subspan(1, fields.size() - 2));
    class_of.push_back(fields.back());
    classes.emplace(fields.back(), 0);
  }
  require<DataError>(!class_of.empty(), "[graph] ", content.name, ": there are no nodes");
  for (auto& [name, label] : classes) label = graph.classes++;
  for (const std::string_view name : class_of) graph.labels.push_back(classes.at(name));
  graph.features = feature_tensor(features, class_of.size());

  std::vector<Edge> edges;
  std::int64_t unknown = 0;
  for (Lines lines(cites); lines.next();) {
    const auto& fields = lines.fields(' ');
    lines.expect(fields.size() == 2, "expected two nodes, got ", fields.size(), " words");
    const auto a = nodes.find(fields[0]), b = nodes.find(fields[1]);
    if (a == nodes.end() || b == nodes.end()) {
      ++unknown;
    } else {
      edges.push_back({a->second, b->second});
    }
  }
  if (unknown > 0)
    graph.notes.push_back(concat(unknown, " links name nodes without features and are left out"));
  graph.neighbours = undirected(graph.nodes(), edges);
  return graph;
}

GraphSplit parse_linqs_split(const NamedText& content, const NamedText& split) {
  const NodeIds nodes = linqs_nodes(content);
  GraphSplit result;
  const std::map<std::string_view, std::vector<std::int64_t>*> parts{
      {"train", &result.train}, {"val", &result.validation}, {"test", &result.test}};
  std::vector<bool> listed(nodes.size());
  for (Lines lines(split); lines.next();) {
    const auto& fields = lines.fields(' ');
    lines.expect(fields.size() == 2, "expected a node and its part, got ", fields.size(), " words");
    const auto node = nodes.find(fields[0]);
    const auto part = parts.find(fields[1]);
    lines.expect(node != nodes.end(), "there is no node '", fields[0], "'");
    lines.expect(part != parts.end(), "expected train, val or test, got '", fields[1], "'");
    lines.expect(!listed[static_cast<std::size_t>(node->second)], "node '", fields[0],
                 "' is in a part already; a split must not overlap");
    listed[static_cast<std::size_t>(node->second)] = true;
    part->second->push_back(node->second);
  }
  for (const auto& [name, part] : parts) std::ranges::sort(*part);
  return result;
}

Graph parse_ogb(std::string_view graph_name, const NamedText& features, const NamedText& labels,
                const NamedText& edges) {
  Graph graph{.name = std::string(graph_name)};
  for (Lines lines(labels); lines.next();) {
    graph.labels.push_back(
        static_cast<std::int32_t>(lines.index(lines.line(), kMostClasses, "class")));
    graph.classes = std::max(graph.classes, graph.labels.back() + 1);
  }
  std::vector<float> values;
  std::int64_t rows = 0;
  for (Lines lines(features); lines.next(); ++rows)
    add_features(lines, values, rows, lines.fields(','));
  require<DataError>(rows == graph.nodes() && rows > 0, "[graph] ", features.name,
                     ": expected a line for each of the ", graph.nodes(),
                     " nodes with a label, got ", rows);
  graph.features = feature_tensor(values, graph.labels.size());

  std::vector<Edge> links;
  for (Lines lines(edges); lines.next();) {
    const auto& fields = lines.fields(',');
    lines.expect(fields.size() == 2, "expected two nodes, got ", fields.size(), " fields");
    links.push_back({lines.index(fields[0], rows, "node"), lines.index(fields[1], rows, "node")});
  }
  graph.neighbours = undirected(rows, links);
  return graph;
}

std::vector<std::int64_t> parse_ogb_part(const NamedText& part, std::int64_t nodes) {
  std::vector<std::int64_t> listed;
  for (Lines lines(part); lines.next();) listed.push_back(lines.index(lines.line(), nodes, "node"));
  std::ranges::sort(listed);
  return listed;
}

}  // namespace ebb
