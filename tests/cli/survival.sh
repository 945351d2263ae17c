#!/usr/bin/env bash
# survival.sh COUNT SEED PROGRAM...: COUNT random kills of runs of every program, each resumed to the end, and COUNT resumes of a run
# with one damaged file each. A killed run must end as if nothing had happened; a damaged one exactly so, or be cut back with a word,
# or be refused without a change of its record. COUNT is small in the tests; 200 takes some minutes. SEED makes the same choices again.
set -uo pipefail
count=$1 RANDOM=$2
shift 2
declare -A program=()
for path in "$@"; do program[$(basename "$path")]=$path; done
set -- "${program[ebb-cnn]}" none
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Sentence pairs for the encoder.
mkdir pairs
for part in train test; do
  {
    printf 'premise\thypo\tlabel\n'
    for i in $(seq 40); do printf 'a b%s c\td%s a\t%s\n' $((i % 7)) $((i % 5)) "$(cut -d' ' -f$((i % 3 + 1)) <<<'neutral entailment contradictory')"; done
  } >pairs/$part.tsv
done

common="--quiet --json --threads 1 --schedule CR --cycles 2 --min-bits 3 --max-bits 8 --save-every 3 --eval-every 7 --statistics-every 4 --probe int4 --probe-every 5"
declare -A run=(
  [cnn]="${program[ebb-cnn]} --arch lenet5 --data synthetic --batch 8 --iterations 24"
  [mlp]="${program[ebb-mlp]} --data synthetic --batch 8 --iterations 60"
  [lstm]="${program[ebb-lstm]} --units 12 --embedding 6 --length 8 --batch 8 --iterations 60"
  [transformer]="${program[ebb-transformer]} --layers 1 --width 16 --heads 2 --length 16 --batch 4 --iterations 40"
  [gnn]="${program[ebb-gnn]} --arch gcn --hidden 8 --iterations 40"
  [encoder]="${program[ebb-transformer]} --arch encoder --data pairs --layers 1 --width 16 --heads 2 --length 16 --batch 4 --iterations 60"
)
families=(cnn mlp lstm transformer gnn encoder)

# What two runs must agree in.
result() { for member in weights_sha256 bit_ops iterations train_loss test_loss; do field $member <"$1"; done | tr '\n' ' '; }
resume() { ${run[$1]%% *} --quiet --json --threads 1 --resume --out "$2" </dev/null >resumed.json 2>err.txt; }

declare -A whole=() duration=()
for family in "${families[@]}"; do
  started=$(date +%s%N)
  # shellcheck disable=SC2086
  ${run[$family]} $common --out "whole-$family" </dev/null >whole.json 2>err.txt || fault "$family: the undisturbed run fails: $(<err.txt)"
  duration[$family]=$((($(date +%s%N) - started) / 1000))  # microseconds
  whole[$family]=$(result whole.json)
done

