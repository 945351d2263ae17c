#!/usr/bin/env bash
# report.sh MLP EBB: the page, figures and tables of some runs; every number is recomputed, and a browser tries the page if there is one.
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib.sh" "$@"
mlp=$cnn
# Without Python, which is another language to recompute in, the rest still holds.
python() { if command -v python3 >/dev/null; then python3 "$@"; else echo "no python3: not checked: $*"; fi; }

mkdir study
for schedule in static CR fp32; do
  for seed in 1 2 3; do
    "$mlp" --data synthetic --batch 32 --iterations 24 --eval-every 12 --schedule $schedule --seed $seed \
      --statistics-every 8 --probe int4,int6 --probe-every 16 --threads 1 --quiet --out "study/$schedule-$seed" </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
  done
done

expect 0 '' "$ebb" report study -o page.html --title 'A <b>title</b>'
expect 0 '' "$ebb" report study -o again.html --title 'A <b>title</b>'
cmp -s page.html again.html || fault "the same runs gave two pages"
python "$here/report_page.py" page.html study || fault "the page is not as agreed"

for figure in pareto curves schedules cost quality probe; do
  expect 0 '' "$ebb" report study --figure $figure -o f.svg
  expect 0 '' "$ebb" report study --figure $figure -o f.csv
  python -c 'import xml.dom.minidom; xml.dom.minidom.parse("f.svg")' || fault "$figure is no SVG"
  (($(wc -l <f.csv) > 3)) || fault "$figure has no values"
done
expect 2 "did you mean 'pareto'" "$ebb" report study --figure parete -o f.svg
expect 2 'ends in .html' "$ebb" report study -o page.pdf
expect 1 'check the path' "$ebb" report nowhere -o nowhere.html
expect 2 "no run has 'schedule=QQ'" "$ebb" report study --baseline schedule=QQ -o nowhere.html
[[ ! -e nowhere.html ]] || fault "a page of nothing was written"

# A table of several runs; one row each, their differences first.
expect 0 '' "$ebb" inspect study/CR-1 study/static-1
grep -Eq '^run +schedule +seed' out.txt || fault "inspect: $(head -1 out.txt)"
expect 0 '' "$ebb" inspect study/CR-1 study/static-1 --json
same 'runs of inspect --json' "$(grep -c '"run": ' out.txt)" 2
expect 0 '' "$ebb" export study --csv
same 'rows of export' "$(wc -l <out.txt)" 10
expect 0 '' "$ebb" export study --evals
same 'rows of export --evals' "$(wc -l <out.txt)" 19
expect 0 '' "$ebb" export study/CR-1 --steps
same 'rows of export --steps' "$(wc -l <out.txt)" 25

# What is damaged is told, and the rest shown.
cp -r study hurt
sed -i '3s/.\{20\}$//' hurt/CR-2/steps.jsonl
printf '{"format": 99}' >hurt/CR-3/config.json
mv hurt/fp32-1 $'hurt/\x1b[31m<script>'
expect 1 'CR-2: .*line 3 is no line' "$ebb" report hurt -o hurt.html
grep -q 'CR-3: .*format 99' err.txt || fault "the newer run is not told"
grep -q 'What failed' hurt.html || fault "the page does not say what failed"
grep -q 'fp32-2' hurt.html || fault "the page lacks what could be read"
grep -q $'\x1b' hurt.html && fault "an escape sequence is in the page"
grep -q '&lt;script&gt;' hurt.html || fault "the name is not escaped"

# --watch writes again when a run changed, and ends at a signal.
"$ebb" report study -o watched.html --watch >watch.txt 2>&1 &
watching=$!
for _ in {1..50}; do [[ -s watched.html ]] && break; sleep 0.1; done
rm -r study/fp32-3
for _ in {1..50}; do (($(wc -l <watch.txt) > 1)) && break; sleep 0.1; done
kill -INT $watching
wait $watching || fault "--watch: exit $?"
grep -q fp32-3 watched.html && fault "--watch did not write again"
finish
