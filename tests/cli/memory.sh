#!/usr/bin/env bash
# memory.sh CNN EBB: what memory does not hold, or is not given, is an error that says how much was wanted for what.
source "$(dirname "$0")/lib.sh" "$@"
programs=$(dirname "$cnn")
limited() { (ulimit -v "$1" && shift && "$@"); }  # limited KIB COMMAND...
if ! limited 4000000 "$cnn" --help >/dev/null 2>&1; then
  echo "a sanitizer takes more addresses than that"
  finish
fi
export OMP_NUM_THREADS=2

# Weights that no machine holds, and a batch that holds where the activations of its network do not.
expect 1 'cannot allocate [0-9.]+ [TP]iB for a tensor of \[[0-9]+, 17592186044416\]; lower --batch' \
  "$programs/ebb-lstm" --embedding 17592186044416 --iterations 1
expect 1 'cannot allocate [0-9.]+ [MG]iB for (a tensor of \[20000, |a buffer of|the codes of).*lower --batch' \
  limited 2000000 "$cnn" --arch resnet20 --data synthetic-cifar --batch 20000 --iterations 1
truncate -s 1500M big.txt
expect 1 'cannot allocate 1.5 GiB for the file big.txt' limited 1000000 "$programs/ebb-lstm" --data big.txt --iterations 1
rm big.txt

# Wherever memory runs out, inside of parallel loops too.
answers=0
for kib in $(seq 40000 7000 400000); do
  limited "$kib" "$cnn" --arch lenet5 --data synthetic --batch 512 --iterations 1 --threads 2 --quiet --out none </dev/null >out.txt 2>err.txt
  code=$?
  ((code == 0)) && { answers=$((answers + 1)); break; }
  ((code == 1 || code == 127)) || fault "exit $code with $kib KiB: $(tail -1 err.txt)"
  grep -Eq 'memory|allocate|libgomp|shared librar' err.txt || fault "$kib KiB: $(tail -1 err.txt)"
done
((answers == 1)) || fault "400 MB are too little for LeNet"
finish
