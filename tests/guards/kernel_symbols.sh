#!/usr/bin/env bash
# kernel_symbols.sh OBJECT...: objects compiled for one instruction set define no weak (inline, template) function. The linker keeps one
# copy of such a function for the whole program, and would hand AVX code to machines without it.
set -euo pipefail
(($#)) || { echo "no objects given"; exit 1; }
weak=$(nm --defined-only --demangle --print-file-name "$@" | awk '$2 ~ /^[WVu]$/')
if [[ -n $weak ]]; then
  echo "weak symbols in kernel objects:"
  echo "$weak"
  exit 1
fi
