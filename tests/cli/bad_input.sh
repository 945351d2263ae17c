#!/usr/bin/env bash
# A wrong command line exits 2, anything else that stops a run exits 1, each with a message that names the remedy.
source "$(dirname "$0")/lib.sh" "$@"
run=("$cnn" --arch lenet5 --data synthetic --iterations 2 --quiet)

expect 2 'unknown.*--itrations.*--iterations' "$cnn" --itrations 5
expect 2 'min-bits 9.*max-bits 8|9.*8' "${run[@]}" --out a --schedule CR --min-bits 9 --max-bits 8
expect 2 'max-bits|bits' "${run[@]}" --out a --schedule static --max-bits 17
for name in out evaluate from bits; do expect 2 "$name: expected .*, got ''" "${run[@]}" --$name ''; done
expect 2 'cycles' "${run[@]}" --out a --schedule CR --cycles 0
expect 2 'batch' "${run[@]}" --out a --batch 0
expect 2 'batch' "${run[@]}" --out a --batch many
expect 2 'iterations' "$cnn" --arch lenet5 --data synthetic --out a --iterations -5
expect 2 'iterations.*epochs|epochs.*iterations' "${run[@]}" --out a --epochs 1
expect 2 'schedule.*bits|bits.*schedule' "${run[@]}" --out a --schedule CR --bits 'round(3->8 : cycle(8) cos)'
expect 2 'validation' "${run[@]}" --out a --validation 1.5
expect 2 "unknown .*'lenet6'.*lenet5" "$cnn" --arch lenet6 --data synthetic --iterations 2 --out a
expect 2 "unknown .*'CX'.*CR" "${run[@]}" --out a --schedule CX
expect 2 "unknown .*'adan'.*adam" "${run[@]}" --out a --optimizer adan
expect 2 "unknown .*'afine'.*affine" "${run[@]}" --out a --grid afine
expect 2 "unknown .*'avx3'.*avx2" "${run[@]}" --out a --simd avx3
expect 2 "accumulator.*wrop16" "${run[@]}" --out a --accumulator wrop16
expect 2 "conv9.*conv" "${run[@]}" --out a --keep-fp32 conv9
expect 2 '\^' "${run[@]}" --out a --bits 'round(3->8 : cycle(8 cos)' --max-bits 8
expect 2 "unknown name in group.*'conv9'.*'conv1'" "${run[@]}" --out a --bits 'group{conv9: 8, *: 4}'
expect 2 "unknown name in group.*'baias'" "${run[@]}" --out a --lr-schedule 'group{baias: 0, *: 1}'
expect 2 'gradient-bits has no effect with' "${run[@]}" --out a --bits 'group{gradient: 6, *: 4}' --gradient-bits 8
expect 2 "unknown word 'fp33'" "${run[@]}" --out a --bits fp33
expect 2 'eval-bits.*current' "${run[@]}" --out a --eval-bits now
expect 2 "cosine|cos" "${run[@]}" --out a --bits 'round(3->8 : cycle(8) cot)' --max-bits 8
expect 2 '\^' "${run[@]}" --out a --lr-schedule '1->0 : : rex'
expect 2 '\^' "$ebb" schedule --expr '1->0 rex rex' --iterations 10
expect 2 "unknown .*'CX'" "$ebb" schedule --name CX --iterations 10 --min-bits 3 --max-bits 8
expect 2 "int44" "$ebb" quantize --format int44 --grid affine --rounding nearest-even
expect 2 "unknown .*'nearest'.*nearest-even" "$ebb" quantize --format int4 --grid affine --rounding nearest
expect 2 "gradient-bits from 1 to 16 or fp32, got '0'" "$ebb" schedule --name CR --iterations 10 --summary --gradient-bits 0
expect 2 "unknown option '--itrations'; did you mean '--iterations'" "$ebb" schedule --name CR --itrations 10
expect 2 "unknown option '--vresion'" "$ebb" --vresion
expect 2 "unexpected argument 'CR'" "$ebb" schedule --iterations 10 CR
expect 2 "unknown command 'shedule'; did you mean 'schedule'" "$ebb" shedule
expect 0 '' "$ebb"
grep -q 'inspect' out.txt || fault "ebb alone does not show its commands: $(<out.txt)"
expect 2 'iterations is required' "$ebb" schedule --name CR
expect 2 "unknown option '--gama'; did you mean '--gamma'" "$ebb" schedule bound --expr lin --iterations 9 --gama 1
expect 2 "step 3 is -" "$ebb" schedule bound --expr '1->-1:lin' --iterations 4
expect 1 "cannot open missing" "$ebb" schedule refine missing
expect 2 "unknown knob 'momentun'; did you mean 'momentum'" "${run[@]}" --out a --optimizer sgd --set momentun=0.9
expect 2 "has a controller, but bits are planned" "${run[@]}" --out a --bits 'round(8 * plateau(.5, 1))'
expect 2 "iterations: expected an integer, got '99999999999999999999'" "$ebb" schedule --name CR --iterations 99999999999999999999
expect 2 "seed: expected an integer, got '99999999999999999999'" "$ebb" quantize --format int4 --seed 99999999999999999999
expect 2 'resume needs --out RUN, .*runs/ebb-cnn-lenet5-CR-seed1' "$cnn" --resume
expect 2 'seed is given 2 times' "${run[@]}" --out a --seed 1 --seed 2
expect 2 'lr-schedule at iteration 1.*finite' "${run[@]}" --out a --lr-schedule 'sqrt(affine(update, -1, 0.5))'
expect 2 'cycles has no effect with --bits' "${run[@]}" --out a --bits 4 --cycles 2
expect 2 'min-bits has no effect with --schedule static' "${run[@]}" --out a --schedule static --min-bits 3
expect 2 'period has no effect with --schedule fp32' "${run[@]}" --out a --schedule fp32 --period floor
expect 2 'gradient-bits has no effect where every layer is float32' "${run[@]}" --out a --schedule fp32 --gradient-bits 4
expect 2 'accumulator has no effect where every product is float32' "${run[@]}" --out a --schedule fp32 --accumulator sat16
expect 2 'grid has no effect where every product is float32' "${run[@]}" --out a --bits 'fp32 @rest' --grid symmetric
expect 2 'accumulate: expected 1 to 16' "${run[@]}" --out a --accumulate 32 --batch 16
expect 2 'save-every has no effect with --evaluate' "$cnn" --evaluate a --save-every 2
expect 2 'momentum has no effect with --optimizer adamw' "${run[@]}" --out a --momentum 0.5
expect 2 'image-size has no effect on images that all are .28, 28, 1.' "${run[@]}" --out a --image-size 32
expect 2 'cycles has no effect with --name static' "$ebb" schedule --name static --iterations 9 --cycles 2
expect 2 'gradient-bits has no effect without --summary' "$ebb" schedule --name CR --iterations 9 --gradient-bits 4
expect 2 'seed has no effect with --rounding nearest-even' "$ebb" quantize --format int4 --seed 3
expect 2 'vocabulary has no effect where tokens are bytes' "$ebb" ngram --vocabulary 300
expect 2 "unknown format 'int08'" "$ebb" quantize --format int08
expect 2 "unknown option 'bais'; did you mean 'bias'" "${run[@]}" --out a --bits 'e4m3(bais=11) @rest'
expect 2 'bits at iteration 0.*e8m0 is a format of scales' "${run[@]}" --out a --bits e8m0
expect 2 'activation-format at iteration 0.*e8m0 is a format of scales' "${run[@]}" --out a --activation-format e8m0
expect 2 'weight-format.*block expects elements from 1 to 65535.*got .0' "${run[@]}" --out a --weight-format 'mxfp4(block=0)'
expect 2 "gradient-format.*unknown word 'mxpf4'; did you mean 'mxfp4'" "${run[@]}" --out a --gradient-format mxpf4
expect 2 "eval-bits.*unknown format 'mxpf4'; did you mean 'mxfp4'" "${run[@]}" --out a --eval-bits mxpf4
expect 2 '^ {14}\^' "$ebb" gemm --a x --b y --format 'mxfp4(block=0)' -o a
expect 2 'activation-format at iteration 0.*ue4m3 is a format of scales.*such scales: nvfp4' "${run[@]}" --out a --activation-format ue4m3
expect 2 'block expects elements from 1 to 65535.*got .0' "$ebb" quantize --format 'mxfp4(block=0)'
expect 2 'scale grid is of integer formats' "$ebb" quantize --format e4m3 --scale grid
expect 2 'rounding has no effect with --table' "$ebb" quantize --format e4m3 --table --rounding up
expect 2 "unknown accumulator 'sat08'" "${run[@]}" --out a --accumulator sat08
expect 2 'beta2 has no effect with --optimizer sgd, which has none' "${run[@]}" --out a --optimizer sgd --beta2 0.5
expect 2 'optimizer-formats has no effect with --optimizer adamw, .* such as collage-plus' "${run[@]}" --out a --optimizer-formats bf16
expect 2 "masters: bf16 is narrower than fp16" "${run[@]}" --out a --optimizer adamw-master --epsilon 1e-5 --optimizer-formats weights=fp16,masters=bf16
expect 2 "epsilon 1e-08 is 0 in fp16" "${run[@]}" --out a --optimizer collage-plus --optimizer-formats fp16
expect 2 "expected a role and its format as in weights=bf16.*got 'w=bf16'" "${run[@]}" --out a --optimizer collage-plus --optimizer-formats w=bf16
expect 2 "loss-scale: expected dynamic or a number above 0 .*got '0'" "${run[@]}" --out a --loss-scale 0
[[ ! -e a ]] || fault "a wrong command line left a run directory behind"

expect 1 'no-such-folder' "$cnn" --arch lenet5 --data no-such-folder --iterations 2 --out b
[[ ! -e b ]] || fault "a missing data folder left a run directory behind"
mkdir empty
expect 1 'empty.*(IDX|idx|CIFAR)' "$cnn" --arch lenet5 --data empty --iterations 2 --out b
"${run[@]}" --out twice >/dev/null 2>&1 </dev/null || fault "a plain run fails"
expect 1 'twice.*(exists|--resume)' "${run[@]}" --out twice
expect 1 'twice.*(exists|--resume)' "${run[@]}" --out twice --dry-run
expect 1 '/proc/ebb' "${run[@]}" --out /proc/ebb
printf '1\nNaN\n' >numbers.txt
"$ebb" quantize --format int4 --grid affine --rounding nearest-even <numbers.txt >/dev/null 2>err.txt
(($? == 1)) && grep -q '2' err.txt || fault "a NaN among the numbers: $(<err.txt)"
printf '1\nseven\n' >numbers.txt
"$ebb" quantize --format int4 --grid affine --rounding nearest-even <numbers.txt >/dev/null 2>err.txt
(($? == 1)) && grep -q 'seven' err.txt || fault "a word among the numbers: $(<err.txt)"
finish
