#!/usr/bin/env bash
# language.sh PROGRAM EBB: what ebb-cnn's scripts hold against images, held against a language model: one hash for one configuration, also
# after kill -9 and --resume; a dry run that predicts the ledger; JSON; wrong options and texts.
source "$(dirname "$0")/lib.sh" "$@"
program=$cnn
name=$(basename "$program")
# Pinned as in determinism.sh.
declare -A golden=(
  [ebb-transformer,int]=bda0073191f45ce9da07f1ca04e5e1f371f1f955b823477a815851e2ca2b6e44
  [ebb-transformer,fp32]=778cde5997ba47dfef39f21e06e263a2ab58d125d435344b0ea8b71416686b41
  [ebb-lstm,int]=daea9a04ad9101caf72f17ae4d7b9af032a0a431e36d2865e31fe6f8ba3e9a39
  [ebb-lstm,fp32]=2586c2f507027f510c1b48d09be2700a44483b3ae3459d6fe68ab5cf6d993a23
)
declare -A small=(
  # Rows longer than a strip of causal attention.
  [ebb-transformer]="--layers 2 --width 24 --heads 2 --length 72 --batch 4 --positions rotary --activation swiglu --dropout 0.1"
  [ebb-lstm]="--arch char-lstm --units 24 --embedding 12 --layers 2 --length 16 --batch 8"
)
int="--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8"
fp32="--schedule fp32"

# shellcheck disable=SC2086
train() { "$program" ${small[$name]} --quiet --json --eval-every 100 "$@" </dev/null; }
hash() { train --out none "$@" 2>err.txt | field weights_sha256; }

for plan in int fp32; do
  # shellcheck disable=SC2086
  {
    first=$(hash ${!plan} --iterations 14 --threads 1 --simd scalar)
    same "$plan, pinned" "${golden[$name,$plan]}" "$first"
    same "$plan, 3 threads" "$first" "$(hash ${!plan} --iterations 14 --threads 3)"
    train ${!plan} --iterations 14 --save-every 5 --out "whole-$plan" >whole.json 2>err.txt || fault "$plan fails: $(<err.txt)"
    train ${!plan} --iterations 14 --dry-run >dry.json 2>err.txt || fault "$plan, dry run: $(<err.txt)"
  }
  same "$plan, bit_ops predicted and charged" "$(field bit_ops <dry.json)" "$(field bit_ops <whole.json)"
  same "$plan, with a directory" "$first" "$(field weights_sha256 <whole.json)"
done

# Killed at some step, resumed: the same weights, ledger and scores.
flags=(--iterations 400 --save-every 7)
# shellcheck disable=SC2086
train $int "${flags[@]}" --out whole >whole.json 2>err.txt || fault "the undisturbed run fails: $(<err.txt)"
# shellcheck disable=SC2086
"$program" ${small[$name]} --quiet --eval-every 100 $int "${flags[@]}" --out cut </dev/null >/dev/null 2>&1 &
pid=$!
for _ in $(seq 3000); do
  [[ -f cut/steps.jsonl ]] && (($(wc -l <cut/steps.jsonl) >= 100 + RANDOM % 100)) && break
  sleep 0.01
done
kill -9 $pid
wait $pid 2>/dev/null
(($? == 137)) || fault "the run ended before it was killed"
"$program" --quiet --json --out cut --resume </dev/null >cut.json 2>err.txt || fault "resuming fails: $(<err.txt)"
for member in weights_sha256 bit_ops iterations validation_bits_per_byte test_bits_per_byte train_loss; do
  same "$member after a kill" "$(field $member <whole.json)" "$(field $member <cut.json)"
done
"$program" --evaluate whole --json </dev/null >evaluated.json 2>err.txt || fault "--evaluate: $(<err.txt)"
same "a score of the run and of its checkpoint" "$(field test_bits_per_byte <whole.json)" "$(field test_bits_per_byte <evaluated.json)"
"$ebb" inspect whole </dev/null >inspect.txt 2>&1 && grep -q 'test bits_per_byte' inspect.txt || fault "ebb inspect: $(<inspect.txt)"

