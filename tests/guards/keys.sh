#!/usr/bin/env bash
# keys.sh ROOT: random draws depend on the words that are folded into keys. Another spelling would train other bits.
set -euo pipefail
cd "$1"
expected="augment batches chosen classifier classifier_bias decoder dropout edges embedding evaluation file generation grain head hear hidden initial_values layout masks means noise optimizer order positions scene search shape split stem steps test texture tokens train training training_images use validation weight windows"
diff <(printf '%s\n' $expected) <(grep -rhoE 'fold[(]"[^"]*"[)]' --include='*.cpp' core quant layers optim data train models schedules |
  sed -E 's/fold[(]"(.*)"[)]/\1/; s/ /_/g' | sort -u) || {
  echo "keys.sh: the words folded into keys are no longer those that released versions draw by"
  exit 1
}
