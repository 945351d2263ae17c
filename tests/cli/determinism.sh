#!/usr/bin/env bash
# One configuration has one weights_sha256, whatever the threads, the instruction set and the compiler, for int and fp32 plans.
source "$(dirname "$0")/lib.sh" "$@"

int=(--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8)
fp32=(--schedule fp32)
# What these runs gave when they were first pinned, on every machine and compiler since. A change of numerics moves them: say so in the
# CHANGELOG, and by how much results move.
golden_int=1d2f5cf70a962ea90680781eea1176f137f84997eab53fd585104a056d1577c6
golden_fp32=803b323251260a575c9067719742199d13374ab5960a07c612e85ade69108627
golden_resnet8=8b19c9ed93dd79801134b2278971e4d04a004578484a1b902979bc29b030c90e
simds=(auto scalar)
for level in avx2 avx512; do  # those that the machine has
  tiny --iterations 1 --schedule fp32 --simd $level --out "probe-$level" >/dev/null 2>&1 && simds+=($level)
done
echo "levels: ${simds[*]}"

hash() {  # hash NAME FLAGS...: of a run of its own
  local name=$1
  shift
  tiny --iterations 12 --out "run-$name" "$@" 2>err.txt | field weights_sha256
  [[ -s err.txt ]] && grep -iq error err.txt && fault "$name: $(tail -2 err.txt)"
}
for plan in int fp32; do
  declare -n flags=$plan golden=golden_$plan
  first=$(hash "$plan" "${flags[@]}" --threads 1 --simd scalar)
  same "$plan, pinned" "$golden" "$first"
  for threads in 1 2 3; do
    for simd in "${simds[@]}"; do
      [[ $threads$simd == 1scalar ]] && continue
      same "$plan, $threads threads, $simd" "$first" "$(hash "$plan-$threads-$simd" "${flags[@]}" --threads $threads --simd $simd)"
    done
  done
  echo "$plan $first"
done
# Batch norm, residual sums, strides and augmentation.
resnet8=$("$cnn" --arch resnet8 --data synthetic-cifar --batch 8 --iterations 6 --quiet --json --out none "${int[@]}" </dev/null 2>err.txt | field weights_sha256)
same "resnet8, pinned" "$golden_resnet8" "$resnet8"
[[ $(hash seed2 "${int[@]}" --seed 2) != "$(hash seed1 "${int[@]}")" ]] || fault "another seed gives the same weights"
finish
