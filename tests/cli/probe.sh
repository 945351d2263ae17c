#!/usr/bin/env bash
# probe.sh CNN EBB LSTM TRANSFORMER GNN: a probe changes no weight of any family; it says of the format in use what the run itself met; it
# goes on with the run; wrong options.
lstm=$3 transformer=$4 gnn=$5
source "$(dirname "$0")/lib.sh" "$@"

mnist data  # opened in no time
lenet=("$cnn" --arch lenet5 --data data --batch 16)
declare -A families=(
  [cnn]="${lenet[*]}"
  [mobilenet]="$cnn --arch mobilenetv2 --data data --batch 2"
  [lstm]="$lstm --units 8 --embedding 8 --length 6 --batch 4"
  [transformer]="$transformer --layers 1 --width 16 --heads 2 --length 70 --batch 2"
  [gcn]="$gnn --arch gcn --hidden 8"
)
plan=(--bits 'round(3->6 : lin)' --iterations 4 --eval-every 100 --quiet --json)
for family in "${!families[@]}"; do
  read -ra run <<<"${families[$family]}"
  "${run[@]}" "${plan[@]}" --out "$family-plain" </dev/null >plain.json 2>err.txt || fault "$family fails: $(<err.txt)"
  "${run[@]}" "${plan[@]}" --probe int4,int6,e4m3 --probe-every 3 --out "$family-probed" </dev/null >probed.json 2>err.txt ||
    fault "$family with a probe fails: $(<err.txt)"
  same "$family, with a probe" "$(field weights_sha256 <plain.json)" "$(field weights_sha256 <probed.json)"
  same "$family, bit_ops with a probe" "$(field bit_ops <plain.json)" "$(field bit_ops <probed.json)"
  for kind in '"role":"activation".*"format":"e4m3"' '"product":".*"format":"int4".*"overflows":{"wrap16":"[0-9]*","wrap12":"'; do
    for step in 0 3; do
      grep -q "\"iteration\":$step,.*$kind" "$family-probed/probe.jsonl" || fault "$family: no $kind of step $step"
    done
  done
  grep -q '"product":.*e4m3' "$family-probed/probe.jsonl" && fault "$family: sums of codes of e4m3, which has none"
done

# Of the format in use the probe says what the run itself met, operand by operand and event by event.
"${lenet[@]}" --schedule static --max-bits 6 --gradient-bits 6 --accumulator sat12 --iterations 3 --quiet --json --statistics-every 1 \
  --probe int6,int4 --probe-every 1 --probe-accumulators sat12 --out used </dev/null >used.json 2>err.txt || fault "$(<err.txt)"
diff <(grep '"format":"int6"' used/probe.jsonl | grep '"role"') used/operands.jsonl >/dev/null ||
  fault "operands in the format in use are not the run's own"
events=$(sed -nE 's/.*"product".*"format":"int6".*"sat12":"([0-9]+)".*/\1/p' used/probe.jsonl | awk '{ sum += $1 } END { printf "%.0f", sum }')
same "overflow events" "$(field accumulator_overflows <used.json)" "$events"

# It goes on with the run, and what was recorded beyond the checkpoint is cut.
more=(--schedule static --lr-schedule 1 --save-every 2 --quiet --json --probe int4 --probe-every 2)
"${lenet[@]}" "${more[@]}" --iterations 7 --out whole </dev/null >whole.json 2>err.txt || fault "$(<err.txt)"
"${lenet[@]}" "${more[@]}" --iterations 3 --out cut </dev/null >cut.json 2>err.txt || fault "$(<err.txt)"
tail -1 cut/probe.jsonl | sed 's/"iteration":2/"iteration":4/' >line
cat line >>cut/probe.jsonl
"$cnn" --resume --iterations 7 --out cut --quiet --json </dev/null >cut.json 2>err.txt || fault "$(<err.txt)"
cmp -s whole/probe.jsonl cut/probe.jsonl || fault "the record of a run that went on is another"
same "weights of a run that went on" "$(field weights_sha256 <whole.json)" "$(field weights_sha256 <cut.json)"

expect 2 'integer formats have 1 to 16 bits, got 17' "$cnn" --probe int17 --out bad
expect 2 'fp32 loses nothing' "$cnn" --probe int4,fp32 --out bad
expect 2 'int4 is named twice' "$cnn" --probe 4,int4 --out bad
expect 2 'exact sums never overflow' "$cnn" --probe 4 --probe-accumulators exact --out bad
expect 2 '--probe-every needs --probe' "$cnn" --probe-every 4 --out bad
expect 2 'symmetric grid has at least 2 bits' "$cnn" --probe 1 --grid symmetric --out bad
finish
