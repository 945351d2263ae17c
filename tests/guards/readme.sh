#!/usr/bin/env bash
# readme.sh ROOT: the program of a page (```cpp) is one of examples/, which the package tests run; lines
# that a page shows apart (```c++) are lines of its examples; links of all pages lead to a file and a heading.
set -euo pipefail
cd "$1"
faults=0
fault() {
  echo "$*"
  faults=1
}
# code LANGUAGE PAGE: its blocks of code in that language
code() { awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } /^```/ { inside = 0 } inside' "$2"; }

while read -r page examples; do
  read -ra files <<<"$examples"
  if [[ -n $(code cpp "$page") ]]; then
    diff <(code cpp "$page") "${files[0]}" || fault "$page shows another program than ${files[0]}"
  fi
  program=$(cat "${files[@]}" | tr -d '[:space:]')
  while read -r line; do
    [[ $program == *"${line//[[:space:]]/}"* ]] || fault "$page shows a line that is not in $examples: $line"
  done < <(code c++ "$page")
done <<'END'
README.md examples/perceptron.cpp
docs/EXTENDING.md examples/own_format.cpp examples/own_layer.cpp examples/own_family.cpp examples/own_reader.cpp examples/own_optimizer.cpp
docs/YOUR_OWN_LOOP.md examples/own_loop.cpp
docs/YOUR_OWN_OP.md examples/own_op.cpp
END

# anchors PAGE: its headings as links name them
anchors() { sed -nE 's/^#+ //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }
for page in *.md docs/*.md; do
  while read -r link; do
    target=$(dirname "$page")/${link%%#*}
    [[ $link == "#"* ]] && target=$page
    if [[ ! -e $target ]]; then
      fault "$page links to $link, which does not exist"
    elif [[ $link == *"#"* ]] && ! grep -qxF -e "${link#*#}" <(anchors "$target"); then
      fault "$page links to $link, but $target has no such heading"
    fi
  done < <(sed '/^```/,/^```/d; /^    /d; s/`[^`]*`//g' "$page" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//' | grep -vE '^https?:' || true)
done
exit "$faults"
