#!/usr/bin/env bash
# formats.sh CNN EBB LSTM TRANSFORMER GNN [PYTHON]: a checkpoint scored in several formats, and its weights packed in them: what a
# reader of its own finds in the file, and what `ebb import` makes of it, are the codes and values that `ebb quantize` prints. One
# product of two files.
lstm=$3 transformer=$4 gnn=$5 python=${6-}
source "$(dirname "$0")/lib.sh" "$@"

mnist data # opened in no time
"$cnn" --arch lenet5 --data data --batch 16 --iterations 3 --bits 4 --keep-fp32 last --quiet --out lenet </dev/null >/dev/null 2>err.txt ||
  fault "$(<err.txt)"

# Scored as --evaluate --eval-bits does it, format by format.
expect 0 '' "$ebb" evaluate lenet --eval-format fp32,8,mxfp4
cp out.txt table.tsv
same "rows" 4 "$(wc -l <table.tsv)"
head -1 table.tsv | grep -qP '^format\ttest_accuracy\ttest_loss\tweight_sqnr_db\tactivation_sqnr_db\tbit_ops\trelative_cost\tcost_model$' ||
  fault "heading: $(head -1 table.tsv)"
for format in fp32 int8 mxfp4; do
  "$cnn" --evaluate lenet --eval-bits $format --quiet --json </dev/null >one.json 2>/dev/null
  row=$(grep -P "^$format\t" table.tsv)
  same "$format: loss" "$(field test_loss <one.json | cut -c1-12)" "$(cut -f3 <<<"$row" | cut -c1-12)"
  same "$format: bit_ops" "$(field bit_ops <one.json)" "$(cut -f6 <<<"$row")"
done
same "SQNR of fp32" inf "$(grep -P '^fp32\t' table.tsv | cut -f4)"
expect 0 '' "$ebb" evaluate lenet --eval-format 'posit8,e4m3(bias=11)' --json
grep -q '"format": "e4m3(bias=11)"' out.txt || fault "no second format: $(<out.txt)"
grep -q '"weight_sqnr_db": [0-9]' out.txt || fault "no SQNR: $(<out.txt)"
expect 2 'eval-format is required' "$ebb" evaluate lenet
expect 2 'eval-format: .*floating formats have .*got 4 and 33' "$ebb" evaluate lenet --eval-format int4,e4m33
expect 2 'int4 is named twice' "$ebb" evaluate lenet --eval-format int4,4
expect 2 'e8m0 is a format of scales' "$ebb" evaluate lenet --eval-format e8m0
expect 2 'eval-format and --eval-bits contradict' "$cnn" --evaluate lenet --eval-format int4 --eval-bits 4
expect 2 'eval-format needs --evaluate' "$cnn" --eval-format int4
expect 1 'no-such-run' "$ebb" evaluate no-such-run --eval-format int4

# Every family has weights to pack, and reads them back.
declare -A families=(
  [mobilenet]="$cnn --arch mobilenetv2 --data data --batch 2"
  [lstm]="$lstm --units 8 --embedding 8 --length 6 --batch 4"
  [transformer]="$transformer --layers 1 --width 16 --heads 2 --length 12 --batch 2 --tied"
  [gcn]="$gnn --arch gcn --hidden 8"
)
for family in "${!families[@]}"; do
  read -ra run <<<"${families[$family]}"
  "${run[@]}" --schedule static --iterations 1 --eval-every 100 --quiet --out "$family" </dev/null >/dev/null 2>err.txt || fault "$family: $(<err.txt)"
  expect 0 'weights in mxfp4 and' "$ebb" export "$family" --weights --format mxfp4 -o "$family.safetensors"
  (($(wc -l <out.txt) > 2)) || fault "$family: no weights: $(<out.txt)"
  "${run[0]}" --import "$family.safetensors" --out "$family-back" --schedule static "${run[@]:1}" </dev/null >/dev/null 2>err.txt ||
    fault "$family does not read back: $(<err.txt)"
  grep -q 'not used' err.txt && fault "$family: $(<err.txt)"
