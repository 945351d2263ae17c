#!/usr/bin/env bash
# graph.sh PROGRAM EBB: what ebb-cnn's scripts hold against images, held against a graph network: one hash for one configuration, also after
# kill -9 and --resume; a dry run that predicts the ledger; JSON; presets; wrong options and files.
source "$(dirname "$0")/lib.sh" "$@"
program=$cnn
# Pinned as in determinism.sh.
declare -A golden=(
  [gcn,int]=9c3473ceda4fba84bd00479d59b1d46b14270b6842b0d156e9085f31a565f1ea
  [gcn,fp32]=4c51382b1f76f6701c8da9ce775a8e556282991d756f78f12949bbd95b37a3e1
  [sage,int]=0a85957f7643a646cb61e831f58a94ab2537993864bc05fa316f883ba4a1a7ce
  [sage,fp32]=49904cb5b815e5c127da33ec1b5e2b54697fa0e29a8ed3ca7fb1358d6d234bd2
)
int="--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8"
fp32="--schedule fp32"
gcn="--arch gcn --hidden 8"
sage="--arch sage --hidden 8 --fanout 3,4 --batch 200"

train() { "$program" --quiet --json --eval-every 100 "$@" </dev/null; }
hash() { train --out none "$@" 2>err.txt | field weights_sha256; }

for arch in gcn sage; do
  for plan in int fp32; do
    # shellcheck disable=SC2086
    {
      first=$(hash ${!arch} ${!plan} --iterations 12 --threads 1 --simd scalar)
      same "$arch, $plan, pinned" "${golden[$arch,$plan]}" "$first"
      same "$arch, $plan, 3 threads" "$first" "$(hash ${!arch} ${!plan} --iterations 12 --threads 3)"
      train ${!arch} ${!plan} --iterations 12 --save-every 5 --out "whole-$arch-$plan" >whole.json 2>err.txt || fault "$arch, $plan fails: $(<err.txt)"
      train ${!arch} ${!plan} --iterations 12 --dry-run >dry.json 2>err.txt || fault "$arch, $plan, dry run: $(<err.txt)"
    }
    same "$arch, $plan, bit_ops predicted and charged" "$(field bit_ops <dry.json)" "$(field bit_ops <whole.json)"
    same "$arch, $plan, with a directory" "$first" "$(field weights_sha256 <whole.json)"
  done
  # Sums over neighbours are a cost of their own, and a smaller one in codes.
  # shellcheck disable=SC2086
  train ${!arch} $int --iterations 12 --keep-fp32 aggregate --dry-run >kept.json 2>err.txt || fault "$arch, --keep-fp32 aggregate: $(<err.txt)"
  # shellcheck disable=SC2086
  train ${!arch} $int --iterations 12 --dry-run >dry.json 2>err.txt
  (($(field bit_ops <kept.json) > $(field bit_ops <dry.json))) || fault "$arch: sums in float32 cost no more than in codes"
  same "$arch, the papers' cost" "$(field bit_ops_paper <kept.json)" "$(field bit_ops_paper <dry.json)"
done

# Killed at some step, resumed: the same weights, ledger and scores.
flags=(--iterations 300 --save-every 7)
# shellcheck disable=SC2086
train $sage $int "${flags[@]}" --out whole >whole.json 2>err.txt || fault "the undisturbed run fails: $(<err.txt)"
# shellcheck disable=SC2086
"$program" $sage --quiet --eval-every 100 $int "${flags[@]}" --out cut </dev/null >/dev/null 2>&1 &
pid=$!
for _ in $(seq 3000); do
  [[ -f cut/steps.jsonl ]] && (($(wc -l <cut/steps.jsonl) >= 50 + RANDOM % 100)) && break
  sleep 0.01
done
kill -9 $pid
wait $pid 2>/dev/null
(($? == 137)) || fault "the run ended before it was killed"
"$program" --quiet --json --out cut --resume </dev/null >cut.json 2>err.txt || fault "resuming fails: $(<err.txt)"
for member in weights_sha256 bit_ops iterations validation_accuracy test_accuracy train_loss; do
  same "$member after a kill" "$(field $member <whole.json)" "$(field $member <cut.json)"
done
"$program" --evaluate whole --json </dev/null >evaluated.json 2>err.txt || fault "--evaluate: $(<err.txt)"
same "a score of the run and of its checkpoint" "$(field test_accuracy <whole.json)" "$(field test_accuracy <evaluated.json)"
"$ebb" inspect whole </dev/null >inspect.txt 2>&1 && grep -q 'aggregate_grad' inspect.txt || fault "ebb inspect: $(<inspect.txt)"

# Every node of a graph has a label.
expect 0 '' "$ebb" predict whole-gcn-int synthetic
same "columns of a graph" $'file\texample\tlabel\tscore' "$(head -1 out.txt)"
awk -F'\t' 'NR > 1 && ($2 != NR - 2 || $3 < 0 || $4 <= 0 || $4 > 1) { exit 1 } END { exit !(NR > 100) }' out.txt || fault "predict: $(head -3 out.txt)"

# The papers' GCN on a graph of Arxiv's size has the MACs that they count.
"$program" --preset cpt-arxiv --data synthetic-arxiv --dry-run --json </dev/null >arxiv.json 2>err.txt || fault "cpt-arxiv: $(<err.txt)"
same "MACs of the papers' GCN" 58958458880 "$(sed -nE 's/^  "macs": ([0-9]+),/\1/p' arxiv.json)"
grep -q 'uncertain: ' err.txt || fault "the preset is not told: $(<err.txt)"

# What is wrong with files and options.
mkdir -p ragged shop/raw
printf 'a\t1\t0\tX\nb\t1\tY\n' >ragged/x.content
printf 'a\tb\n' >ragged/x.cites
printf '1\n2\n' >shop/raw/node-feat.csv
printf '0\n1\n' >shop/raw/node-label.csv
printf '0,2\n' | gzip >shop/raw/edge.csv.gz
expect 1 'x.content line 2: expected 2 features as in the lines before, got 1' "$program" --data ragged
expect 1 'edge.csv.gz line 1: expected a node of 0 .. 1, got .2' "$program" --data shop
expect 1 "did you mean 'synthetic'" "$program" --data synthetc
expect 2 'layers: expected 1 to 1000, got 0' "$program" --layers 0
expect 2 'dropout: expected a probability' "$program" --dropout 1
expect 2 'fanout: expected all, a number, or 2 numbers' "$program" --fanout 1,2,3
expect 2 "unknown value 'yes'" "$program" --self-loops yes
expect 2 'hidden has no effect with --layers 1' "$program" --layers 1 --hidden 5
expect 2 'accumulate has no effect with --fanout all' "$program" --accumulate 2
expect 2 'batch has no effect with --fanout all' "$program" --batch 64
expect 2 'self-loops has no effect with --arch sage, only with --arch gcn' "$program" --arch sage --self-loops off
expect 2 "unknown split 'randm'; did you mean 'random'" "$program" --split randm
expect 2 'momentum has no effect with --optimizer adam, only with --optimizer sgd' "$program" --momentum 0.5
expect 2 "unknown layer 'agregate'; did you mean" "$program" --keep-fp32 agregate
finish
