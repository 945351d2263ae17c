#!/usr/bin/env bash
# One configuration has one weights_sha256, whatever the threads, the instruction set and the prefetch, for int and fp32 plans.
source "$(dirname "$0")/lib.sh" "$@"

int=(--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8)
fp32=(--schedule fp32)
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
  declare -n flags=$plan
  first=$(hash "$plan" "${flags[@]}" --threads 1 --simd scalar)
  for threads in 1 2 3; do
    for simd in "${simds[@]}"; do
      [[ $threads$simd == 1scalar ]] && continue
      same "$plan, $threads threads, $simd" "$first" "$(hash "$plan-$threads-$simd" "${flags[@]}" --threads $threads --simd $simd)"
    done
  done
  same "$plan, no prefetch" "$first" "$(hash "$plan-prefetch" "${flags[@]}" --threads 2 --no-prefetch)"
  echo "$plan $first"
done
[[ $(hash seed2 "${int[@]}" --seed 2) != "$(hash seed1 "${int[@]}")" ]] || fault "another seed gives the same weights"
finish
