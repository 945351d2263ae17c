#!/usr/bin/env bash
# kernel_symbols.sh LIBRARY: objects compiled for one instruction set define no weak (inline, template) function. The linker keeps one
# copy of such a function for the whole program, and would hand AVX code to machines without it.
set -euo pipefail
weak=$(nm --defined-only --demangle "$1" 2>/dev/null | awk '
  /^[^ ]+:$/ { isa = $0 ~ /_(sse|avx|avx2|avx512|vnni|amx|neon|sve)[a-z0-9_]*\.cpp\.o:$/; object = $0 }
  isa && $2 ~ /^[WVu]$/ { print object, $0 }')
if [[ -n $weak ]]; then
  echo "weak symbols in kernel objects:"
  echo "$weak"
  exit 1
fi
