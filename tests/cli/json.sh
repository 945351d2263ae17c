#!/usr/bin/env bash
# --json: stdout is one JSON object with the agreed members; bit_ops is a decimal string.
source "$(dirname "$0")/lib.sh" "$@"

tiny --iterations 5 --schedule CR --cycles 1 --min-bits 3 --max-bits 8 --gradient-bits 8 --out run >json.txt 2>err.txt || fault "$(<err.txt)"
for name in test_accuracy train_loss bit_ops relative_cost relative_cost_paper cost_reference accumulator_overflows seconds_per_step peak_rss_bytes weights_sha256 iterations kernel; do
  [[ -n $(field "$name" <json.txt) ]] || fault "$name is missing in $(<json.txt)"
done
grep -Eq '"bit_ops": *"[0-9]+"' json.txt || fault "bit_ops is no decimal string"
grep -Eq '^[0-9a-f]{64}$' <<<"$(field weights_sha256 <json.txt)" || fault "weights_sha256 is no SHA-256"
same iterations "$(field iterations <json.txt)" 5
[[ $(head -c 1 json.txt) == "{" && $(tail -c 2 json.txt | head -c 1) == "}" ]] || fault "stdout holds more than one object: $(<json.txt)"
accuracy=$(field test_accuracy <json.txt)
"$cnn" --evaluate run --json </dev/null >evaluated.txt 2>err.txt || fault "--evaluate: $(<err.txt)"
same "accuracy of the run and of its checkpoint" "$accuracy" "$(field test_accuracy <evaluated.txt)"
# What a score was measured at stands beside it: by default the highest format of the run, or that of the last update.
bits_of() { grep -A2 '"test_bits"' "$1" | tr -d ' \n'; }
scored() {  # scored NAME EXPECTED FLAGS...
  local name=$1 expected=$2
  shift 2
  tiny --iterations 4 --out "$name" "$@" >"$name.json" 2>err.txt || fault "$name: $(<err.txt)"
  grep -q "\"weight\":\"$expected\",\"activation\":\"$expected\"" <<<"$(bits_of "$name.json")" || fault "$name is not scored at $expected: $(bits_of "$name.json")"
  "$ebb" inspect "$name" --json </dev/null >"$name.inspect"
  same "$name: bits of inspect" "$(bits_of "$name.inspect")" "$(bits_of "$name.json")"
}
scored two int2 --bits 2
scored full fp32 --bits fp32
scored named fp32 --schedule fp32
scored falling int8 --bits '8 @50% ; 3 @rest'
scored current int3 --bits '8 @50% ; 3 @rest' --eval-bits current
scored told int6 --bits 2 --eval-bits 6
scored floats e4m3 --bits e4m3 --gradient-bits e5m2
scored mixed bf16 --bits 'e2m1 @50% ; bf16 @rest'
"$ebb" inspect two </dev/null >inspect.txt 2>&1
grep -q 'test accuracy  *[0-9.]* % in int2/int2 after 4 steps' inspect.txt || fault "ebb inspect shows no bits: $(grep accuracy inspect.txt)"
"$cnn" --evaluate two --quiet </dev/null >evaluated.txt 2>err.txt || fault "--evaluate: $(<err.txt)"
grep -q '^test accuracy  *[0-9.]* % in int2/int2' evaluated.txt || fault "a summary shows no bits: $(<evaluated.txt)"
"$ebb" inspect run </dev/null >inspect.txt 2>&1 || fault "ebb inspect: $(<inspect.txt)"
grep -qi accuracy inspect.txt || fault "ebb inspect shows no accuracy: $(<inspect.txt)"
finish
