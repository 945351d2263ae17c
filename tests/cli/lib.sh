# Sourced by the scripts beside it. $cnn and $ebb are the executables; $scratch is a folder of the script's own, the working directory.
set -uo pipefail
cnn=$1 ebb=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
faults=0

fault() {
  printf 'FAULT: %s\n' "$*"
  faults=$((faults + 1))
}
finish() {
  ((faults == 0)) && echo "all as agreed"
  exit $((faults > 0))
}

# expect CODE REGEX COMMAND...: the exit code, and a message on stderr unless REGEX is empty (stdin is empty)
expect() {
  local code=$1 regex=$2 got
  shift 2
  "$@" </dev/null >out.txt 2>err.txt
  got=$?
  ((got == code)) || fault "exit $got instead of $code: ${*##*/} -- $(tail -3 err.txt)"
  [[ -z $regex ]] || grep -Eq -- "$regex" err.txt || fault "stderr lacks /$regex/: ${*##*/} -- $(tail -3 err.txt)"
}

# tiny FLAGS...: a training run of seconds whose JSON goes to stdout, saved only where --out says; later flags win nothing, so give
# each once
tiny() {
  local unsaved=(--out none)
  [[ " $* " == *" --out "* ]] && unsaved=()
  "$cnn" --arch lenet5 --data synthetic --batch 32 --quiet --json "${unsaved[@]}" "$@" </dev/null
}

# field NAME < JSON: the value of a top-level member, without quotes
field() { sed -nE 's/.*"'"$1"'": *("([^"]*)"|([^,}" ]+)).*/\2\3/p' | head -1; }

# same NAME A B: they agree and are not empty
same() { [[ -n $2 && $2 == "$3" ]] || fault "$1: '$2' and '$3'"; }

# be32 N...: big-endian 32-bit words
be32() {
  for n in "$@"; do
    # shellcheck disable=SC2059
    printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
  done
}
# idx TYPE EXTENT...: an IDX header; TYPE in hex (08 unsigned byte, 0d float)
idx() {
  # shellcheck disable=SC2059
  printf "\\x00\\x00\\x$1\\x$(printf %02x $(($# - 1)))"
  be32 "${@:2}"
}
zeros() { head -c "$1" /dev/zero; }
pixels() { yes 'some ink' | head -c "$1"; }
# mnist DIR: 20 training and 10 test images of 28 x 28, all of class 0 but one of class 9
mnist() {
  mkdir -p "$1"
  { idx 08 20 28 28; pixels $((20 * 784)); } >"$1/train-images-idx3-ubyte"
  { idx 08 20; zeros 19; printf '\x09'; } >"$1/train-labels-idx1-ubyte"
  { idx 08 10 28 28; pixels $((10 * 784)); } >"$1/t10k-images-idx3-ubyte"
  { idx 08 10; zeros 9; printf '\x09'; } >"$1/t10k-labels-idx1-ubyte"
}
