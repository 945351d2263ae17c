#!/usr/bin/env bash
# package.sh cmake|pkg-config SOURCE BUILD CXX [SANITIZERS]: every example builds against the installed library alone, and runs.
set -euo pipefail
how=$1 source=$2 build=$3 cxx=$4 sanitize=${5:-}
flags=${sanitize:+-fsanitize=$sanitize}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/first" >"$scratch/install.log"
mv "$scratch/first" "$scratch/moved"  # nothing installed may remember where it was put
prefix=$scratch/moved
if leaks=$(grep -rlI -e "$source" -e "$scratch/first" "$prefix"); then
  echo "installed files name the source, build or first install folder:" $leaks
  exit 1
fi
cp -r "$source/examples" "$scratch/examples"  # out of reach of the source tree's headers

case $how in
  cmake)
    cmake -S "$scratch/examples" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_BUILD_TYPE=Release
    cmake --build "$scratch/build"
    ;;
  pkg-config)
    command -v pkg-config >/dev/null || { echo "pkg-config is not installed"; exit 77; }
    export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ebb.pc)")
    mkdir "$scratch/build"
    for program in "$scratch"/examples/*.cpp; do
      # shellcheck disable=SC2046
      "$cxx" -std=c++20 -O2 $flags "$program" -o "$scratch/build/$(basename "$program" .cpp)" $(pkg-config --cflags --libs ebb)
    done
    ;;
esac
for program in "$scratch"/examples/*.cpp; do
  echo "== $(basename "$program" .cpp)"
  "$scratch/build/$(basename "$program" .cpp)"
done
