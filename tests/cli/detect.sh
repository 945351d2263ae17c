#!/usr/bin/env bash
# detect.sh PROGRAM EBB: what ebb-cnn's scripts hold against images, held against a network that finds boxes: one hash for one configuration, also
# after kill -9 and --resume; a dry run that predicts the ledger; JSON; reports; wrong options and files.
source "$(dirname "$0")/lib.sh" "$@"
program=$cnn
int=(--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8)
# Scenes of 64 x 80 pixels, padded to 64 x 96.
flags=(--size 64 --batch 4 --eval-every 1000)

train() { "$program" --quiet --json "${flags[@]}" "$@" </dev/null; }
hash() { train --out none "$@" 2>err.txt | field weights_sha256; }

first=$(hash "${int[@]}" --iterations 3 --threads 1 --simd scalar)
same "3 threads" "$first" "$(hash "${int[@]}" --iterations 3 --threads 3)"
# Running ranges are part of the state.
other=$(hash "${int[@]}" --iterations 3 --range-updates level)
[[ -n $other && $other != "$first" ]] || fault "--range-updates level: '$other' as with step: $(<err.txt)"

# One picture at 64 x 96 with 3 classes: trunk, pyramid and heads on 8 x 12, 4 x 6 and 2 x 3 places.
macs=$((32 * 48 * 16 * 147 + 384 * 2 * 2304 + 96 * (16 * 32 * 9 + 32 * 32 * 9 + 512) + 24 * (32 * 64 * 9 + 64 * 64 * 9 + 2048) +
  6 * (64 * 128 * 9 + 128 * 128 * 9 + 8192) + 64 * (96 * 32 + 24 * 64 + 6 * 128) + 126 * 36864 + 126 * (4 * 36864 + 576 * 63)))
train "${int[@]}" --iterations 40 --save-every 7 --out whole >whole.json 2>err.txt || fault "the undisturbed run fails: $(<err.txt)"
train "${int[@]}" --iterations 40 --dry-run >dry.json 2>err.txt || fault "dry run: $(<err.txt)"
same "MACs of a picture" "$macs" "$(sed -nE 's/^  "macs": ([0-9]+),/\1/p' dry.json)"
same "bit_ops predicted and charged" "$(field bit_ops <dry.json)" "$(field bit_ops <whole.json)"
for member in test_map50 test_map validation_map50 validation_map; do
  [[ $(field $member <whole.json) =~ ^(0|1|0?\.[0-9]+|[0-9.e-]+)$ ]] || fault "--json lacks $member: $(<whole.json)"
done
for class in disc square triangle; do
  grep -A3 '"test_ap50": {' whole.json | grep -q "\"$class\": " || fault "test_ap50 lacks $class: $(<whole.json)"
done

# Killed at some step, resumed: the same weights, ledger and scores.
"$program" --quiet "${flags[@]}" "${int[@]}" --iterations 40 --save-every 7 --out cut </dev/null >/dev/null 2>&1 &
pid=$!
for _ in $(seq 3000); do
  [[ -f cut/steps.jsonl ]] && (($(wc -l <cut/steps.jsonl) >= 9 + RANDOM % 20)) && break
  sleep 0.01
done
kill -9 $pid
wait $pid 2>/dev/null
(($? == 137)) || fault "the run ended before it was killed"
"$program" --quiet --json --out cut --resume </dev/null >cut.json 2>err.txt || fault "resuming fails: $(<err.txt)"
for member in weights_sha256 bit_ops iterations validation_map50 test_map50 test_map train_loss; do
  same "$member after a kill" "$(field $member <whole.json)" "$(field $member <cut.json)"
done

# Micro-batches are other roundings, not another mean.
train --schedule fp32 --iterations 1 --out none >one.json 2>err.txt || fault "one step: $(<err.txt)"
train --schedule fp32 --iterations 1 --accumulate 3 --out none >parts.json 2>err.txt || fault "--accumulate: $(<err.txt)"

# What is found, in COCO's format and as pictures; every evaluation may have its own threshold.
"$program" --evaluate whole --json --score-threshold 0.001 --detections found.json --draw drawn </dev/null >evaluated.json 2>err.txt ||
  fault "--evaluate: $(<err.txt)"
grep -q '"category_id"' found.json || fault "--detections: $(head -c 300 found.json)"
same "pictures drawn" 200 "$(find drawn -name '*.png' | wc -l)"
same "a drawn picture" $'\x89PNG' "$(head -c 4 "$(find drawn -name '*.png' | head -1)")"
expect 0 '' "$program" --evaluate whole --json
same "a score of the run and of its checkpoint" "$(field test_map50 <whole.json)" "$(field test_map50 <out.txt)"
expect 1 'cannot be made' "$program" --evaluate whole --draw found.json/x

# Boxes in pictures of one's own.
cp "$(find drawn -name '*.png' | head -1)" mine.png
expect 0 '' "$program" --evaluate whole --input mine.png --score-threshold 0.001
same "columns" $'file\texample\tlabel\tscore\tleft\ttop\tright\tbottom' "$(head -1 out.txt)"

# A trunk from a classifier, and one that fits nothing.
expect 0 '[1-9][0-9]* tensors from whole' "$program" --from whole --iterations 1 --out none "${flags[@]}"

# The published experiment is told with what is not known of it.
"$program" --preset cpt-voc --data synthetic --size 64 --longest 107 --epochs 1 --dry-run --json </dev/null >voc.json 2>err.txt || fault "cpt-voc: $(<err.txt)"
grep -q 'uncertain: ' err.txt || fault "the preset is not told: $(<err.txt)"

expect 1 "did you mean 'synthetic'" "$program" --data synthetc
expect 2 'size: expected 1 to 16384, got 0' "$program" --size 0
expect 2 'anchor-base: expected above 0' "$program" --anchor-base 0
expect 2 'nms: expected 0 to 1' "$program" --nms 1.5
expect 2 'a shorter side of at least 1 pixel and a longest of that' "$program" --size 64 --longest 32 --out none
expect 2 "did you mean 'retinanet-r18'" "$program" --arch retinanet-r8
finish
