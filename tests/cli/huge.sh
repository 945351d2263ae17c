#!/usr/bin/env bash
# huge.sh CNN EBB: every program and every option that takes an integer, with numbers whose sums and products overflow: an error with
# a message, or nothing that is wrong with it, but never a signal.
source "$(dirname "$0")/lib.sh" "$@"
programs=$(dirname "$cnn")
ulimit -v 8000000  # what is asked for has to be refused, not swapped

survives() {  # survives COMMAND...
  timeout 30 "$@" </dev/null >out.txt 2>err.txt
  local got=$?
  ((got <= 2)) || fault "exit $got: ${*##*/} -- $(tail -3 err.txt)"
  ((got == 0)) || [[ -s err.txt ]] || fault "exit $got without a word: ${*##*/}"
  ! grep -Eq 'std::|vector|basic_string' err.txt || fault "the message of a container: ${*##*/} -- $(tail -1 err.txt)"
}

for program in 'ebb-cnn --arch lenet5' ebb-mlp 'ebb-lstm --units 8' 'ebb-transformer --layers 1 --width 8 --heads 2' \
  'ebb-transformer --arch encoder --data pairs --layers 1 --width 8 --heads 2' 'ebb-gnn --hidden 4' \
  'ebb-gnn --arch sage --fanout 2 --hidden 4'; do
  mkdir -p pairs
  printf 'premise\thypo\tlabel\na dog runs\tit moves\tentailment\nit sleeps\tit runs\tcontradictory\n' | tee pairs/{train,dev,test}.tsv >pairs/valid.tsv
  read -ra command <<<"$program"
  "$programs/${command[0]}" --help | sed -nE 's/^ +--([a-z0-9-]+) N( .*|$)/\1/p' >options.txt
  (($(wc -l <options.txt) > 10)) || fault "$program: options of integers are not found"
  while read -r option; do
    for number in 9223372036854775807 100000000000; do
      [[ $number == 100000000000 && $program != *-cnn* && $program != *sage* ]] && continue  # which two programs stand for
      words=()
      for ((i = 1; i < ${#command[@]}; ++i)); do  # given once: the huge one in place of the small one
        if [[ ${command[i]} == "--$option" ]]; then ((++i)); else words+=("${command[i]}"); fi
      done
      survives "$programs/${command[0]}" "${words[@]}" "--$option" "$number" --iterations 2 --dry-run --quiet
    done
  done < <(grep -vx -e iterations -e epochs options.txt)
  survives "$programs/${command[0]}" "${command[@]:1}" --iterations 9223372036854775807 --dry-run --quiet
  survives "$programs/${command[0]}" "${command[@]:1}" --epochs 9223372036854775807 --dry-run --quiet
done
for option in iterations cycles min-bits max-bits gradient-bits; do
  words=(--name CR --summary)
  [[ $option == iterations ]] || words+=(--iterations 100)
  survives "$ebb" schedule "${words[@]}" "--$option" 9223372036854775807
done
survives "$ebb" schedule --name CR --summary --iterations 9007199254740992
survives "$ebb" quantize --format int4 --seed 9223372036854775807 --rounding stochastic
survives "$ebb" ngram --unit word --vocabulary 9223372036854775807 --order 1
survives "$ebb" ngram --order 9223372036854775807
finish
