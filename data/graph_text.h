#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/csr.h"
#include "data/graph.h"

namespace ebb {

/// A text file in memory; the name is for messages.
struct NamedText {
  std::string_view name, text;
};

// What the texts of all formats below share: a line ends in LF or CR LF, the last one may lack it;
// any other empty line is an error. Numbers are decimal and finite in float32. Messages name file
// and line. Links of a node to itself and repeated links are left out, as Graph says.

/// The LINQS format. `content`: one line per node, `ID word ... word CLASS`, separated by blanks,
/// all with as many words (numbers). `cites`: one line per link, `CITED CITING`. Nodes keep the
/// order of `content`; classes are numbered in the alphabetical order of their names. A link that
/// names a node without a line in `content`, as 17 of Citeseer's do, is left out and counted in
/// `notes`. The split is empty.
/// @throws DataError for a node without features or with as many as no other, a node listed twice,
/// or a link that is no pair
Graph parse_linqs(std::string_view graph_name, const NamedText& content, const NamedText& cites);
/// The split that lies beside LINQS files: one line per node, `ID train|val|test`, for some of the
/// nodes of `content`.
/// @throws DataError for an unknown node or part, or a node listed twice
GraphSplit parse_linqs_split(const NamedText& content, const NamedText& split);

/// The format of the Open Graph Benchmark. `features`: one line per node, numbers separated by
/// commas, all with as many; `labels`: one line per node, an integer of 0 and more; `edges`: one
/// line per edge, `FROM,TO`, numbered from 0. The split is empty.
/// @throws DataError for ragged lines, as many labels as there are no nodes, or an edge to a node
/// that there is not
Graph parse_ogb(std::string_view graph_name, const NamedText& features, const NamedText& labels,
                const NamedText& edges);
/// One part of an OGB split: one line per node, made ascending. @throws DataError for what is not a
/// number of 0 .. nodes-1
std::vector<std::int64_t> parse_ogb_part(const NamedText& part, std::int64_t nodes);

}  // namespace ebb
