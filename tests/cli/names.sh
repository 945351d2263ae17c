#!/usr/bin/env bash
# names.sh CNN EBB MLP GNN LSTM TRANSFORMER: sites are called as they always have been: randomness is drawn by these names, and schedules' groups
# and --keep-fp32 name them. Numbers are shown as #.
source "$(dirname "$0")/lib.sh" "$@"
mlp=$3 gnn=$4 lstm=$5 transformer=$6

sites() {  # sites EXPECTED PROGRAM FLAGS...
  local expected=$1
  shift
  same "sites of ${*##*/}" "$(tr ' ' '\n' <<<"$expected" | sort -u | paste -sd' ')" "$("$@" --iterations 1 --dry-run --json </dev/null 2>/dev/null |
    sed -nE 's/.*"site": "([^"]+)".*/\1/p' | sed -E 's/[0-9]+/#/g' | sort -u | paste -sd' ')"
}
sites "fc#" "$mlp" --data synthetic
sites "conv# fc#" "$cnn" --arch lenet5 --data synthetic
sites "stem stage#.block#.conv# stage#.block#.shortcut classifier" "$cnn" --arch resnet20 --data synthetic-cifar
sites "stem block#.expand block#.depthwise block#.shortcut block#.project head classifier" "$cnn" --arch mobilenetv2 --data synthetic-cifar
sites "layer#.linear layer#.aggregate" "$gnn" --arch gcn
sites "layer#.neighbour layer#.aggregate layer#.self" "$gnn" --arch sage
sites "lstm#.input lstm#.hidden decoder" "$lstm" --layers 2
blocks="block#.attention.input block#.attention.qk block#.attention.av block#.attention.output block#.mlp.up block#.mlp.down"
sites "$blocks head" "$transformer"
sites "$blocks pooler classifier" "$transformer" --arch encoder
finish
