#!/usr/bin/env bash
# certify.sh CNN EBB: certified training from the command line.
source "$(dirname "$0")/lib.sh" "$@"
mnist data
run=("$cnn" --certify --arch cnn-small --data data --batch 10 --lr-schedule 1 --quiet)
ramp='0 @2up ; 0->0.02 : lin @4up ; 0.02 @rest'

for plan in '--schedule fp32' '--bits 8 --gradient-bits 8'; do
  # shellcheck disable=SC2086
  train() { "${run[@]}" $plan --iterations 8 --certify-epsilon "$ramp" --json "$@" </dev/null 2>err.txt; }
  rm -rf whole cut
  train --out whole >whole.json || fault "$plan: $(<err.txt)"
  train --out none --dry-run >dry.json || fault "$plan, dry run: $(<err.txt)"
  same "$plan: cost foreseen and spent" "$(field bit_ops <dry.json)" "$(field bit_ops <whole.json)"
  [[ -n $(field test_verified_error <whole.json) ]] || fault "$plan: no verified error: $(<whole.json)"
  grep -q '"standard_error":' whole/evals.jsonl || fault "$plan: no standard error in the record"
  same "$plan: epsilon of step 4" 0.01 "$(sed -n 5p whole/steps.jsonl | field epsilon)"
  train --out none --threads 3 --simd scalar >again.json
  same "$plan: 3 threads" "$(field weights_sha256 <whole.json)" "$(field weights_sha256 <again.json)"
  # shellcheck disable=SC2086
  "${run[@]}" $plan --iterations 6 --certify-epsilon "$ramp" --out cut </dev/null >/dev/null 2>err.txt || fault "$plan: $(<err.txt)"
  "$cnn" --resume --out cut --iterations 8 --quiet --json </dev/null >longer.json 2>err.txt || fault "$plan, resumed: $(<err.txt)"
  same "$plan: two more steps" "$(field weights_sha256 <whole.json)" "$(field weights_sha256 <longer.json)"
done

# A knob is another spelling of an option.
"${run[@]}" --schedule fp32 --iterations 8 --set "epsilon=$ramp" --set kappa=0.5 --json --out knob </dev/null >knob.json 2>err.txt || fault "$(<err.txt)"
same "kappa as a knob" 0.5 "$(sed -n 2p knob/steps.jsonl | field kappa)"
# Scored at another epsilon, and in codes.
last=$(field test_verified_error <knob.json)
same "as after training" "$last" "$("$cnn" --evaluate knob --json --quiet </dev/null 2>err.txt | field test_verified_error)"
wide=$("$cnn" --evaluate knob --certify-epsilon 0.5 --json --quiet </dev/null 2>err.txt | field test_verified_error)
[[ $(printf '%s\n' "$last" "$wide" | sort -g | head -1) == "$last" ]] || fault "less is wrong in wider boxes: $last and $wide"
expect 0 '' "$cnn" --evaluate knob --eval-bits 6 --json --quiet

expect 2 'no effect without --certify' "$cnn" --arch cnn-small --data data --certify-epsilon 0.1 --iterations 2 --out none
expect 2 'sequence of layers.*resnet8' "$cnn" --certify --arch resnet8 --data data --iterations 2 --out none
expect 2 'certify-epsilon.* ends at 2' "${run[@]}" --certify-epsilon '0->2 : lin' --iterations 2 --out none
expect 2 'training-images' "$cnn" --arch lenet5 --data data --training-images 0 --iterations 2 --out none
expect 2 'at most the 20 there are, got 21' "$cnn" --arch lenet5 --data data --training-images 21 --iterations 2 --out none
finish
