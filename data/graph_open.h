#pragma once

#include <string>
#include <string_view>

#include "core/key.h"
#include "data/graph.h"

namespace ebb {

/// Reads `NAME.content` and `NAME.cites` of the folder `where`, plain, .gz or .xz; and
/// `planetoid_split.tsv`, if it is there, as the split.
/// @throws DataError when a file is missing, there are several graphs, or a file is not what it
/// should be
Graph read_linqs(const std::string& where);

/// Reads `raw/{edge,node-feat,node-label}.csv` of the folder `where`, plain, .gz or .xz, and
/// `split/SPLIT/{train,valid,test}.csv`. An empty `split` takes the only one that there is, and
/// none if there is none.
/// @throws DataError when a file is missing, there are several splits or not the one asked for, or
/// a file is not what it should be
Graph read_ogb(const std::string& where, std::string_view split);

/// Opens what `--data` names: `synthetic` or `synthetic-arxiv` (see synthetic_graph), or a folder
/// in one of the two formats above, and draws or finds the split: `auto` (that of the files),
/// `random` (see random_split), `planetoid`, or a folder's name in an OGB set.
/// @throws ConfigError for a split of another name, with the nearest one; DataError when the data
/// cannot be had or are not what they claim, or `auto` finds no split
Graph open_graph(std::string_view where, std::string_view split, Key key);

}  // namespace ebb
