#!/usr/bin/env bash
# house.sh ROOT: what HOUSE's map and rules forbid and a text search can see. Prints "file:line: why" for each offence; 1 if any.
set -euo pipefail
cd "$1"

# Rooms, and the rooms whose headers each may include. A file is of the deepest room it lies in.
declare -A may
may[core]="core"
may[quant/formats]="quant/formats core"
may[quant]="quant ${may[quant/formats]}"
may[schedules]="schedules ${may[quant/formats]}"
may[layers]="layers ${may[quant]}"
may[optim]="optim ${may[quant/formats]}"
may[data]="data core"
may[train]="train optim data schedules ${may[layers]}"
may[train/options]="train/options ${may[train]}"
may[train/tasks]="train/tasks ${may[train/options]}"
may[train/app]="train/app ${may[train/tasks]}"
may[models]="models ${may[train/app]}"
may[tools/study]="tools/study ${may[train/app]}"
may[tools/report]="tools/report ${may[models]}"
may[tools]="tools tools/study tools/report ${may[models]}"
folders=(core quant schedules layers optim data train models tools)
library=(core quant schedules layers optim data train)
offences=$(mktemp)
trap 'rm -f "$offences"' EXIT

# sources PATTERN FOLDER...: the source files there that exist
sources() {
  local pattern=$1
  shift
  for folder in "$@"; do
    if [[ -d $folder ]]; then find "$folder" -type f -regextype posix-extended -regex "$pattern" | sort; fi
  done
}
# forbid WHY REGEX FILE...: every matching line outside // comments is an offence
forbid() {
  local why=$1 regex=$2
  shift 2
  if (($#)); then
    awk -v why="$why" -v regex="$regex" '{ code = $0; sub(/\/\/.*/, "", code); if (code ~ regex) print FILENAME ":" FNR ": " why ": " $0 }' "$@" >>"$offences"
  fi
}

mapfile -t files < <(sources '.*\.(h|cpp)' "${folders[@]}")
if ((${#files[@]})); then
  awk -v rooms="$(for room in "${!may[@]}"; do echo "$room: ${may[$room]}"; done)" '
    function room_of(path) {  # "" if it is in none
      while (sub(/\/[^\/]*$/, "", path)) if (path in allowed) return path
      return ""
    }
    BEGIN {
      n = split(rooms, lines, "\n")
      for (i = 1; i <= n; ++i) { split(lines[i], part, ": "); allowed[part[1]] = part[2] }
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
      split($0, quoted, "\""); own = room_of(FILENAME); other = room_of(quoted[2])
      if (other == "" || index(" " allowed[own] " ", " " other " ") == 0)
        print FILENAME ":" FNR ": " own " may include " allowed[own] ", not \"" quoted[2] "\""
    }' "${files[@]}" >>"$offences"
fi

mapfile -t headers < <(sources '.*\.h' "${folders[@]}" include)
mapfile -t others < <(printf '%s\n' "${headers[@]}" | grep -vx 'core/eigen\.h')  # the one for programs that have Eigen
forbid "core/eigen.h is for .cpp files: whoever includes a header would need Eigen" '#[ \t]*include[ \t]*["<](ebb/)?core/eigen[.]h' "${others[@]}"
forbid "third-party headers stay in .cpp files" '#[ \t]*include[ \t]*<(Eigen|unsupported/Eigen|nlohmann|toml[+][+]|CLI|doctest|openssl)/|#[ \t]*include[ \t]*<(zlib|lzma|jpeglib|png|omp)[.]h>' "${others[@]}"
forbid "intrinsics stay in kernels" '#[ \t]*include[ \t]*<(immintrin|arm_neon)[.]h>' $(printf '%s\n' "${headers[@]}" | grep -v '/kernels/')
if ((${#headers[@]})); then
  { grep -L '^#pragma once' "${headers[@]}" || true; } | sed 's/$/:1: a header begins with #pragma once/' >>"$offences"
fi

# So that every build proves the header complete; headers_alone.sh compiles those that have no such file.
mapfile -t files < <(sources '.*\.cpp' "${folders[@]}")
owners=()
for file in "${files[@]}"; do
  if [[ -f ${file%.cpp}.h ]]; then owners+=("$file"); fi
done
if ((${#owners[@]})); then
  awk '/^#include/ { own = FILENAME; sub(/[.]cpp$/, ".h", own)
                     if ($2 != "\"" own "\"") print FILENAME ":" FNR ": includes its own header first, not " $2
                     nextfile }' "${owners[@]}" >>"$offences"
fi

# Code compiled for one instruction set must not bring functions that the linker could pick for the whole program.
mapfile -t files < <(sources '.*/kernels/.*\.cpp' core quant layers optim)
mapfile -t reached < <(sources '.*/kernels/.*_(sse|avx|avx2|avx512|vnni|amx|neon|sve)[a-z0-9_]*\.(h|cpp)' core quant layers optim
                       grep -lw EBB_TARGET "${files[@]}" || true)
declare -A seen=()
while ((${#reached[@]})); do  # the kernel files and every header of ours that they reach
  file=${reached[0]}
  reached=("${reached[@]:1}")
  [[ -f $file && -z ${seen[$file]-} ]] || continue
  seen[$file]=1
  awk '/^[ \t]*#[ \t]*include[ \t]*</ && !/<(immintrin[.]h|arm_neon[.]h|arm_sve[.]h|cstdint|cstddef|climits)>/ {
         print FILENAME ":" FNR ": code for one instruction set sees no Eigen and no inline library code: " $0 }' "$file" >>"$offences"
  mapfile -t -O "${#reached[@]}" reached < <(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file")
done

mapfile -t code < <(sources '.*\.(h|cpp)' "${library[@]}")
# A parameter list that begins with a type, Pass, declares an op of that name.
forbid "libm differs between machines: use ebb::math" '(std::|[^a-z_:.A-Z0-9>])(exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|tanh|sinh|cosh|cbrt|erf|tgamma|lgamma)f?[(]([^P]|$)' \
  $(printf '%s\n' "${code[@]}" | grep -v '^core/math\.')
# run_main alone has the streams of the process.
forbid "the library never prints or exits" 'std::(cout|cerr|clog|printf|puts|exit|abort|quick_exit)|[^a-z_:]f?printf[(]|#[ \t]*include[ \t]*<iostream>' \
  $(printf '%s\n' "${code[@]}" | grep -vx 'train/app/run_main\.cpp')
forbid "randomness comes from Key" '#[ \t]*include[ \t]*<random>|std::random_device|[^a-z_]s?rand[(]' "${code[@]}"
forbid "std::hash and unordered order differ between libraries" 'std::hash|std::unordered_(map|set)' "${code[@]}"
forbid "no thread-local state" 'thread_local' "${code[@]}"

mapfile -t all < <(sources '.*\.(h|cpp|cmake|sh)' "${folders[@]}" include tests bench examples cmake)
if ((${#all[@]})); then
  awk 'FNR == 501 { print FILENAME ":501: more than 500 lines; 500 is the limit, 400 a smell" }' "${all[@]}" >>"$offences"
fi

# By the layout that clang-format gives: a function ends with a lone } as far in as its first line, 0 or 2 columns. The cases of
# tests are mostly tables and may be longer.
mapfile -t code < <(sources '.*\.(h|cpp)' "${folders[@]}" include bench examples)
if ((${#code[@]})); then
  awk 'FNR == 1 { first[0] = first[2] = 1 }
       { text = $0; sub(/^ */, "", text); indent = length($0) - length(text) }
       indent > 2 || text == "" || text ~ /^(#|\/\/)/ { next }
       text != "}" { if (text !~ /^[})]/) first[indent] = FNR; next }
       FNR - first[indent] >= 80 { print FILENAME ":" first[indent] ": a function of more than 80 lines" }' "${code[@]}" >>"$offences"
fi

if [[ -s $offences ]]; then
  cat "$offences"
  exit 1
fi
echo "${#all[@]} files keep to the house rules"
