#!/usr/bin/env bash
# laboratory.sh MLP EBB PYTHON: range tests and critical learning periods, recomputed from the records in another language.
python=$3
source "$(dirname "$0")/lib.sh" "$@"
mlp=$cnn

# A range test: 2 to 4 bits, 6 updates each.
range=("$ebb" range-test --program "$mlp" --max-bits 4 --updates 6 --window 3)
data=(--data synthetic --batch 16 --epochs 1 --threads 1 --quiet)
expect 0 '' "${range[@]}" --out range --json -- "${data[@]}"
cp out.txt range.json
expect 0 '' "${range[@]}" --out range --threshold 0.9 --json -- "${data[@]}"  # judged anew, not trained anew
cp out.txt strict.json
same 'lines of steps.jsonl' "$(wc -l <range/steps.jsonl)" 18
same 'bits of a width that nothing reaches' "$(field min_bits <strict.json)" 4
expect 1 'choose another --out' "${range[@]}" --out range -- "${data[@]}" --lr 0.3
expect 2 "has no place behind --" "${range[@]}" --out other -- "${data[@]}" --bits 4
expect 2 "half of the 6 updates" "${range[@]}" --window 4 --out other -- "${data[@]}"
expect 2 "did you mean 'ebb-mlp'" "$ebb" range-test --program ebb-mpl -- "${data[@]}"
expect 2 "unknown option '--epoch'" "${range[@]}" --out other -- --epoch 1
[[ ! -e other ]] || fault "a range test that was refused left a directory"

# Deficits and a window beside the run without.
for course in '8 6' '3@2up;8@rest 8' '3@4up;8@rest 10' '8@3up;3@2up;8@rest 6'; do
  read -r bits updates <<<"$course"
  for seed in 1 2; do
    "$mlp" --data synthetic --batch 16 --bits "${bits//;/ ; }" --iterations "$updates" --seed $seed --threads 1 --quiet \
      --out "periods/$bits-$seed" </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
  done
done
for figure in 'range range' 'periods periods'; do
  read -r name runs <<<"$figure"
  for kind in svg csv; do expect 0 '' "$ebb" report $runs --figure $name -o $name.$kind; done
  expect 0 '' "$ebb" report $runs -o $name.html
  grep -q "<figure id=\"$name\"" $name.html || fault "the page has no figure $name"
done
expect 1 'they need a run of ebb range-test' "$ebb" report periods --figure range -o none.svg
printf '{"format": 1}' >range/range.json
expect 1 'range.json does not hold the settings' "$ebb" report range -o none.html

[[ -n $python ]] || { echo "no python3: the numbers are not checked"; finish; }
"$python" - <<'END' || fault "numbers are not those of the records"
import csv, glob, json, math, xml.dom.minidom
def lines(path): return [json.loads(line) for line in open(path)]
def close(a, b): assert math.isclose(float(a), b, rel_tol=1e-9), (a, b)
mean = lambda values: sum(values) / len(values)

accuracy = [row["accuracy"] for row in lines("range/steps.jsonl")]
bits = [row["bits"]["weight"] for row in lines("range/steps.jsonl")]
assert bits == 6 * ["int2"] + 6 * ["int3"] + 6 * ["int4"], bits
means = [mean(accuracy[:3])] + [mean(accuracy[end - 3:end]) for end in (6, 12, 18)]
for name, threshold in (("range", 0.01), ("strict", 0.9)):
    told = json.load(open(name + ".json"))
    gains = [b - a for a, b in zip(means, means[1:])]
    for width, score, gain in zip(told["widths"], means[1:], gains):
        close(width["score"], score); close(width["gain"], gain)
    above = [2 + i for i, gain in enumerate(gains) if gain > threshold]
    assert told["min_bits"] == (above or [4])[0] and told["found"] == bool(above), told
    assert told["threshold"] == threshold and told["window"] == 3
for row, score in zip(csv.DictReader(open("range.csv")), means): close(row["mean"], score)
assert len(list(csv.DictReader(open("range.csv")))) == 4

kinds = {}
for row in csv.DictReader(open("periods.csv")):
    text = row["configuration"].split(",")[0].replace(" ", "")
    scores = []
    for run in sorted(glob.glob(f"periods/{text}-?")):
        low = [i for i, row_ in enumerate(lines(run + "/steps.jsonl")) if row_["bits"]["weight"] == "int3"]
        length, first, updates = (int(float(row[name])) for name in ("length", "first update", "updates"))
        assert low == list(range(first, first + length)), (text, low)
        assert updates == len(lines(run + "/steps.jsonl"))
        scores.append([r["score"] for r in lines(run + "/evals.jsonl") if r["split"] == "test"][-1])
    assert len(scores) == 2, text
    close(row["score mean"], mean(scores))
    kinds[text] = row["kind"]
assert kinds == {"8": "reference", "3@2up;8@rest": "deficit", "3@4up;8@rest": "deficit", "8@3up;3@2up;8@rest": "window"}, kinds
for name in ("range", "periods"): xml.dom.minidom.parse(name + ".svg")
END
finish
