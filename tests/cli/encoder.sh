#!/usr/bin/env bash
# encoder.sh PROGRAM EBB: what language.sh holds against language models, held against classifiers of sentence pairs.
source "$(dirname "$0")/lib.sh" "$@"
program=$cnn
# Pinned as in determinism.sh.
declare -A golden=(
  [classify,int]=d95016a1a44f53fc4dff147cf33748730af3f18e66f28ea279012348cea3de05
  [classify,fp32]=0b4cd43957a7d984eae9a226ff38b717c50e8eb0a1551d8b364701a13136d203
  [masked,int]=d2472f5e9d112520d625c223cff2a39e50d5939c40ef91080a275a1f820752c6
  [masked,fp32]=a6002d7390a305ae61f939933b6ab5ba2128a31d560519a1e51be4771997f630
)
small=(--arch encoder --layers 2 --width 24 --heads 2 --length 24 --batch 8 --dropout 0.1)
int=(--schedule CR --cycles 2 --min-bits 3 --max-bits 8 --gradient-bits 8)
fp32=(--schedule fp32)

# Pairs of many lengths.
mkdir pairs
for part in train test; do
  {
    printf 'premise\thypo\tlabel\n'
    for i in $(seq 40); do
      words=$(yes 'a b' | head -n $((i % 13 + 1)) | tr '\n' ' ')
      printf '%s\tb%s a\t%s\n' "$words" "$((i % 5))" "$(cut -d' ' -f$((i % 3 + 1)) <<<'neutral entailment contradictory')"
    done
    printf 'no label\tat all\t-\n'
  } >pairs/$part.tsv
done

train() { "$program" "${small[@]}" --data pairs --quiet --json --eval-every 100 "$@" </dev/null; }
hash() { train --out none "$@" 2>err.txt | field weights_sha256; }

for task in classify masked; do
  for plan in int fp32; do
    declare -n flags=$plan
    first=$(hash --task $task "${flags[@]}" --iterations 14 --threads 1 --simd scalar)
    same "$task, $plan, pinned" "${golden[$task,$plan]}" "$first"
    same "$task, $plan, 3 threads" "$first" "$(hash --task $task "${flags[@]}" --iterations 14 --threads 3)"
    train --task $task "${flags[@]}" --iterations 14 --save-every 5 --out "$task-$plan" >whole.json 2>err.txt || fault "$task, $plan fails: $(<err.txt)"
    [[ $plan == int ]] && cp whole.json "$task.json"
    train --task $task "${flags[@]}" --iterations 14 --dry-run >dry.json 2>err.txt || fault "$task, $plan, dry run: $(<err.txt)"
    same "$task, $plan, bit_ops predicted and charged" "$(field bit_ops <dry.json)" "$(field bit_ops <whole.json)"
    same "$task, $plan, with a directory" "$first" "$(field weights_sha256 <whole.json)"
  done
  metric=$([[ $task == masked ]] && echo test_perplexity || echo test_accuracy)

  # Killed at some step, resumed: the same weights, ledger and scores.
  run=(--task $task "${int[@]}" --iterations 400 --save-every 7)
  train "${run[@]}" --out "$task-whole" >whole.json 2>err.txt || fault "the undisturbed run fails: $(<err.txt)"
  "$program" "${small[@]}" --data pairs --quiet --eval-every 100 "${run[@]}" --out "$task-cut" </dev/null >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 3000); do
    [[ -f $task-cut/steps.jsonl ]] && (($(wc -l <"$task-cut/steps.jsonl") >= 100 + RANDOM % 100)) && break
    sleep 0.01
  done
  kill -9 $pid
  wait $pid 2>/dev/null
  (($? == 137)) || fault "the run ended before it was killed"
  "$program" --quiet --json --out "$task-cut" --resume </dev/null >cut.json 2>err.txt || fault "resuming fails: $(<err.txt)"
  for member in weights_sha256 bit_ops iterations "$metric" train_loss; do
    same "$task, $member after a kill" "$(field "$member" <whole.json)" "$(field "$member" <cut.json)"
  done
  "$program" --evaluate "$task-whole" --json </dev/null >evaluated.json 2>err.txt || fault "--evaluate: $(<err.txt)"
  same "$task, a score of the run and of its checkpoint" "$(field "$metric" <whole.json)" "$(field "$metric" <evaluated.json)"
done
same "the majority class" 0.35 "$(train --schedule fp32 --iterations 1 --out none 2>/dev/null | field test_majority_accuracy)"
grep -q '2 rows without a label left out' classify-whole/config.json || fault "rows without a label are not counted"

