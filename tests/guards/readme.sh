#!/usr/bin/env bash
# readme.sh ROOT: the README's program is examples/perceptron.cpp, which the package tests run, and its links lead somewhere.
set -euo pipefail
cd "$1"
diff <(awk '/^```cpp/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md) examples/perceptron.cpp ||
  { echo "README.md shows another program than examples/perceptron.cpp"; exit 1; }
while read -r link; do
  [[ -e $link ]] || { echo "README.md links to $link, which does not exist"; exit 1; }
done < <(sed '/^```/,/^```/d' README.md | grep -oE '\]\([^)#]+\)' | sed 's/^](//; s/)$//' | grep -v '^https\?:')
