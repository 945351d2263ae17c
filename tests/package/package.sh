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
    -DCMAKE_CXX_FLAGS="$1 -O1"
  cmake --build "$scratch/build" --target "${@:2}"
}
build_pkg-config() {
  mkdir -p "$scratch/build"
  for program in "${@:2}"; do
    modules=ebb
    [[ $program == eigen_* ]] && modules="ebb eigen3"
    # shellcheck disable=SC2046,SC2086
    "$cxx" -std=c++20 -O2 -Wall -Wextra -Werror $1 "$scratch/examples/$program.cpp" -o "$scratch/build/$program" $(pkg-config --cflags --libs $modules)
  done
}
if [[ $how == pkg-config ]]; then
  command -v pkg-config >/dev/null || { echo "pkg-config is not installed"; exit 77; }
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ebb.pc)")
  export PKG_CONFIG_PATH
fi
# Not in CMAKE_CXX_FLAGS, with which CMake also compiles its own questions.
sed -i "/^find_package(ebb/a add_compile_options(-Wall -Wextra -Werror)" "$scratch/examples/CMakeLists.txt"
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
add_compile_options(-Wall -Wextra -Werror)
add_executable(own_op own_op.cpp)
target_link_libraries(own_op PRIVATE ebb::ebb)
END
  without=()
  for package in JPEG PNG pugixml ZLIB LibLZMA; do without+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done
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
# No compiler and no standard that users may have warns of anything in the headers, nor in code that leaves members of ours out.
cat >"$scratch/warnings.cpp" <<'END'
#include <ebb/ebb.h>
#include <ebb/train/options/precision.h>

int main() {
  using namespace ebb;
  const BatchOptions options{.batch = 8};
  const ImageSet images{.name = "own", .classes = 2};
  const DataSet data{.name = "own", .train = images};
  const Batch batch{.labels = {1}};
  const SiteFormats formats{.weight = Format::integer(4)};
  const OptimizerRule rule{.name = "own"};
  const train::Split split{.name = "test", .pieces = 1};
  const ControllerRule controller{.name = "own"};
  const PrecisionPlan::Rule first{.pattern = "first"};
  const train::OptionSpec option{.name = "own"};
  const train::Arch arch{.name = "own", .optimizer = "adam"};
  const train::Preset preset{.name = "own", .options = {{"epochs", "1"}}};
  const train::Program program{.name = "own", .archs = {arch}};
  const train::Precision precision{.bits_text = "8"};
  [[maybe_unused]] const train::Task task{.splits = {split}, .unit = "one image"};
  return options.batch == 8 && data.train.classes == 2 && batch.size() == 1 && formats.gradient.is_fp32() && rule.name == "own" &&
                 controller.observe == nullptr && first.numerics.weight.format.is_fp32() && option.value.empty() && preset.summary.empty() &&
                 program.archs.size() == 1 && precision.warnings.empty()
             ? 0
             : 1;
}
END
if [[ $how == cmake ]]; then
  for compiler in "$cxx -std=c++20" "$cxx -std=c++2b" "clang++ -std=c++2b"; do
    command -v "${compiler%% *}" >/dev/null || continue
    # shellcheck disable=SC2086
    $compiler -fsyntax-only -Wall -Wextra -Wconversion -Wshadow -Werror -I"$prefix/include" "$scratch/warnings.cpp"
  done
fi
for file in LICENSE README.md docs/NUMERICS.md docs/EXTENDING.md docs/YOUR_OWN_LOOP.md docs/YOUR_OWN_OP.md; do
  [[ -n $(find "$prefix/share/doc" -path "*/$file") ]] || { echo "$file is not installed"; exit 1; }
done

for program in "${programs[@]}"; do
  [[ $program == replay_vectors ]] && continue  # tests/cli/vectors.sh has vectors for it
  arguments=()
  [[ $program == own_family ]] && arguments=(--arch deep --blocks 3 --iterations 20 --batch 32 --quiet --json --out none)
  echo "== $program ${arguments[*]}"
  "$scratch/build/$program" "${arguments[@]}"
done