# Files are labelled as the run's own pairs are: the share of right labels is the score.
expect 0 '' "$ebb" predict classify-int pairs/test.tsv
right=$(paste <(sed -n '2,41s/contradictory/contradiction/p; 2,41!d; /contradiction/!p' pairs/test.tsv | cut -f3) <(sed -n 2,41p out.txt | cut -f3) | awk '$1 == $2' | wc -l)
same "labels of a file" "$(awk "BEGIN { print $right / 40 }")" "$(field test_accuracy <classify.json)"
printf 'a b\ta\n\na\tb b\n' >bare.tsv
expect 0 '' "$ebb" predict classify-int bare.tsv
same "rows of pairs without labels" 3 "$(wc -l <out.txt)"
printf 'a b\ta\nb\n' >bare.tsv
expect 1 "line 2: expected two sentences with a tab between them, got 'b'" "$ebb" predict classify-int bare.tsv
expect 2 'masked of this run labels nothing' "$ebb" predict masked-int bare.tsv

# What hidden words taught serves labels; the run that goes on needs it no more.
fine=(--task classify "${int[@]}" --iterations 14)
train "${fine[@]}" --from masked-int --out fine >fine.json 2>err.txt || fault "--from: $(<err.txt)"
[[ $(field weights_sha256 <fine.json) != "$(hash --task classify "${int[@]}" --iterations 14)" ]] || fault "--from changes nothing"
"$program" "${small[@]}" --data pairs "${fine[@]}" --from masked-int --dry-run </dev/null 2>&1 >/dev/null | grep -q 'tensors from masked-int; new: pooler.weight, pooler.bias, pooler.input_range, classifier.weight, ' || fault "--from does not say what it took"
grep -q "\"from\": \"${golden[masked,int]}\"" fine/config.json || fault "the record does not say which weights a run began with"
mv masked-int moved
same "resumed without the run it began from" "$(field weights_sha256 <fine.json)" "$("$program" --quiet --json --out fine --resume </dev/null | field weights_sha256)"
expect 1 'masked-int' train "${fine[@]}" --from masked-int
mkdir other
sed 's/b a/b c/' pairs/train.tsv >other/train.tsv
cp pairs/test.tsv other
expect 1 'its tokens are not those of these data' "$program" "${small[@]}" --data other "${fine[@]}" --from moved
expect 1 'no parameter has name and shape' "$program" "${small[@]/24/26}" --data pairs "${fine[@]}" --from moved

# BERT base, as the papers' costs count it.
"$program" --preset cpt-xnli --data pairs --dry-run </dev/null >bert.txt 2>doubts.txt || fault "the preset: $(<doubts.txt)"
grep -Eq 'one example +11,174,217,984 ' bert.txt || fault "the MACs of BERT base: $(grep 'one example' bert.txt)"
grep -q 'block11.attention.qk' bert.txt && grep -q 'uncertain: ' doubts.txt || fault "the preset names no sites or no doubts"

# Recipes are formats: they go with any network, and what they cost is predicted across the switch of one.
for recipe in bf16 fp8-hybrid fp4-paper; do
  train --preset $recipe --iterations 14 --dry-run >dry.json 2>err.txt || fault "$recipe, dry run: $(<err.txt)"
  train --preset $recipe --iterations 14 --out "$recipe" >whole.json 2>err.txt || fault "$recipe fails: $(<err.txt)"
  same "$recipe, cost" "$(field relative_cost <dry.json)" "$(field relative_cost <whole.json)"
done
grep -q 'bf16 @rest' fp4-paper/config.json || fault "a run does not record the rules of its preset"

mkdir ragged
printf 'premise\thypo\tlabel\na\tneutral\n' | tee ragged/train.tsv >ragged/test.tsv
expect 1 'train.tsv line 2: expected 3 fields between tabs' "$program" --arch encoder --data ragged
expect 1 'no such folder' "$program" --arch encoder --data none
for without_effect in '--task masked' '--task classify' --hypothesis-only '--language de'; do
  # shellcheck disable=SC2086
  expect 2 "${without_effect%% *} has no effect with --arch decoder, only with --arch encoder; leave it out" "$program" $without_effect
done
expect 2 'tied has no effect with --arch encoder, only with --arch decoder' "$program" --arch encoder --tied
expect 2 'language has no effect on these data' "$program" --arch encoder --data pairs --language de
expect 2 'are words, got byte' "$program" --arch encoder --unit byte
expect 2 'expected 5 and more' "$program" --arch encoder --length 4
finish
