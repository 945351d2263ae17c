#!/usr/bin/env bash
# --dry-run predicts the ledger to the bit-operation and trains nothing; static 8/8 costs 192 a forward MAC in the papers' mode.
source "$(dirname "$0")/lib.sh" "$@"

compare() {  # compare NAME FLAGS...
  local name=$1
  shift
  tiny "$@" --dry-run >"$name.dry" 2>err.txt || fault "$name: the dry run fails: $(<err.txt)"
  tiny "$@" --out "$name" >"$name.run" 2>err.txt || fault "$name: the run fails: $(<err.txt)"
  same "$name: bit_ops predicted and charged" "$(field bit_ops <"$name.dry")" "$(field bit_ops <"$name.run")"
}
compare static --iterations 9 --schedule static --max-bits 8 --gradient-bits 8
compare cr --iterations 20 --schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8
compare fp32 --iterations 3 --schedule fp32
compare keep --iterations 5 --schedule RTH --cycles 2 --min-bits 3 --max-bits 6 --gradient-bits 6 --keep-fp32 first,last
compare accumulate --iterations 4 --schedule static --max-bits 8 --gradient-bits 8 --accumulate 3
compare groups --iterations 6 --bits 'group{conv1: 8, weight: round(2->6 : neg lin), *: 4}' --gradient-bits 'group{conv2: 6, *: 8}'
compare rates --iterations 4 --bits 4 --lr-schedule 'group{bias: 0, *: 1->0 : lin}'
compare short-batch --epochs 1 --validation 0.99 --schedule static --max-bits 8 --gradient-bits 8
same "static relative cost" "$(field relative_cost <static.run)" 1.0
# 9 steps of 32 images: 192 for each forward MAC, and 64 for each MAC of each product that there is.
macs=$(sed -nE 's/^  "macs": ([0-9]+),/\1/p' static.dry)
same "the papers' bit_ops at 8/8" "$(field bit_ops_paper <static.run)" $((192 * macs * 9 * 32))
products=$(grep -oE '"(forward|grad_left|grad_right)": [0-9]+' static.dry | awk '{ sum += $2 } END { print sum }')
same "bit_ops at 8/8" "$(field bit_ops <static.run)" $((64 * products * 9 * 32))
# Formats of every layer and role, and rates of every parameter that has others.
"$cnn" --arch lenet5 --data synthetic --iterations 6 --bits 'group{conv1: 8, weight: 2, *: 4}' --gradient-bits 6 --keep-fp32 last \
  --lr-schedule 'group{bias: 0, *: 1}' --dry-run </dev/null >groups.txt 2>&1
grep -Eq '^conv1 .* int2  *int8  *int6$' groups.txt || fault "conv1's formats: $(grep '^conv1' groups.txt)"
grep -Eq '^conv2 .* int2  *int4  *int6$' groups.txt || fault "conv2's formats: $(grep '^conv2' groups.txt)"
grep -Eq ' fp32  *fp32  *fp32$' groups.txt || fault "no layer is kept in float32"
grep -Eq '^ *0: conv1.bias, conv2.bias' groups.txt || fault "no rates by parameter: $(<groups.txt)"
[[ ! -e dry ]] || fault "a dry run left a directory behind"
"$cnn" --arch resnet20 --data synthetic-cifar --iterations 10 --schedule CR --dry-run --out dry </dev/null >table.txt 2>&1
[[ ! -e dry ]] || fault "a dry run left a directory behind"
"$cnn" --preset cpt-cifar-mobilenet --data synthetic-cifar --dry-run </dev/null >mobilenet.txt 2>&1
grep -q 'one example  *91,154,944 ' mobilenet.txt || fault "MobileNetV2's MACs are not the published ones: $(grep 'one example' mobilenet.txt)"
expect 2 'dry-run adds up the cost of 100000000000 steps' timeout 20 "$cnn" --data synthetic --iterations 100000000000 --dry-run
grep -q 'stage2.block1.conv2' table.txt || fault "the dry run lists no layers: $(head -5 table.txt)"
finish
