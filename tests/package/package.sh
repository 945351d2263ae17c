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

# A project may have headers of its own under the names of ours: searched before Ebb's they must not hide them, and behind them they must
# be found.
while read -r header; do
  mkdir -p "$scratch/own/$(dirname "$header")"
  echo "inline int own_header() { return 0; }" >"$scratch/own/$header"
done < <(cd "$prefix/include/ebb" && find . -name '*.h')
cat >"$scratch/examples/own_headers.cpp" <<'END'
#include <ebb/ebb.h>

#include "core/tensor.h"

int main() { return ebb::Tensor::zeros({2}).size() == 2 ? own_header() : 1; }
END
cat >>"$scratch/examples/CMakeLists.txt" <<'END'
add_executable(own_headers own_headers.cpp)
target_link_libraries(own_headers PRIVATE ebb::ebb)
END

# build FLAGS PROGRAM...: into $scratch/build
build_cmake() {
  cmake -S "$scratch/examples" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_FLAGS="$1" -DCMAKE_BUILD_TYPE=Release
  cmake --build "$scratch/build" --target "${@:2}"
}
build_pkg-config() {
  mkdir -p "$scratch/build"
  for program in "${@:2}"; do
    modules=ebb
    [[ $program == eigen_* ]] && modules="ebb eigen3"
    # shellcheck disable=SC2046,SC2086
    "$cxx" -std=c++20 -O2 $1 "$scratch/examples/$program.cpp" -o "$scratch/build/$program" $(pkg-config --cflags --libs $modules)
  done
}
if [[ $how == pkg-config ]]; then
  command -v pkg-config >/dev/null || { echo "pkg-config is not installed"; exit 77; }
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ebb.pc)")
  export PKG_CONFIG_PATH
fi
"build_$how" "$flags -idirafter $scratch/own" own_headers
mapfile -t programs < <(basename -s .cpp "$scratch"/examples/*.cpp)
[[ $how == cmake ]] || programs=(hello_ebb eigen_op)  # the flags are the same for all
"build_$how" "$flags -I$scratch/own" "${programs[@]}"

# A program that reads no data set asks for no library that reads them.
if [[ $how == cmake ]]; then
  mkdir "$scratch/products"
  cp "$scratch/examples/own_op.cpp" "$scratch/products"
  cat >"$scratch/products/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(products LANGUAGES CXX)
find_package(ebb 0.1 REQUIRED COMPONENTS training)
add_executable(own_op own_op.cpp)
target_link_libraries(own_op PRIVATE ebb::ebb)
END
  without=()
  for package in JPEG PNG ZLIB LibLZMA; do without+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done
  configure=(cmake -S "$scratch/products" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$flags" "${without[@]}")
  "${configure[@]}" -B "$scratch/products/build"
  cmake --build "$scratch/products/build"
  "$scratch/products/build/own_op"
  sed -i 's/ COMPONENTS training//' "$scratch/products/CMakeLists.txt"  # with the readers it needs them
  if "${configure[@]}" -B "$scratch/products/all" >"$scratch/products/log" 2>&1; then
    echo "find_package(ebb) was satisfied without a JPEG library"
    exit 1
  fi
fi
for file in LICENSE README.md docs/NUMERICS.md docs/EXTENDING.md docs/YOUR_OWN_LOOP.md docs/YOUR_OWN_OP.md; do
  [[ -n $(find "$prefix/share/doc" -path "*/$file") ]] || { echo "$file is not installed"; exit 1; }
done

for program in "${programs[@]}"; do
  arguments=()
  [[ $program == own_family ]] && arguments=(--arch deep --blocks 3 --iterations 20 --batch 32 --quiet --json)
  echo "== $program ${arguments[*]}"
  "$scratch/build/$program" "${arguments[@]}"
done
