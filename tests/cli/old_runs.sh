#!/usr/bin/env bash
# old_runs.sh PROGRAM EBB: what a released version wrote stays readable. tests/fixtures/run-0.1 is a run of ebb-lstm 0.1.0 that was
# killed after 9 of 12 steps, one after its checkpoint.
fixture=$(cd "$(dirname "$0")/../fixtures/run-0.1" && pwd)
source "$(dirname "$0")/lib.sh" "$@"
weights=3e878a7700eb925f9ae2cd3550de454ef1f2ae7e9185a7f4c8779f4af706c7c0  # of the undisturbed run under 0.1.0

cp -r "$fixture" run
expect 0 '' "$ebb" inspect run
grep -q '9 of 12' out.txt || fault "inspect does not say how far the run came: $(<out.txt)"
expect 0 '' "$cnn" --evaluate run
expect 0 'cut back to step 8, .*1 line of steps.jsonl' "$cnn" --resume --json --out run
same "weights of a resumed run" $weights "$(field weights_sha256 <out.txt)"
expect 0 '' "$cnn" --resume --json --out run
same "weights of a finished run" $weights "$(field weights_sha256 <out.txt)"

# Its checkpoint has the options, too.
cp -r "$fixture" bare
rm bare/config.json
expect 0 'the configuration in the checkpoint is used' "$cnn" --resume --json --out bare
same "weights of a run without configuration" $weights "$(field weights_sha256 <out.txt)"

# What a newer version writes is refused and left alone.
cp -r "$fixture" newer
sed -i 's/{/{ "format": 2,/;t' newer/config.json
sed -i '2,$s/{ "format": 2,/{/' newer/config.json
rm newer/checkpoint.safetensors
cp newer/config.json config.json
expect 1 'has the format 2' "$cnn" --resume --out newer
cmp -s newer/config.json config.json || fault "the configuration of a newer version was changed"
finish
