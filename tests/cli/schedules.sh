#!/usr/bin/env bash
# schedules.sh CNN EBB [DATA]: every program under static, fp32 and the ten cyclic schedules, on its default data, or on the real sets in
# the folder DATA. Static bits cost 1, cycles less, float32 more.
source "$(dirname "$0")/lib.sh" "$@"
programs=$(dirname "$cnn") real=${3-}
steps=(--iterations 8 --eval-every 100 --quiet --json --out none)

check() {  # check PROGRAM DATA FLAGS...
  local program=$1 data=()
  [[ -z $real ]] || data=(--data "$real/$2")
  shift 2
  for schedule in static fp32 CR LR ER RR CT LT ETV ETH RTV RTH; do
    case $schedule in
      fp32) bits=() ;;
      static) bits=(--max-bits 8 --gradient-bits 8) ;;
      *) bits=(--cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8) ;;
    esac
    "$programs/$program" "${data[@]}" "$@" "${steps[@]}" "${bits[@]}" --schedule "$schedule" </dev/null >run.json 2>err.txt || fault "$program $* $schedule: $(<err.txt)"
    awk -v cost="$(field relative_cost <run.json)" -v schedule="$schedule" \
      'BEGIN { exit !(schedule == "static" ? cost == 1 : schedule == "fp32" ? cost > 10 : cost > 0.1 && cost < 1) }' ||
      fault "$program $* $schedule costs $(field relative_cost <run.json)"
  done
}
check ebb-cnn mnist --arch lenet5 --batch 32
check ebb-lstm tinyshakespeare/input.txt --units 16 --length 16 --batch 8
check ebb-transformer tinyshakespeare/input.txt --layers 1 --width 16 --heads 2 --length 16 --batch 8
check ebb-transformer snli-small --arch encoder --layers 1 --width 16 --heads 2 --length 32 --batch 8
check ebb-gnn cora --arch gcn --hidden 8
# shellcheck disable=SC2086
check ebb-gnn ogb-format/amazon_photo ${real:+--split random_60_20_20} --arch sage --hidden 8 --fanout 3,4 --batch 64
finish