done

expect 0 '0 weights in fp32 and .* tensors in float32' "$ebb" export lenet --weights --format fp32 -o plain.safetensors
expect 2 'weights needs --format' "$ebb" export lenet --weights -o a
expect 2 'weights needs --out' "$ebb" export lenet --weights --format int4
expect 2 'takes one run, got 2' "$ebb" export lenet lenet --weights --format int4 -o a
expect 2 'format has no effect without --weights' "$ebb" export lenet --format int4
expect 2 'csv has no effect with --weights' "$ebb" export lenet --weights --csv --format int4 -o a
expect 2 "unknown option 'bais'; did you mean 'bias'" "$ebb" export lenet --weights --format 'e4m3(bais=1)' -o a
expect 1 '/no/such/a' "$ebb" export lenet --weights --format int4 -o /no/such/a
[[ ! -e a ]] || fault "a wrong command line left a file behind"
expect 0 '' "$ebb" export lenet --weights --format nvfp4 -o nvfp4.safetensors
head -c 3000 nvfp4.safetensors >cut.safetensors
expect 1 'safetensors' "$ebb" import cut.safetensors --program "$cnn" -o b -- --arch lenet5 --data data
sed 's/"format":"nvfp4"/"format":"mxfp8"/' nvfp4.safetensors >lies.safetensors
expect 1 "packed. 'conv1.weight': codes do not fit" "$ebb" import lies.safetensors --program "$cnn" -o b -- --arch lenet5 --data data

# One product.
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }" >row.npy
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }" >column.npy
for file in row column; do printf '\x00\x00\x80\x3f\x00\x00\x00\x40' >>$file.npy; done # 1, 2
expect 0 '' "$ebb" gemm --a row.npy --b column.npy --format e4m3 --scale none -o c.npy --exact e.npy
grep -q 'error of the sums *largest 0' out.txt || fault "1 + 4 is exact: $(<out.txt)"
same "the product" "0000a040" "$(tail -c 4 c.npy | od -An -tx1 | tr -d ' ')"
same "the exact one" "0000000000001440" "$(tail -c 8 e.npy | od -An -tx1 | tr -d ' ')"
expect 1 'row.npy is 1 x 2 and row.npy is 1 x 2' "$ebb" gemm --a row.npy --b row.npy --format e4m3 -o d.npy
expect 1 'no-such' "$ebb" gemm --a no-such.npy --b row.npy --format e4m3 -o d.npy
expect 2 'format-a is missing' "$ebb" gemm --a row.npy --b column.npy -o d.npy
expect 2 'out is required' "$ebb" gemm --a row.npy --b column.npy --format e4m3
expect 2 "unknown accumulator 'exat'" "$ebb" gemm --a row.npy --b column.npy --format e4m3 --accumulator exat -o d.npy
expect 2 'seed has no effect' "$ebb" gemm --a row.npy --b column.npy --format e4m3 --seed 3 -o d.npy
expect 1 '/no/such/d.npy' "$ebb" gemm --a row.npy --b column.npy --format e4m3 -o /no/such/d.npy
[[ ! -e d.npy ]] || fault "a wrong command line left a product behind"

# A reader of its own.
if [[ -x $python ]]; then
  for format in e4m3 e5m2 e3m2 e2m1 bf16 posit8 posit16 int4 int3 mxfp4 mxfp6 mxint8 nvfp4 msfp12; do
    expect 0 '' "$ebb" export lenet --weights --format $format -o packed.safetensors
    expect 0 '' "$ebb" import packed.safetensors --program "$cnn" -o "back-$format" -- --arch lenet5 --data data
    expect 0 '' "$ebb" export "back-$format" --weights --format fp32 -o back.safetensors
    "$python" "$(dirname "$0")/packed.py" "$ebb" $format plain.safetensors packed.safetensors back.safetensors || fault "$format is packed otherwise"
  done
fi
finish
