#!/usr/bin/env bash
# One training has one cost: whichever options spell it, and whoever tells it (run, dry run, inspect, --evaluate of its own). Overflow
# events appear wherever a summary does.
source "$(dirname "$0")/lib.sh" "$@"
steps=(--iterations 4 --gradient-bits 8)

tiny "${steps[@]}" --schedule static --max-bits 4 --out named >named.json 2>err.txt || fault "static: $(<err.txt)"
tiny "${steps[@]}" --bits 4 --out spelt >spelt.json 2>err.txt || fault "--bits 4: $(<err.txt)"
tiny "${steps[@]}" --schedule static --max-bits 4 --dry-run >dry.json 2>err.txt || fault "the dry run: $(<err.txt)"
"$ebb" inspect named --json </dev/null >inspect.json 2>err.txt || fault "ebb inspect: $(<err.txt)"
cost=$(field relative_cost <named.json)
awk -v cost="$cost" 'BEGIN { exit !(cost > 0.35 && cost < 0.45) }' || fault "static 4 bits cost '$cost' of 8/8/8"  # 0.25 forward, 0.5 back
for told in spelt dry inspect; do
  same "relative_cost, $told" "$cost" "$(field relative_cost <$told.json)"
  same "relative_cost_paper, $told" "$(field relative_cost_paper <named.json)" "$(field relative_cost_paper <$told.json)"
  same "cost_reference, $told" 8/8/8 "$(field cost_reference <$told.json)"
done
"$ebb" schedule --name static --max-bits 4 --iterations 4 --summary >schedule.tsv </dev/null
awk -v cost="$(field relative_cost_paper <named.json)" '$1 == "relative_cost_paper" { found = ($2 - cost)^2 < 1e-20 } END { exit !found }' schedule.tsv ||
  fault "ebb schedule tells another papers' cost than the run: $(<schedule.tsv)"
same "of the reference that is the run's own" 1.0 "$(tiny "${steps[@]}" --bits 4 --cost-reference 4/4/8 --dry-run 2>err.txt | field relative_cost)"
same "inspected beside another reference" 1.0 "$("$ebb" inspect named --cost-reference 4/4/8 --json </dev/null | field relative_cost)"
for table in "$("$ebb" inspect named </dev/null)" "$("$cnn" --evaluate named --quiet </dev/null)" \
  "$("$cnn" --arch lenet5 --data synthetic "${steps[@]}" --bits 4 --dry-run </dev/null 2>err.txt)"; do
  grep -Eq '[0-9]\.[0-9]{4} of 8/8/8' <<<"$table" || fault "a ratio without its reference: $table"
done
expect 2 'expected the widths of weights, activations and gradients' "$cnn" --cost-reference 8/8 --dry-run

"$cnn" --evaluate named --quiet --json --accumulator wrap10 --eval-bits 8 </dev/null >wrapped.json 2>err.txt || fault "wrap10: $(<err.txt)"
[[ $(field accumulator_overflows <wrapped.json) -gt 0 ]] || fault "an evaluation in 10 bits overflows nowhere: $(<wrapped.json)"
same "bits of 8" 1.0 "$(field relative_cost <wrapped.json)"
grep -q '"conv1": {' wrapped.json || fault "no site is named: $(<wrapped.json)"
tiny "${steps[@]}" --bits 8 --accumulator sat14 --lr 0.0001 --out narrow >narrow.json 2>err.txt || fault "sat14: $(<err.txt)"
same "overflow events of run and inspect" "$(field accumulator_overflows <narrow.json)" "$("$ebb" inspect narrow --json </dev/null | field accumulator_overflows)"
"$ebb" inspect narrow </dev/null | grep -Eq '^accumulator overflows +[1-9]' || fault "inspect shows no overflow events"
finish
