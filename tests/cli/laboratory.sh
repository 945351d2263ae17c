#!/usr/bin/env bash
# laboratory.sh MLP EBB PYTHON: range tests and critical learning periods, recomputed from the records in another language.
python=$3
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib.sh" "$@"
mlp=$cnn

# A range test: 2 to 4 bits, 6 updates each.
range=("$ebb" range-test --program "$mlp" --max-bits 4 --updates 6)
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

# Files are labelled as the run's own images are.
mnist digits
"$mlp" --data digits --batch 5 --epochs 2 --threads 1 --quiet --json --out "run" </dev/null >run.json 2>err.txt || fault "$(<err.txt)"
expect 0 '' "$ebb" predict run digits/t10k-images-idx3-ubyte
right=$(awk 'NR > 1 && $3 == (NR == 11 ? 9 : 0)' out.txt | wc -l)
same "labels of a file" "$(awk "BEGIN { print $right / 10 }")" "$(field test_accuracy <run.json)"
cp out.txt labels.txt
{ idx 08 2 28 27; pixels $((2 * 28 * 27)); } >narrow-idx3-ubyte
expect 1 'expected images of shape \[28, 28, 1\]' "$ebb" predict run narrow-idx3-ubyte
expect 1 'no such file' "$ebb" predict run none.png
expect 1 'expected a .jpg or .png picture' "$ebb" predict run run.json
expect 1 'expected a run directory' "$ebb" predict none digits
expect 2 'input needs --evaluate RUN' "$mlp" --input a
cp -r run foreign && sed -i 's/"program": "ebb-mlp"/"program": "rm"/' foreign/config.json
expect 2 "'rm' is none of Ebb's programs" "$ebb" predict foreign digits

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

# Records and page: made from runs, and known to be out of date.
results=$(cd "$here/../.." && pwd)/tools/results
of_records() { "$python" "$results" "$@" --records records --page page.md --ebb "$ebb"; }
printf 'before\n<!-- results: periods -->\nold\n<!-- end of results -->\nafter\n' >page.md
expect 0 '' of_records add periods
expect 1 'is not what the records give' of_records check
expect 0 '' of_records write
expect 0 '' of_records check
same "prose around the tables" 'before after' "$(sed -n '1p;$p' page.md | xargs)"
same "a row a run" 9 "$(wc -l <records/periods.csv)"
grep -q '^| 3@2up ; 8@rest, iterations 8 | 2 |.*|  |  |$' page.md && grep -Eq 'quality falls with the length of an initial deficit.*\*\*(supported|not separable|contradicted at this scale)\*\*' page.md ||
  fault "the page: $(<page.md)"
sed -i '2s/,0\.[0-9]*,/,0.123,/' records/periods.csv
expect 1 'is not what the records give' of_records check
cp records/periods.csv records/other.csv
expect 1 'has no <!-- results: other -->' of_records write
rm records/*.csv
expect 1 'periods.csv does not exist' of_records write
expect 1 'check the path' of_records add nowhere

# Weights under other names make a run that predicts what theirs did, and goes on.
"$mlp" --data digits --batch 5 --schedule fp32 --epochs 2 --threads 1 --quiet --out fp32 </dev/null >/dev/null 2>err.txt || fault "$(<err.txt)"
"$python" - <<'END' || fault "no file was made"
import json, struct
data = open("fp32/checkpoint.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
tensors = {name: entry for name, entry in json.loads(data[8:8 + size]).items() if name.startswith(("parameter/", "state/"))}
header, body, names = {}, b"", []
for name, entry in tensors.items():
    begin, end = entry["data_offsets"]
    ours = name.split("/", 1)[1]
    header["model." + ours] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [len(body), len(body) + end - begin]}
    body += data[8 + size + begin:8 + size + end]
    names.append(f'"{ours}" = "model.{ours}"\n')
text = json.dumps(header).encode()
open("foreign.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
open("names.toml", "w").write("".join(names))
END
import=("$ebb" import foreign.safetensors --program "$mlp")
expect 0 'tensors from foreign.safetensors' "${import[@]}" --map names.toml --out imported -- --data digits --schedule fp32 --batch 5
for run in fp32 imported; do "$ebb" predict $run digits/t10k-images-idx3-ubyte </dev/null >$run.txt 2>err.txt || fault "$(<err.txt)"; done
cmp -s fp32.txt imported.txt || fault "imported weights predict something else"
expect 0 '' "$mlp" --resume --out imported --iterations 2 --quiet
same "steps after an import" 2 "$(wc -l <imported/steps.jsonl)"
expect 0 '' "$mlp" --data digits --batch 5 --iterations 1 --from imported --out none --quiet
expect 1 'no tensor of the file has the name' "${import[@]}" --out other -- --data digits
sed -i '1s/= "model/= "modle/' names.toml
expect 1 "'modle[^']*' is not in the file .did you mean 'model" "${import[@]}" --map names.toml --out other -- --data digits
head -c 200 foreign.safetensors >cut.safetensors
expect 1 'safetensors' "$ebb" import cut.safetensors --program "$mlp" --out other -- --data digits
expect 2 'map needs --import FILE' "$mlp" --map names.toml
[[ ! -e other ]] || fault "an import that failed left a directory"

# A picture of the same pixels has the same label, alone and in a folder.
mkdir pictures
"$python" - <<'END' || fault "no picture was made"
import struct, zlib
pixels = open("digits/t10k-images-idx3-ubyte", "rb").read()[16:16 + 784]
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"".join(b"\0" + pixels[28 * y:28 * y + 28] for y in range(28))
open("pictures/first.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)) +
                                       chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
END
expect 0 '' "$ebb" predict run pictures/first.png pictures
same "a picture and its pixels" "$(sed -n 2p labels.txt | cut -f3-)" "$(sed -n 2p out.txt | cut -f3-)"
same "a picture in a folder" "$(sed -n 2p out.txt | cut -f2-)" "$(sed -n 3p out.txt | cut -f2-)"
finish
