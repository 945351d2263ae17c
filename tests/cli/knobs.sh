#!/usr/bin/env bash
# knobs.sh CNN EBB MLP TRANSFORMER: what batches are made of follows schedules whose cost is known before the run; a run whose
# controllers are in the middle of something is killed, goes on with another number of threads, and ends with the same weights.
source "$(dirname "$0")/lib.sh" "$@"
mlp=$3 transformer=$4
digits() { "$mlp" --data synthetic --validation 0.02 --quiet --json "$@" </dev/null; }
words=("$transformer" --layers 1 --width 16 --heads 2 --length 16 --batch 8 --positions rotary --quiet --json --eval-every 100)

# An update of 4 batches of 16 is one of 64 that is cut in 4: the same images, draws and sums.
one=(--iterations 3 --out none --bits 8 --gradient-bits 8)
same "a multiplied batch" "$(digits "${one[@]}" --batch 16 --batch-multiplier 4 | field weights_sha256)" \
  "$(digits "${one[@]}" --batch 64 --accumulate 4 | field weights_sha256)"
for knob in 'batch-multiplier=1 @2up ; 3 @rest' 'sequence-length=round(4->16 : neg lin)' 'sequence-length=4 @50% ; 16 @rest'; do
  "${words[@]}" --iterations 6 --out none --bits 8 --gradient-bits 8 --set "$knob" --dry-run </dev/null >dry.json 2>err.txt || fault "$knob: $(<err.txt)"
  "${words[@]}" --iterations 6 --out none --bits 8 --gradient-bits 8 --set "$knob" </dev/null >run.json 2>err.txt || fault "$knob: $(<err.txt)"
  same "$knob: bit_ops predicted and charged" "$(field bit_ops <dry.json)" "$(field bit_ops <run.json)"
done
"${words[@]}" --iterations 4 --out turned --set 'dropout=0.2->0:lin' --set 'label-smoothing=.1' --set 'z-loss=1e-4 * plateau(.5, 1)' \
  --set 'rope-theta=1e4 @50% ; 4e4 @rest' </dev/null >/dev/null 2>err.txt || fault "settings: $(<err.txt)"
tail -1 turned/steps.jsonl | grep -q '"settings":{"dropout":0.05.*,"label-smoothing":0.1,"z-loss":0.0001,"rope-theta":40000' ||
  fault "settings are not recorded: $(tail -1 turned/steps.jsonl)"
"${words[@]}" --evaluate turned </dev/null >evaluated.json 2>err.txt || fault "$(<err.txt)"
same "the score at the last angles" "$(tail -1 turned/evals.jsonl | field loss)" "$(field test_loss <evaluated.json)"
expect 2 'batch-multiplier: .*has a controller, but batches are a pure function' digits --iterations 4 --set 'batch-multiplier=round(2 * plateau(.5, 1))'
expect 2 'expected a whole number of 1 to 1e6.*need not be whole; round' digits --iterations 4 --batch-multiplier '1->4:lin'
expect 2 'sequence-length at iteration 2: expected a whole number of 1 to --length, 16, got 32' "${words[@]}" --iterations 4 --set 'sequence-length=8 @2up ; 32 @rest'
expect 2 'sequence-length has no effect with --batch-multiplier' "${words[@]}" --iterations 4 --batch-multiplier 2 --sequence-length 8
expect 2 'rope-theta has no effect with --positions learned' "$transformer" --rope-theta 1e5 --iterations 1 --out none
expect 2 "unknown knob 'z-loss'" digits --iterations 4 --set z-loss=1

# killed NAME EXPR FLAGS...: the run with lr=EXPR is killed after some updates and goes on.
killed() {
  local name=$1 run=(digits --batch 16 --iterations 40 --save-every 1 --eval-every 5 --set "lr=$2" "${@:3}")
  "${run[@]}" --threads 1 --out "$name.whole" >whole.json 2>err.txt || fault "$name: $(<err.txt)"
  "$mlp" --data synthetic --validation 0.02 --quiet --json "${run[@]:1}" --threads 1 --out "$name" </dev/null >/dev/null 2>&1 &
  local pid=$!
  for ((i = 0; i < 500; ++i)); do
    [[ -e $name/steps.jsonl ]] && (($(wc -l <"$name/steps.jsonl") >= 13)) && break
    sleep 0.01
  done
  kill -9 "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  digits --out "$name" --resume --threads 2 >resumed.json 2>err.txt || fault "$name goes not on: $(<err.txt)"
  same "$name" "$(field weights_sha256 <whole.json)" "$(field weights_sha256 <resumed.json)"
  same "$name: the settings' course" "$(grep -o '"settings":{[^}]*}' "$name.whole/steps.jsonl" | sha256sum)" \
    "$(grep -o '"settings":{[^}]*}' "$name/steps.jsonl" | sha256sum)"
}
killed plateau '0.05 * plateau(.5, 1, 1)'
killed volsched '0.05 * volsched(8, .1)'
killed adapteps 'adapteps(.1, cap=.01, least=1e-3)'
killed record '0.05 * record(gnorm2)'
killed phases 'phases(.05, .02)' --phase 1
killed autolrs 'autolrs(1e-3, .1, stage=20, probe=8, probes=3, longest=40)'
killed lossscale 0.05 --bits fp16 --gradient-bits fp16 --loss-scale dynamic --loss-scale-window 9
finish
