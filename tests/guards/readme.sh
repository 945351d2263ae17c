#!/usr/bin/env bash
# readme.sh ROOT: the README's program is examples/perceptron.cpp to the letter, which the package tests run.
set -euo pipefail
cd "$1"
diff <(awk '/^```cpp/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md) examples/perceptron.cpp ||
  { echo "README.md shows another program than examples/perceptron.cpp"; exit 1; }
