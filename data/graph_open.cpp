#include "data/graph_open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/file.h"
#include "data/graph_synthetic.h"
#include "data/graph_text.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLookedFor =
    "NAME.content and NAME.cites (LINQS), or raw/edge.csv, raw/node-feat.csv and "
    "raw/node-label.csv (OGB), plain, .gz or .xz";

/// A text file in memory, with the bytes that the views lie in.
struct TextFile {
  std::string name;
  std::vector<std::byte> bytes;
  [[nodiscard]] NamedText view() const {
    return {name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  }
};

/// The file of that name, or packed as NAME.gz or NAME.xz.
std::optional<fs::path> packed(const fs::path& plain) {
  std::error_code ignored;
  for (const char* suffix : {"", ".gz", ".xz"}) {
    const fs::path path = plain.string() + suffix;
    if (fs::is_regular_file(path, ignored)) return path;
  }
  return std::nullopt;
}

TextFile read_text(const fs::path& plain) {
  const auto path = packed(plain);
  require<DataError>(path.has_value(), "[graph] ", plain.string(),
                     ": no such file, plain, .gz or .xz");
  return {path->string(), read_data_file(*path)};
}

std::string name_of(const fs::path& folder) { return fs::canonical(folder).filename().string(); }

std::vector<std::string> entries_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

/// NAME of the one NAME.content in the folder, if there is one.
std::optional<std::string> linqs_name(const fs::path& folder) {
  std::optional<std::string> found;
  for (const std::string& entry : entries_of(folder)) {
    const std::size_t at = entry.find(".content");
    if (at == std::string::npos || at == 0) continue;
    const std::string name = entry.substr(0, at);
    require<DataError>(!found || *found == name, "[graph] ", folder.string(), ": several graphs, ",
                       found.value_or(""), " and ", name, "; move each into a folder of its own");
    found = name;
  }
  return found;
}

/// A name for a split is one of those that the files have, or says how to draw one.
void require_split(const std::string& graph, const std::string& split,
                   std::vector<std::string> known) {
  if (std::ranges::find(known, split) != known.end()) return;
  for (const char* drawn : {"auto", "random", "planetoid"}) known.emplace_back(drawn);
  throw ConfigError(concat("[graph] ", graph, ": ", unknown_word("split", split, known)));
}

GraphSplit read_ogb_split(const fs::path& folder, std::string_view split, std::int64_t nodes) {
  const std::vector<std::string> known = entries_of(folder / "split");
  if (known.empty() && split.empty()) return {};
  require<DataError>(!split.empty() || known.size() == 1, "[graph] ", folder.string(),
                     ": there are several splits; choose --split ", join_words(known, " or "));
  const std::string name = split.empty() ? known[0] : std::string(split);
  require_split(folder.string(), name, known);
  const auto part = [&](const char* file) {
    return parse_ogb_part(read_text(folder / "split" / name / file).view(), nodes);
  };
  return {.train = part("train.csv"), .validation = part("valid.csv"), .test = part("test.csv")};
}

Graph open_unsplit(std::string_view where, std::string_view file_split) {
  const auto without_names = [&](Graph graph) {
    if (!file_split.empty()) require_split(graph.name, std::string(file_split), {});
    return graph;
  };
  if (where == "synthetic") return without_names(synthetic_graph(kSmallGraph));
  if (where == "synthetic-arxiv") return without_names(synthetic_graph(kArxivSizedGraph));
  const fs::path folder(where);
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    const std::array<std::string, 2> embedded{"synthetic", "synthetic-arxiv"};
    const std::string nearest = nearest_word(where, embedded);
    throw DataError(concat("[graph] no such folder: '", where, "'",
                           nearest.empty() ? "" : concat("; did you mean '", nearest, "'?"),
                           ". Give a folder with ", kLookedFor, "; `synthetic` needs no files"));
  }
  if (linqs_name(folder)) return without_names(read_linqs(folder));
  require<DataError>(fs::is_directory(folder / "raw", ignored), "[graph] ", folder.string(),
                     ": looked for ", kLookedFor, "; found ", join_words(entries_of(folder)));
  return read_ogb(folder, file_split);
}

}  // namespace

Graph read_linqs(const std::string& where) {
  const fs::path folder(where);
  const auto name = linqs_name(folder);
  require<DataError>(name.has_value(), "[graph] ", folder.string(), ": no NAME.content");
  const TextFile content = read_text(folder / (*name + ".content")),
                 cites = read_text(folder / (*name + ".cites"));
  Graph graph = parse_linqs(*name, content.view(), cites.view());
  if (packed(folder / "planetoid_split.tsv")) {
    graph.split =
        parse_linqs_split(content.view(), read_text(folder / "planetoid_split.tsv").view());
  }
  return graph;
}

Graph read_ogb(const std::string& where, std::string_view split) {
  const fs::path folder(where), raw = folder / "raw";
  const TextFile features = read_text(raw / "node-feat.csv"),
                 labels = read_text(raw / "node-label.csv"), edges = read_text(raw / "edge.csv");
  Graph graph = parse_ogb(name_of(folder), features.view(), labels.view(), edges.view());
  graph.split = read_ogb_split(folder, split, graph.nodes());
  return graph;
}

Graph open_graph(std::string_view where, std::string_view split, Key key) {
  const bool drawn = split == "random" || split == "planetoid";
  Graph graph = open_unsplit(where, drawn || split == "auto" ? "" : split);
  if (split == "random") graph.split = random_split(graph.nodes(), key);
  if (split == "planetoid") graph.split = planetoid_split(graph, key);
  require<DataError>(drawn || !graph.split.train.empty(), "[graph] ", graph.name,
                     ": the files hold no split; use --split random or --split planetoid");
  require_consistent(graph);
  return graph;
}

}  // namespace ebb
