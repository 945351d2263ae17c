#!/usr/bin/env bash
# Breaks every rule of house.sh once, in a scratch tree, and checks that each offence is reported, and what is no offence is not.
set -euo pipefail
guard=$(dirname "$(readlink -f "$0")")/house.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{core,quant/{kernels,formats},schedules,layers/kernels,train/{options,tasks,app}}
expected=() innocents=()

place() {  # place FILE TEXT
  [[ ! -e $tree/$1 ]] || { echo "$1 is there already"; exit 1; }
  printf '%s\n' "$2" >"$tree/$1"
}
# offence FILE TEXT EXPECTED: a file with that text must be reported with those words
offence() {
  place "$1" "$2"
  expected+=("^$1:[0-9]*: .*$3")
}
# innocent FILE TEXT: must not be reported
innocent() {
  place "$1" "$2"
  innocents+=("$1")
}

offence core/up.cpp '#include "quant/gemm.h"' 'core may include core'
offence schedules/up.cpp '#include "quant/gemm.h"' 'schedules may include'
offence train/up.cpp '  #  include "models/lenet.h"' 'train may include'
offence schedules/beside.cpp '#include "quant/plan.h"' 'schedules may include'
innocent schedules/down.cpp '#include "quant/formats/format.h"'
offence quant/formats/up.cpp '#include "quant/operand.h"' 'quant/formats may include'
innocent quant/formats/down.cpp '#include "core/key.h"'
offence train/sideways.cpp '#include "train/options/options.h"' 'train may include'
offence train/options/up.cpp '#include "train/tasks/images.h"' 'train/options may include'
offence train/tasks/up.cpp '#include "train/app/report.h"' 'train/tasks may include'
innocent train/app/down.cpp '#include "train/tasks/images.h"'
innocent train/down.cpp '#include "layers/pass.h"'
offence core/eigen_there.h $'#pragma once\n#include <Eigen/Core>' 'third-party headers stay in .cpp files'
innocent core/eigen.h $'#pragma once\n#include <Eigen/Core>'
offence layers/eigen_op.h $'#pragma once\n#include "core/eigen.h"' 'core/eigen.h is for .cpp files'
innocent layers/eigen_op.cpp $'#include "layers/eigen_op.h"\n\n#include "core/eigen.h"'
innocent core/eigen_here.cpp '#include <Eigen/Core>'
offence core/often.h 'namespace ebb {}' 'begins with #pragma once'
innocent core/late.h '#pragma once'
offence core/late.cpp $'#include <vector>\n\n#include "core/late.h"' 'includes its own header first'
innocent core/early.h '#pragma once'
innocent core/early.cpp $'// on it\n#include "core/early.h"\n\n#include <vector>'
offence quant/kernels/dot_avx2.cpp '#include <vector>' 'no inline library code'
offence quant/kernels/dot_avx512_vnni.cpp '#include <Eigen/Core>' 'no inline library code'
offence layers/kernels/rows_avx2.cpp '#include <vector>' 'no inline library code'
offence layers/kernels/lanes.h $'#pragma once\n#include <algorithm>' 'no inline library code'
offence layers/kernels/norm.cpp $'#include <vector>\nconst Norm Norm::EBB_TARGET{};' 'no inline library code'
innocent layers/kernels/each.cpp $'#include "layers/kernels/lanes.h"\nconst Each Each::EBB_TARGET{};'
innocent layers/kernels/select.cpp '#include <vector>'
offence layers/dot.h $'#pragma once\n#include <immintrin.h>' 'intrinsics stay in kernels'
innocent layers/kernels/dot.h $'#pragma once\n#include <immintrin.h>'
offence quant/wide.h $'#pragma once\n#include <vector>' 'no inline library code'
innocent quant/kernels/reach_avx2.cpp '#include "quant/wide.h"'
innocent quant/kernels/sum_avx2.cpp '#include <immintrin.h>'
offence layers/exp.cpp 'const double y = std::exp(x);' 'use ebb::math'
offence layers/tanhf.cpp 'float f(float x) { return tanhf(x); }' 'use ebb::math'
innocent layers/exp_op.h $'#pragma once\nVar exp(Pass& pass, Var x);'
innocent layers/own_exp.cpp 'const double y = math::exp(x) + std::sqrt(x);  // not std::exp(x)'
offence train/print.cpp 'std::cout << loss;' 'never prints'
innocent train/app/run_main.cpp 'std::cout << loss;'
offence quant/engine.cpp $'std::mt19937 engine; //\n#include <random>' 'randomness comes from Key'
offence quant/map.cpp 'std::unordered_map<int, int> sites;' 'unordered order'
offence core/calls.cpp 'thread_local int calls;' 'thread-local'
offence core/long.cpp "$(yes 'int x;' | head -501)" 'more than 500 lines'
innocent core/lines.cpp "$(yes 'int x;' | head -500)"
lines() { yes '  f(x);' | head "-$1"; }
offence quant/kernels/tall.cpp $'namespace ebb {\n\nvoid tall(\n    int x) {\n'"$(lines 78)"$'\n}\n\n}  // namespace ebb' 'more than 80 lines'
innocent quant/kernels/short.cpp $'namespace ebb {\n\nvoid tall(\n    int x) {\n'"$(lines 77)"$'\n}\n\n}  // namespace ebb'
offence layers/member.h $'#pragma once\nstruct Tall {\n  void tall() {\n'"$(lines 79 | sed 's/^/  /')"$'\n  }\n};' 'more than 80 lines'
innocent layers/table.cpp $'const int table[] = {\n'"$(lines 90)"$'\n};'

missed=0
if report=$("$guard" "$tree"); then
  echo "the guard passes a tree full of offences"
  missed=1
fi
for line in "${expected[@]}"; do
  grep -q "$line" <<<"$report" || { echo "not seen: $line"; missed=1; }
done
for file in "${innocents[@]}"; do
  if grep "^$file:" <<<"$report"; then
    echo "wrongly reported: $file"
    missed=1
  fi
done
((missed == 0)) || { echo "reported: $report"; exit 1; }
