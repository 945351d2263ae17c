#!/usr/bin/env bash
# vectors.sh CNN EBB TRANSFORMER GNN CXX [PYTHON]: golden vectors of a convolution's three, an attention's six and a graph's two products are done
# again, bit for bit, by two programs that share no code with Ebb; one flipped bit is found; wrong requests are refused.
transformer=$3 gnn=$4 cxx=$5 python=${6:-}
examples=$(cd "$(dirname "$0")/../../examples" && pwd)
source "$(dirname "$0")/lib.sh" "$@"

"$cxx" -std=c++20 -O2 -ffp-contract=off "$examples/replay_vectors.cpp" -o replay || exit 1
checkers=("$PWD/replay")
if [[ -n $python ]] && "$python" -c 'import numpy' 2>/dev/null; then
  checkers+=("$python $examples/replay_vectors.py")
else
  echo "no NumPy: its program is not tested"
fi
# replayed FOLDER...: by each program
replayed() {
  local checker
  for checker in "${checkers[@]}"; do
    $checker "$@" >out.txt 2>&1 || fault "${checker##*/}: $(grep -v 'the same' out.txt)"
  done
}
# folders NAME...: exactly these were written
folders() {
  local dir=$1
  shift
  same "folders of $dir" "$(printf '%s\n' "$@" | sort)" "$(ls "$dir" | sort)"
}

mnist data  # opened in no time
tiny=(--batch 2 --iterations 3 --eval-every 100 --quiet --json)
"$cnn" --arch lenet5 --data data "${tiny[@]}" --schedule static --max-bits 6 --lr-schedule 1 --out cnn </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
"$cnn" --arch lenet5 --data data "${tiny[@]}" --schedule static --accumulator sat9 --out sat </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
"$cnn" --arch mobilenetv2 --data data "${tiny[@]}" --accumulator wrap10 --grid symmetric --out mobile </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
# Rows longer than a strip of causal attention.
"$transformer" --layers 1 --width 12 --heads 2 --length 70 "${tiny[@]}" --out lm </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
"$gnn" --arch sage --hidden 8 --fanout 3,4 --batch 20 --iterations 2 --eval-every 100 --quiet --json --out graph </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"

expect 0 '' "$ebb" dump cnn --step 2 --site conv2 -o conv
folders conv conv2.forward.0 conv2.grad_left.0 conv2.grad_right.0
expect 0 '' "$ebb" dump sat --step 1 --site conv2 -o narrow
expect 0 '' "$ebb" dump mobile --step 0 --site block2.depthwise --index 5 -o depthwise
folders depthwise block2.depthwise.{forward,grad_left,grad_right}.5
expect 0 '' "$ebb" dump lm --step 2 --site block0.attention --index 1 -o attention
expect 0 '' "$ebb" dump graph --step 1 --site layer1.aggregate -o sums
replayed conv/* narrow/* depthwise/* attention/* sums/*
grep -q '"overflow_events":[1-9]' narrow/conv2.forward.0/manifest.json || fault "sat9 never overflows"
for product in qk.forward qk.grad_left qk.grad_right av.forward av.grad_left av.grad_right; do
  [[ -f attention/block0.attention.$product.1/manifest.json ]] || fault "no vectors of $product: $(ls attention)"
done

# One result: a step beyond the checkpoint is that of a longer run, and the directory stays as it was.
"$cnn" --arch lenet5 --data data "${tiny[@]/3/6}" --schedule static --max-bits 6 --lr-schedule 1 --out longer </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
cp -r cnn before
expect 0 '' "$cnn" --dump cnn --iterations 6 --step 5 --site conv2 --product forward --out beyond
expect 0 '' "$ebb" dump longer --step 5 --site conv2 --product forward -o there
diff -r beyond there >/dev/null || fault "a step trained in memory is another than that of the run"
diff -r cnn before >/dev/null || fault "a dump changed the run"

# One flipped bit is found, by each program.
for file in left right left_scales right_zeros accumulators outputs; do
  rm -rf flipped
  cp -r conv/conv2.forward.0 flipped
  at=$(($(stat -c %s "flipped/$file.npy") - 2))
  byte=$(od -An -tu1 -j $at -N 1 "flipped/$file.npy")
  # shellcheck disable=SC2059
  printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="flipped/$file.npy" bs=1 seek=$at conv=notrunc status=none
  for checker in "${checkers[@]}"; do
    $checker flipped >out.txt 2>&1 && fault "${checker##*/} does not see a flipped bit of $file"
  done
done

expect 1 'exists already, and nothing is overwritten' "$ebb" dump cnn --step 2 --site conv2 -o conv
expect 2 "unknown layer 'conv3'" "$ebb" dump cnn --step 2 --site conv3 -o bad
expect 2 'the run has the steps 0 .. 2, got 3' "$ebb" dump cnn --step 3 --site conv2 -o bad
expect 2 'no forward number 4 of conv2 in this step, which has .*1 of conv2 forward' "$ebb" dump cnn --step 1 --site conv2 --product forward --index 4 -o bad
expect 2 "unknown product 'backward'" "$ebb" dump cnn --step 1 --site conv2 --product backward -o bad
expect 2 '--dump needs --step' "$cnn" --dump cnn --site conv2 --out bad
expect 1 'expected a run directory' "$ebb" dump nothing --step 1 --site conv2 -o bad
"$cnn" --arch lenet5 --data data "${tiny[@]}" --schedule fp32 --out float </dev/null >/dev/null 2>err.txt
expect 2 'conv2 forward multiplies fp32 by fp32 as float32' "$ebb" dump float --step 1 --site conv2 -o bad
[[ -e bad ]] && fault "a refused dump left something"
finish