# Killed up to three times, anywhere from the start of the program to its end.
kills=0 begun_anew=0
while ((kills < count)); do
  family=${families[RANDOM % ${#families[@]}]}
  rm -rf cut
  # shellcheck disable=SC2206
  command=(${run[$family]} $common --out cut)
  for _ in 1 2 3; do
    "${command[@]}" </dev/null >resumed.json 2>err.txt &
    pid=$!
    sleep "$(printf '0.%06d' $((RANDOM * 32768 % (duration[$family] + 1) + RANDOM % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    code=$?
    ((code == 137)) && kills=$((kills + 1))
    ((code == 137 || code == 0)) || fault "$family: exit code $code before a kill: $(<err.txt)"
    [[ -d cut ]] && command=(${run[$family]%% *} --quiet --json --threads 1 --resume --out cut)
    # Killed before the directory was marked as a run's.
    [[ -d cut && -z $(ls -A cut) ]] && rmdir cut
    [[ -d cut ]] || { command=(${run[$family]} $common --out cut); begun_anew=$((begun_anew + 1)); }
    # Killed before the options were written down: they are given once more.
    [[ -d cut && ! -e cut/config.json ]] && command=(${run[$family]} $common --out cut --resume)
  done
  "${command[@]}" </dev/null >resumed.json 2>err.txt || fault "$family: resuming fails after kills: $(<err.txt)"
  same "$family, after kills" "${whole[$family]}" "$(result resumed.json)"
  same "$family, evaluations after kills" "$(wc -l <"whole-$family/evals.jsonl")" "$(wc -l <cut/evals.jsonl)"
done

# Runs that were ended in the middle, to be damaged.
for family in "${families[@]}"; do
  # shellcheck disable=SC2086
  ${run[$family]} $common --out "half-$family" </dev/null >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 3000); do (($(wc -l 2>/dev/null <"half-$family/steps.jsonl" || echo 0) >= 10)) && break; sleep 0.002; done
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done

files=(config.json steps.jsonl evals.jsonl operands.jsonl probe.jsonl checkpoint.safetensors)
kinds=(truncated flipped doubled missing exchanged symlink pipe empty)
damage() {  # damage FILE KIND
  local size line
  size=$(stat -c %s "$1")
  case $2 in
    truncated) truncate -s $((RANDOM * 32768 % size)) "$1" ;;
    flipped)
      local at=$(((RANDOM * 32768 + RANDOM) % size)) byte
      byte=$(od -An -tu1 -j $at -N 1 "$1")
      # shellcheck disable=SC2059
      printf "$(printf '\\x%02x' $((byte ^ (1 << RANDOM % 8))))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
      ;;
    doubled) line=$((RANDOM % $(grep -c '' "$1") + 1)); sed -i "${line}p" "$1" ;;
    missing) line=$((RANDOM % $(grep -c '' "$1") + 1)); sed -i "${line}d" "$1" ;;
    exchanged) line=$((RANDOM % $(grep -c '' "$1") + 1)); sed -i "${line}{h;d};$((line + 1)){G}" "$1" ;;
    symlink) mv "$1" outside; ln -s "$PWD/outside" "$1" ;;
    pipe) rm "$1"; mkfifo "$1" ;;
    empty) : >"$1" ;;
  esac
}

declare -A outcomes=([exact]=0 [said]=0 [refused]=0)
for _ in $(seq "$count"); do
  family=${families[RANDOM % ${#families[@]}]} file=${files[RANDOM % ${#files[@]}]} kind=${kinds[RANDOM % ${#kinds[@]}]}
  what="$family, $file $kind"
  rm -rf cut outside
  cp -r "half-$family" cut
  [[ -s cut/$file ]] || continue  # not written yet
  damage "cut/$file" "$kind"
  [[ -e outside ]] && cp outside outside-before
  cp -r cut before 2>/dev/null || { rm -rf before; mkdir before; }
  timeout 60 "${run[$family]%% *}" --json --threads 1 --resume --out cut </dev/null >resumed.json 2>err.txt
  code=$?
  if ((code == 0)); then
    same "$what" "${whole[$family]}" "$(result resumed.json)"
    if grep -Eq 'cut back|is used' err.txt; then outcomes[said]=$((outcomes[said] + 1)); else outcomes[exact]=$((outcomes[exact] + 1)); fi
  elif ((code == 1)); then
    outcomes[refused]=$((outcomes[refused] + 1))
    grep -q 'cut' err.txt || fault "$what: refused without a name: $(<err.txt)"
    for name in "${files[@]}"; do
      [[ -f cut/$name && -f before/$name ]] && { cmp -s "cut/$name" "before/$name" || fault "$what: refused, but $name was changed"; }
    done
  else
    fault "$what: exit code $code: $(<err.txt)"
  fi
  [[ -e outside ]] && { cmp -s outside outside-before || fault "$what: what the link leads to was changed"; }
  rm -rf before
done
echo "$kills kills, $begun_anew before there was a directory; $count damaged files: ${outcomes[exact]} exact, ${outcomes[said]} cut back or taken from the checkpoint, ${outcomes[refused]} refused"
finish
