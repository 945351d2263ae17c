#!/usr/bin/env bash
# reproduce.sh MLP EBB: a study of two parts with tiny settings: runs, verdicts, page; it goes on where it was, and refuses what is no study.
source "$(dirname "$0")/lib.sh" "$@"

expect 0 '' "$ebb" reproduce
for name in rex refine volsched autolrs bound wsd masking cpt; do
  grep -q "^$name " out.txt || fault "$name is not listed: $(<out.txt)"
done
if grep -q then out.txt; then fault "the second part of a study is listed"; fi
expect 2 "unknown study 'refin'; did you mean 'refine'" "$ebb" reproduce refin
expect 2 "unknown study 'refine.then'" "$ebb" reproduce refine.then
expect 2 'expected 1 to 1000 seeds, got 0' "$ebb" reproduce refine --seeds 0

tiny_study=("$ebb" reproduce refine --seeds 2 --jobs 2 --threads 1 --out small --set iterations=24 --set validation=0.98 --set batch=16)
expect 0 '' "${tiny_study[@]}" --json
same 'configurations' "$(grep -c '"standard_error": [0-9]' out.txt)" 12
same 'verdicts' "$(grep -cE '"verdict": "(supported|not separable|contradicted)"' out.txt)" 3
grep -q 'the refined schedule scores better' small/report.html || fault "the page has no claims"
grep -rq 'table(' small/then/study.json || fault "no schedule was refined"
cp out.txt first.json
expect 0 '' "${tiny_study[@]}" --json
cmp -s out.txt first.json || fault "the same study came to something else"
same 'runs that ran again' "$(grep -c 'begins\|goes on' err.txt)" 0
expect 0 '' "${tiny_study[@]}"
grep -Eq '^the refined schedule scores better than linear decay +(supported|not separable|contradicted) ' out.txt || fault "no verdict: $(<out.txt)"
finish
