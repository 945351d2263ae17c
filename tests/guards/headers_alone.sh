#!/usr/bin/env bash
# headers_alone.sh ROOT CXX EIGEN: public headers without a .cpp of their own, which would include them first, compile by themselves.
set -euo pipefail
cd "$1"
compiler=$2 eigen=$3  # where core/eigen.h finds it
mapfile -t headers < <(find core data include layers models optim quant schedules tools train -name '*.h' -not -path '*/kernels/*' | sort)
alone=()
for header in "${headers[@]}"; do
  [[ -f ${header%.h}.cpp ]] || alone+=("$header")
done
((${#alone[@]})) || { echo "found no headers"; exit 1; }
printf '%s\n' "${alone[@]}" | xargs -P 2 -I{} "$compiler" -std=c++20 -fopenmp -fsyntax-only -I . -I include -isystem "$eigen" -include {} -x c++ /dev/null
echo "${#alone[@]} of ${#headers[@]} headers compiled alone"
