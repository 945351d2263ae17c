#!/usr/bin/env bash
# Rules of --numerics and tables of --multiplier: recorded by content, the same bits after a resume, refused where they differ.
source "$(dirname "$0")/lib.sh" "$@"
example=$(dirname "$0")/../../examples/numerics.toml

# cut RUN FLAGS...: six steps of a run, the last three in a second process that is given nothing but the run
cut() {
  tiny --iterations 3 --lr-schedule 1 --bits 8 "${@:2}" --out "$1" >first.json 2>err.txt || fault "$1: $(<err.txt)"
  tiny --iterations 6 --out "$1" --resume >"$1.json" 2>err.txt || fault "$1, resumed: $(<err.txt)"
}
whole() { tiny --iterations 6 --lr-schedule 1 --bits 8 "$@" >whole.json 2>err.txt || fault "$*: $(<err.txt)"; }
hash() { field weights_sha256 <"$1"; }

# The worked example of docs/FORMATS.md, in a run that goes on without the file.
cp "$example" rules.toml
sed -i 's/@50%/@3up/' rules.toml # schedules of a share of the run would make the longer one another
cut rules --numerics rules.toml
whole --numerics rules.toml
same "resumed without the file" "$(hash whole.json)" "$(hash rules.json)"
grep -q '"numerics": "rule = \[{pattern' rules/config.json || fault "config.json has no rules: $(<rules/config.json)"
expect 0 '' "$ebb" inspect rules
grep -q 'numerics' out.txt || fault "inspect shows no rules: $(<out.txt)"
sed -i 's/mxfp4/mxfp6/' rules.toml
expect 1 'numerics is .* which would change its results' "$cnn" --resume --out rules --numerics rules.toml --iterations 9

printf '[[rule]]\npattern = "f*"\nrole = "gradient"\nproduct = "grad_right"\nformat = "int12"\n' >split.toml
expect 0 '' "$cnn" --bits 8 --numerics split.toml --dry-run
grep -Eq '^fc1 .*int8, grad_right int12' out.txt || fault "no format by product: $(<out.txt)"
expect 0 '' "$cnn" --bits 8 --numerics split.toml --dry-run --json
grep -q '"gradient_grad_right": "int12"' out.txt || fault "no format by product in JSON: $(<out.txt)"
printf '[[rule]]\npattern = "fc9"\nformat = "int4"\n' >split.toml
expect 2 "unknown site 'fc9'; did you mean 'fc" "$cnn" --bits 8 --numerics split.toml --dry-run
printf '[[rule]]\npattern = "fc1"\nfromat = "int4"\n' >split.toml
expect 2 'split.toml, line 3, column 10: fromat: unknown key' "$cnn" --bits 8 --numerics split.toml --dry-run
expect 1 'missing.toml' "$cnn" --bits 8 --numerics missing.toml --dry-run

# A table of the exact products, first unsigned, then in two's complement.
table() {
  perl -e 'my $s = shift; for my $i (0 .. 255) { for my $j (0 .. 255) {
    my ($a, $b) = map { $s && $_ > 127 ? $_ - 256 : $_ } ($i, $j); print pack("v", ($a * $b) & 65535) } }' "$1"
}
table 0 >unsigned.bin
table 1 >signed.bin
plain=(--iterations 6 --bits '8 @2up ; 5 @rest')
tiny "${plain[@]}" >plain.json
tiny "${plain[@]}" --multiplier unsigned.bin >unsigned.json 2>err.txt || fault "unsigned: $(<err.txt)"
tiny "${plain[@]}" --multiplier signed.bin --multiplier-signed >signed.json 2>err.txt || fault "signed: $(<err.txt)"
same "the exact table, unsigned" "$(hash plain.json)" "$(hash unsigned.json)"
same "the exact table, signed" "$(hash plain.json)" "$(hash signed.json)"
{ head -c 100000 unsigned.bin; zeros 31072; } >other.bin
tiny "${plain[@]}" --multiplier other.bin >other.json 2>err.txt || fault "other: $(<err.txt)"
[[ $(hash plain.json) != "$(hash other.json)" ]] || fault "another table changes nothing"
cut table --multiplier other.bin
whole --multiplier other.bin
same "resumed with the table" "$(hash whole.json)" "$(hash table.json)"
mv other.bin moved.bin
expect 1 'other.bin' "$cnn" --resume --out table --iterations 9
expect 1 'the multiplier is not that of the run: .* check --multiplier' "$cnn" --resume --out table --iterations 9 --multiplier unsigned.bin
expect 0 '' "$cnn" --resume --out table --iterations 9 --multiplier moved.bin
expect 0 '' "$cnn" --evaluate table --multiplier none
head -c 131071 moved.bin >short.bin
expect 1 'short.bin: a table of 256 x 256 products of 16 bits has 131072 bytes, got 131071' "$cnn" --bits 8 --multiplier short.bin --out none
expect 2 'a table multiplies codes of int1 .. int8, not e4m3 by e4m3' "$cnn" --bits e4m3 --multiplier moved.bin --out none
expect 2 'needs --multiplier' "$cnn" --bits 8 --multiplier-signed --out none
expect 2 'simulate multiplies in float32' "$cnn" --bits 8 --simulate --multiplier moved.bin --out none
expect 2 'multiplier has no effect' "$cnn" --schedule fp32 --multiplier moved.bin --out none
finish
