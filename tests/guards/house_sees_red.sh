#!/usr/bin/env bash
# Breaks every rule of house.sh once, in a scratch tree, and checks that each offence is reported.
set -euo pipefail
guard=$(dirname "$(readlink -f "$0")")/house.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{core,quant/kernels,schedules,layers,train}
missed=0

# offence FILE TEXT EXPECTED: a file with that text alone must be reported with those words
offence() {
  printf '%s\n' "$2" >"$tree/$1"
  if report=$("$guard" "$tree") || ! grep -q "$3" <<<"$report"; then
    echo "not seen: '$2' in $1 (reported: $report)"
    missed=1
  fi
  rm "$tree/$1"
}
# innocent FILE TEXT: must pass
innocent() {
  printf '%s\n' "$2" >"$tree/$1"
  "$guard" "$tree" >/dev/null || { echo "wrongly reported: '$2' in $1"; missed=1; }
  rm "$tree/$1"
}

offence core/a.cpp '#include "quant/gemm.h"' 'core may include core'
offence schedules/a.cpp '#include "quant/gemm.h"' 'schedules may include'
offence train/a.cpp '  #  include "models/lenet.h"' 'train may include'
innocent schedules/a.cpp '#include "quant/plan.h"'
innocent train/a.cpp '#include "layers/pass.h"'
offence core/a.h $'#pragma once\n#include <Eigen/Core>' 'third-party headers stay in .cpp files'
innocent core/a.cpp '#include <Eigen/Core>'
offence core/a.h 'namespace ebb {}' 'begins with #pragma once'
printf '#pragma once\n' >"$tree/core/own.h"
offence core/own.cpp $'#include <vector>\n\n#include "core/own.h"' 'includes its own header first'
innocent core/own.cpp $'// on it\n#include "core/own.h"\n\n#include <vector>'
rm "$tree/core/own.h"
offence quant/kernels/dot_avx2.cpp '#include <vector>' 'no inline library code'
offence quant/kernels/dot_avx512_vnni.cpp '#include <Eigen/Core>' 'no inline library code'
printf '#pragma once\n#include <vector>\n' >"$tree/quant/wide.h"
offence quant/kernels/dot_avx2.cpp '#include "quant/wide.h"' 'quant/wide.h:2: .*no inline library code'
rm "$tree/quant/wide.h"
innocent quant/kernels/dot_avx2.cpp '#include <immintrin.h>'
offence layers/a.cpp 'const double y = std::exp(x);' 'use ebb::math'
offence layers/a.cpp 'float f(float x) { return tanhf(x); }' 'use ebb::math'
innocent layers/a.cpp 'const double y = math::exp(x) + std::sqrt(x);  // not std::exp(x)'
offence train/a.cpp 'std::cout << loss;' 'never prints'
offence quant/a.cpp 'std::mt19937 engine; // 
#include <random>' 'randomness comes from Key'
offence quant/a.cpp 'std::unordered_map<int, int> sites;' 'unordered order'
offence core/a.cpp 'thread_local int calls;' 'thread-local'
offence core/a.cpp "$(yes 'int x;' | head -601)" '601 lines'
exit $missed
