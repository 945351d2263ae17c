#!/usr/bin/env bash
# records.sh PROGRAM EBB LANGUAGE_MODEL: docs/RECORDS.md names every field that is written, and no other.
page=$(cd "$(dirname "$0")/../../docs" && pwd)/RECORDS.md
programs=${page%RECORDS.md}PROGRAMS.md
lm=$3
source "$(dirname "$0")/lib.sh" "$@"

# described HEADING: the fields in the first column of its table
described() {
  awk -v heading="## $1" '$0 == heading { inside = 1; next } /^## / { inside = 0 } inside && /^\| `/ { split($0, cell, "|"); print cell[2] }' "$page" |
    grep -oE '`[^`]+`' | tr -d '`' | sort -u
}
# names < JSON: of all members, splits and metrics by one name
names() {
  grep -oE '"[A-Za-z_0-9-]+": ?' | tr -d '": ' | sed -E 's/^(test|validation)_/SPLIT_/; s/^SPLIT_(accuracy|bits_per_byte)$/SPLIT_METRIC/' | sort -u
}
# without NAME... < JSON: those objects of strings and numbers are left empty
without() {
  local name
  local -a cut=(-e 's/group\{[^{}]*\}//g')
  for name in "$@"; do cut+=(-e "s/\"$name\": ?\{[^{}]*\}/\"$name\": {}/g"); done
  tr -d '\n' | sed -E "${cut[@]}"
}
# compare HEADING FILE
compare() {
  local difference
  difference=$(diff <(described "$1") <(names <"$2")) || fault "$1: docs/RECORDS.md (<) and what is written (>) differ: $difference"
}
sites='conv1 conv2 fc1 fc2 fc3'  # which name the members of accumulator_overflows_by_site
overflows=()
for site in $sites; do overflows+=(-e "s/\"$site\": ?\{[^{}]*\},?//g"); done
without_sites() { tr -d '\n' | sed -E "${overflows[@]}" | tr '{,' '\n\n'; }

run=(--accumulator sat12 --statistics-every 2 --validation 0.1 --iterations 4 --eval-every 2
  --bits 'group{conv1: 4, *: 8}' --lr-schedule 'group{bias: 0.5, *: 1}')
tiny "${run[@]}" --probe int4 --probe-every 2 --out run >training.json 2>err.txt || fault "$(<err.txt)"
"$cnn" --evaluate run --quiet --json </dev/null >evaluation.raw 2>err.txt || fault "$(<err.txt)"
"$cnn" --arch lenet5 --data synthetic --batch 32 --dry-run --json "${run[@]/--statistics-every/--seed}" </dev/null >dry.raw 2>err.txt || fault "$(<err.txt)"
"$ebb" inspect run --json </dev/null >inspect.raw 2>err.txt || fault "$(<err.txt)"
"$lm" --units 8 --embedding 8 --length 8 --batch 4 --iterations 1 --quiet --json --out text </dev/null >lm.json 2>err.txt || fault "$(<err.txt)"
"$lm" --generate text --tokens 3 --quiet --json </dev/null >generation.raw 2>err.txt || fault "$(<err.txt)"

without options session data <run/config.json >config.raw
without_sites <training.json >training.raw
for name in evaluation inspect; do
  without options arithmetic <$name.raw | without_sites >$name.json
done
without arithmetic <dry.raw >dry.json
compare config.json config.raw
# Some fields are those of options that exclude others: a scale that doubles until it overflows.
tiny --bits fp16 --gradient-bits fp16 --loss-scale dynamic --loss-scale-window 1 --iterations 20 --set 'clip=1->2 : lin' --out scaled >/dev/null 2>err.txt || fault "$(<err.txt)"
cat run/steps.jsonl scaled/steps.jsonl | without settings >steps.raw
compare steps.jsonl steps.raw
compare evals.jsonl run/evals.jsonl
compare operands.jsonl run/operands.jsonl
without overflows <run/probe.jsonl >probe.raw
compare probe.jsonl probe.raw
compare 'json of a training' training.raw
compare 'json of an evaluation' evaluation.json
compare 'json of a generation' generation.raw
compare 'json of a dry run' dry.json
compare 'json of ebb inspect' inspect.json

# Options are described where they are explained.
while read -r option; do
  grep -qF -e "\`--$option" "$programs" || fault "docs/PROGRAMS.md does not say what --$option is"
done < <(sed -n '/"options": {/,/^  }/p; /"session": {/,/^  }/p' run/config.json text/config.json | grep -oE '^    "[^"]+"' | tr -d '" ' | sort -u)
finish
