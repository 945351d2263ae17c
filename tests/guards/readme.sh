#!/usr/bin/env bash
# readme.sh ROOT: the program of a page is one of examples/, which the package tests run; lines that a
# page shows apart (```c++) are lines of that program; links of all pages lead to a file and a heading.
set -euo pipefail
cd "$1"
faults=0
fault() {
  echo "$*"
  faults=1
}
# code LANGUAGE PAGE: its blocks of code in that language
code() { awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } /^```/ { inside = 0 } inside' "$2"; }

while read -r page example; do
  diff <(code cpp "$page") "$example" || fault "$page shows another program than $example"
  program=$(tr -d '[:space:]' <"$example")
  while read -r line; do
    [[ $program == *"${line//[[:space:]]/}"* ]] || fault "$page shows a line that is not in $example: $line"
  done < <(code c++ "$page")
done <<'END'
README.md examples/perceptron.cpp
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