# A text from the checkpoint: the same for any machine, by seed; goes on alike wherever it is cut; nothing but text on stdout.
write() { "$program" --generate whole --quiet "$@" </dev/null; }
write --prompt "the " --tokens 40 >text.txt 2>err.txt || fault "--generate: $(<err.txt)"
[[ ! -s err.txt && $(wc -c <text.txt) == 45 && $(<text.txt) == "the "* ]] || fault "--generate wrote '$(<text.txt)' and '$(<err.txt)'"
same "a text, scalar and 3 threads" "$(<text.txt)" "$(write --prompt "the " --tokens 40 --simd scalar --threads 3)"
same "a text cut elsewhere" "$(<text.txt)" "$(write --prompt "$(head -c 20 text.txt)" --tokens 24)"
[[ $(<text.txt) != "$(write --prompt "the " --tokens 40 --seed 7)" ]] || fault "another seed gives the same text"
same "greedy texts of two seeds" "$(write --temperature 0 --seed 3)" "$(write --top-k 1 --seed 4)"
write --prompt "the " --tokens 40 --json --eval-bits fp32 >text.json || fault "--generate --json"
same "tokens in JSON" 44 "$(sed -n '/tokens"/,/]/p' text.json | grep -cE '^ +[0-9]+,?$')"
[[ $(field bit_ops <text.json) -gt 0 ]] || fault "writing costs nothing: $(<text.json)"
expect 2 'generate and --evaluate contradict' write --evaluate whole
expect 2 'generate and --out contradict' write --out other
expect 2 'prompt needs --generate RUN; add it' "$program" --prompt a
expect 2 'tokens: expected 1 to 1000000' write --tokens 0
expect 2 'temperature: expected 0, or 1e-30 to 1e30' write --temperature -1
expect 0 'iterations 9 has no effect here, where nothing is trained' "$program" --generate whole --iterations 9
expect 0 'batch 9 has no effect here' "$program" --generate whole --batch 9
expect 0 'batch 9 has no effect here' "$program" --evaluate whole --batch 9
expect 1 'prompt: byte 1 is 126, which the training text does not have' write --prompt 'a~'
expect 1 'the data are not those of the run' write --data "$0"
expect 1 none "$program" --generate none
expect 1 'from whole: it is a run of ebb-.*, which was trained on text' "$(dirname "$program")/ebb-mlp" --from whole --iterations 1

# Words, and what is wrong with a text.
mkdir words bad
printf 'the cat sees the dog\nthe dog sees\n%.0s' {1..60} | tee words/train.txt words/test.txt >words/valid.txt
# shellcheck disable=SC2086
"$program" ${small[$name]} --data words --iterations 3 --quiet --json --out spoken </dev/null >words.json 2>err.txt || fault "words: $(<err.txt)"
[[ -n $(field test_perplexity <words.json) ]] || fault "words have no perplexity: $(<words.json)"
# A text takes the run alone.
spoken=("$program" --generate spoken --prompt 'the cat' --tokens 5)
"${spoken[@]}" --data words </dev/null >text.txt 2>err.txt || fault "--generate with data: $(<err.txt)"
# A file is scored as a split of the same tokens is, without the data too.
cp words/valid.txt file.txt
expect 0 '' "$ebb" predict spoken words/valid.txt
mv words gone
same "a text without the data" "$(<text.txt)" "$("${spoken[@]}" --quiet </dev/null)"
cp out.txt before.txt
expect 0 '' "$ebb" predict spoken file.txt
same "a file scored without the data" "$(tail -1 before.txt | cut -f2-)" "$(tail -1 out.txt | cut -f2-)"
same "a file and the split that it is" "$(field validation_perplexity <words.json)" "$(tail -1 out.txt | cut -f4)"
same "columns of a text" $'file\ttokens\tloss\tperplexity' "$(head -1 out.txt)"
printf 'the' >short.txt
expect 0 '' "$ebb" predict spoken short.txt file.txt # a word and the end of its line
same "rows of two files" 3 "$(wc -l <out.txt)"
expect 1 'the training text does not have' "$ebb" predict whole "$0"
sed -i 3d spoken/vocabulary.txt
expect 1 'spoken/vocabulary.txt is no vocabulary, or not the whole of one' "${spoken[@]}"
# Byte pairs: any bytes, scored by the byte, whatever the tokens are; the learnt ones come again with the data.
# shellcheck disable=SC2086
"$program" ${small[$name]} --unit bpe --vocabulary 270 --iterations 3 --quiet --json --out pieces </dev/null >pieces.json 2>err.txt || fault "bpe: $(<err.txt)"
[[ -n $(field validation_bits_per_byte <pieces.json) ]] || fault "byte pairs have no bits per byte: $(<pieces.json)"
[[ $("$program" --generate pieces --quiet --prompt $'\xff~ the' --tokens 3 </dev/null) == $'\xff~ the'* ]] || fault "--generate with byte pairs"
expect 1 'vocabulary is .280. now and was .270.' "$program" --generate pieces --vocabulary 280
printf 'ok\n\xff\xfe\n' >bad/train.txt
printf 'ok\n' >bad/valid.txt
# shellcheck disable=SC2086
{
  expect 1 'line 2, byte 3 of the text is not UTF-8' "$program" ${small[$name]} --data bad
  expect 1 'no such file or folder' "$program" ${small[$name]} --data none
  expect 1 'too few' "$program" ${small[$name]} --data bad --unit byte
  expect 2 "unknown value 'words'; did you mean 'word'" "$program" --unit words
  expect 2 'length: expected 1 and more, got 0' "$program" --length 0
  expect 2 'dropout: expected a probability' "$program" --dropout 1
  expect 2 "did you mean '--vocabulary'" "$program" --vocabulry 5
  expect 2 'vocabulary has no effect where tokens are bytes' "$program" ${small[$name]} --vocabulary 300
  expect 2 'more than the 256 bytes, got 200' "$program" ${small[$name]} --unit bpe --vocabulary 200
}
finish
