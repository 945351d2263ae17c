#!/usr/bin/env bash
# Damaged data sets, checkpoints and disks: exit 1, a message that names the file, and nothing half-written left behind.
source "$(dirname "$0")/lib.sh" "$@"

mnist good
on() { echo "$cnn" --arch lenet5 --data "$1" --iterations 1 --batch 8 --quiet --out "$2"; }
expect 0 '' $(on good run-good)

images=train-images-idx3-ubyte labels=train-labels-idx1-ubyte
damage() {  # damage NAME REGEX: takes a good set, whose training files stdin replaces by a command, and expects a message
  rm -rf "$1"
  cp -r good "$1"
  (cd "$1" && eval "$3")
  expect 1 "$2" $(on "$1" "run-$1")
  [[ ! -e run-$1 ]] || fault "$1 left a run directory behind"
}
damage truncated "$images" "truncate -s -1 $images"
damage oversized "$images" "printf x >>$images"
damage empty-file "$images" ": >$images"
damage header-only "$images" "truncate -s 7 $images"
damage huge-extents "$images" "{ idx 08 2147483647 2147483647 2147483647; } >$images"
damage no-images "$images|no images|empty" "{ idx 08 0 28 28; } >$images; idx 08 0 >$labels"
damage wrong-magic "$images" "{ printf '\x01\x00\x08\x03'; be32 20 28 28; zeros 15680; } >$images"
damage swapped "$images|$labels" "mv $images x; mv $labels $images; mv x $labels"
damage too-few-labels "20|19" "{ idx 08 19; zeros 19; } >$labels"
damage nan-pixel "$images|NaN" "{ idx 0d 20 28 28; printf '\x7f\xc0\x00\x00'; zeros $((20 * 784 * 4 - 4)); } >$images"
damage no-labels "$labels|labels" "rm $labels"
damage bad-gzip "$images" "gzip $images; truncate -s -5 $images.gz"

mkdir cifar
for i in 1 2 3 4 5; do zeros $((3073 * 2)) >cifar/data_batch_$i.bin; done
zeros 3073 >cifar/test_batch.bin
expect 0 '' $(on cifar run-cifar)
zeros 3072 >cifar/data_batch_3.bin
expect 1 'data_batch_3.bin.*3073|3073.*data_batch_3.bin' $(on cifar run-cifar-2)
{ printf '\x0a'; zeros 3072; } >cifar/data_batch_3.bin
expect 1 'data_batch_3.bin.*10|10.*data_batch_3.bin' $(on cifar run-cifar-2)

# Checkpoints: the newest one of the run, damaged.
checkpoint=$(find run-good -name '*.safetensors' | sort | tail -1)
[[ -n $checkpoint ]] || fault "the run has no checkpoint"
cp "$checkpoint" saved
damaged() { expect 1 "$(basename "$checkpoint")" "$cnn" --evaluate run-good; }
truncate -s -1 "$checkpoint"; damaged
: >"$checkpoint"; damaged
{ head -c 100 saved; zeros 1; tail -c +102 saved; } >"$checkpoint"; cmp -s saved "$checkpoint" || damaged
head -c 4096 /dev/urandom >"$checkpoint"; damaged
printf '\x02\x00\x00\x00\x00\x00\x00\x00{}' >"$checkpoint"; damaged
cp saved "$checkpoint"
expect 0 '' "$cnn" --evaluate run-good --data good

# A full disk: no file may grow past 4 KiB, and the shell ignores the signal that would hide the error.
(trap '' XFSZ; ulimit -f 4; exec $(on good run-full)) </dev/null >out.txt 2>err.txt
(($? == 1)) && grep -q 'run-full' err.txt || fault "full disk: $(tail -3 err.txt)"
if find run-full -name '*.part' -o -name '*.tmp' 2>/dev/null | grep -q .; then fault "a full disk leaves half a file: $(ls -R run-full)"; fi

# Two runs on one directory: the second is refused while the first runs.
"$cnn" --arch lenet5 --data synthetic --iterations 100000 --quiet --out shared </dev/null >/dev/null 2>&1 &
first=$!
for _ in $(seq 100); do [[ -n $(find shared -type f 2>/dev/null) ]] && break; sleep 0.1; done
expect 1 'shared' "$cnn" --arch lenet5 --data synthetic --iterations 100000 --quiet --out shared --resume
kill -9 $first
wait $first 2>/dev/null
finish
