#!/usr/bin/env bash
# kill -9 at random points, then --resume: the same weights, ledger and record as an undisturbed run. Ctrl-C saves and leaves.
source "$(dirname "$0")/lib.sh" "$@"

# wait_for_steps RUN N: until N steps are on record
wait_for_steps() {
  for _ in $(seq 3000); do
    [[ -f $1/steps.jsonl ]] && (($(wc -l <"$1/steps.jsonl") >= $2)) && return
    sleep 0.02
  done
  fault "$1 never came to step $2"
}

flags=(--iterations 60 --save-every 5 --threads 2)
for plan in "--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8" "--schedule fp32"; do
  name=${plan//[^a-zA-Z0-9]/}
  # shellcheck disable=SC2086
  tiny "${flags[@]}" $plan --out "$name-whole" >whole.json 2>err.txt || fault "the undisturbed run fails: $(<err.txt)"
  resume=""
  for kill in 1 2 3; do
    # shellcheck disable=SC2086
    "$cnn" --arch lenet5 --data synthetic --batch 32 --quiet "${flags[@]}" $plan --out "$name-cut" $resume </dev/null >/dev/null 2>&1 &
    pid=$!
    wait_for_steps "$name-cut" $((20 * kill - 5 - RANDOM % 15))
    kill -9 $pid
    wait $pid 2>/dev/null
    (($? == 137)) || fault "$plan: the run ended before it was killed"
    resume=--resume
  done
  # shellcheck disable=SC2086
  tiny "${flags[@]}" $plan --out "$name-cut" $resume >cut.json 2>err.txt || fault "$plan: resuming fails: $(<err.txt)"
  for member in weights_sha256 bit_ops iterations test_accuracy train_loss; do
    same "$plan, $member after three kills" "$(field $member <whole.json)" "$(field $member <cut.json)"
  done
done

int=(--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8)
resumed=("$cnn" --arch lenet5 --data synthetic --batch 32 --quiet "${flags[@]}" --out other)
"${resumed[@]}" "${int[@]}" </dev/null >/dev/null 2>&1
expect 1 'lr' "${resumed[@]}" "${int[@]}" --lr 0.3 --resume
expect 1 'seed' "${resumed[@]}" "${int[@]}" --seed 3 --resume
expect 0 '' "$cnn" --arch lenet5 --data synthetic --batch 32 --quiet --iterations 60 --save-every 5 --threads 1 --simd scalar "${int[@]}" --out other --resume

"$cnn" --arch lenet5 --data synthetic --batch 32 --quiet --iterations 100000 --out interrupted </dev/null >/dev/null 2>err.txt &
pid=$!
wait_for_steps interrupted 1
kill -INT $pid
wait $pid
code=$?
((code == 3)) || fault "Ctrl-C: exit code $code: $(<err.txt)"
grep -q 'stopping when the step' err.txt || fault "Ctrl-C is not answered at once: $(<err.txt)"
grep -q 'saved, go on with --out interrupted --resume' err.txt || fault "Ctrl-C does not say how to go on: $(<err.txt)"
expect 0 '' "$cnn" --evaluate interrupted

# With descriptors closed, what is said goes nowhere, never into the files of the run.
for closed in '0<&- 1>&-' '0<&- 1>&- 2>&-' '1>&- 2>&-'; do
  rm -rf closed
  eval "\"\$cnn\" --arch lenet5 --data synthetic --batch 32 --iterations 2 --out closed $closed" </dev/null >/dev/null 2>&1
  (($(wc -l <closed/steps.jsonl) == 2)) && ! grep -qv '^{"iteration"' closed/steps.jsonl || fault "$closed: steps.jsonl: $(<closed/steps.jsonl)"
  [[ $(wc -l <closed/lock) == 1 ]] || fault "$closed: lock: $(<closed/lock)"
done
finish
