#!/usr/bin/env bash
# readme.sh ROOT: the program of a page is one of examples/, which the package tests run, and links lead somewhere.
set -euo pipefail
cd "$1"
while read -r page example; do
  diff <(awk '/^```cpp/ { inside = 1; next } /^```/ { inside = 0 } inside' "$page") "$example" ||
    { echo "$page shows another program than $example"; exit 1; }
  while read -r link; do
    [[ -e $(dirname "$page")/$link ]] || { echo "$page links to $link, which does not exist"; exit 1; }
  done < <(sed '/^```/,/^```/d' "$page" | grep -oE '\]\([^)#]+\)' | sed 's/^](//; s/)$//' | grep -v '^https\?:' || true)
done <<'END'
README.md examples/perceptron.cpp
docs/YOUR_OWN_LOOP.md examples/own_loop.cpp
docs/YOUR_OWN_OP.md examples/own_op.cpp
END
