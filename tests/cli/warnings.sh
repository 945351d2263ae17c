#!/usr/bin/env bash
# Legal but doubtful settings run, and say on stderr what will happen.
source "$(dirname "$0")/lib.sh" "$@"
run=("$cnn" --arch lenet5 --data synthetic --batch 8)

expect 0 'warning.*(odd|triangular)' "${run[@]}" --iterations 12 --out odd --schedule CT --cycles 3 --min-bits 3 --max-bits 8
expect 0 'warning.*(reach|8 bits|max)' "${run[@]}" --iterations 8 --out short --schedule CR --cycles 8 --min-bits 3 --max-bits 8
expect 0 'warning.*(warm|longer)' "${run[@]}" --iterations 8 --out warm --lr-schedule 'warm(100up) 1'
expect 0 '' "${run[@]}" --iterations 120 --out plain --schedule CR --cycles 1 --min-bits 3 --max-bits 8
grep -qi warning err.txt && fault "a sound setting is warned of: $(<err.txt)"
expect 0 '' "${run[@]}" --iterations 8 --out quiet --schedule CR --cycles 8 --quiet
[[ ! -s err.txt ]] || fault "--quiet leaves words on stderr: $(<err.txt)"
expect 0 'goes on after 8 of 8 steps' "$cnn" --resume --out short
grep -qi warning err.txt && fault "what was said when the run began is said again: $(<err.txt)"
finish
