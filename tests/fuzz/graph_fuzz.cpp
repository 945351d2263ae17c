#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "data/graph_batches.h"
#include "data/graph_text.h"

using namespace ebb;

namespace {

// A consistent graph has mini-batches, whoever is isolated in it.
void use(const Graph& graph) {
  require_consistent(graph);
  static_cast<void>(GraphBatchSource(graph, 3, {2, 1}, Key(1)).batch(0));
}

}  // namespace

// KeyValues with a NUL between them are read as the files of either format, three of LINQS, five of
// OGB: what is accepted is consistent or refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next = [&] {
    const std::size_t end = rest.find('\0');
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return text;
  };
  const NamedText first{"first", next()}, second{"second", next()}, third{"third", next()},
      fourth{"fourth", next()}, fifth{"fifth", next()};
  try {
    Graph graph = parse_linqs("linqs", first, second);
    graph.split = parse_linqs_split(first, third);
    use(graph);
  } catch (const DataError&) {
  }
  try {
    Graph graph = parse_ogb("ogb", first, second, third);
    graph.split.train = parse_ogb_part(fourth, graph.nodes());
    graph.split.test = parse_ogb_part(fifth, graph.nodes());
    use(graph);
  } catch (const DataError&) {
  }
  return 0;
}
