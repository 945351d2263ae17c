#!/usr/bin/env bash
# signals.sh CNN EBB: a reader that goes away, a terminal that is closed and a limit on the size of files cost nothing but what they
# concern: the run is saved, says so by its exit code, and goes on to the same end.
source "$(dirname "$0")/lib.sh" "$@"
lstm=("$(dirname "$cnn")/ebb-lstm" --units 8 --embedding 4 --length 8 --batch 4 --threads 1)
train() { "${lstm[@]}" "$@" </dev/null; }
whole=$(train --iterations 1000 --save-every 50 --json --quiet --out whole | field weights_sha256)
same_end() { same "$1" "$whole" "$("${lstm[0]}" --resume --out "$2" --json --quiet </dev/null 2>err.txt | field weights_sha256)"; }  # WHAT RUN
steps() { wc -l 2>/dev/null <"$1/steps.jsonl" || echo 0; }
wait_for_steps() { for _ in $(seq 3000); do (($(steps "$1") >= $2)) && return; sleep 0.002; done; fault "$1 never came to step $2"; }

# SIGPIPE: who reads the log leaves after a line. The run goes on to its end and fails only where its summary is lost.
{ train --iterations 1000 --out log 2>&1 >summary.txt; echo $? >code.txt; } | head -1 >/dev/null
same "the exit code without a reader of the log" "$(<code.txt)" 0
grep -q "$whole" summary.txt || fault "the log's reader left, and the run ends elsewhere: $(tail -1 summary.txt)"
{ train --iterations 1000 --quiet --out pipe 2>err.txt; echo $? >code.txt; } | true
same "the exit code without a reader of the summary" "$(<code.txt)" 1
grep -q 'standard output cannot be written' err.txt || fault "no reader of the summary: $(<err.txt)"
same_end "a run whose summary was lost" pipe

# SIGHUP: saved, unless somebody (nohup) had it ignored.
"${lstm[@]}" --iterations 1000 --quiet --out hup </dev/null >/dev/null 2>err.txt &
pid=$!
wait_for_steps hup 1
kill -HUP $pid
wait $pid
same "the exit code after SIGHUP" $? 3
grep -q 'saved, go on with --out hup --resume' err.txt || fault "SIGHUP: $(<err.txt)"
same_end "a run after SIGHUP" hup
(trap '' HUP; exec "${lstm[@]}" --iterations 1000 --quiet --json --out nohup) </dev/null >nohup.json 2>err.txt &
pid=$!
wait_for_steps nohup 1
kill -HUP $pid 2>/dev/null
wait $pid
same "the exit code where SIGHUP is ignored" $? 0
same "the weights where SIGHUP is ignored" "$whole" "$(field weights_sha256 <nohup.json)"

# SIGXFSZ: a file may not grow further. The error names it, and the last checkpoint goes on.
kib=$(($(stat -c %s whole/checkpoint.safetensors) / 1024 + 2))
(($(stat -c %s whole/steps.jsonl) > 1024 * (kib + 1))) || fault "the checkpoint is larger than the record: $kib KiB"
(ulimit -f $kib; exec "${lstm[@]}" --iterations 1000 --save-every 50 --quiet --out full) </dev/null >/dev/null 2>err.txt
same "the exit code at the limit of a file" $? 1
grep -q 'full/steps.jsonl: File too large' err.txt || fault "the limit of a file: $(<err.txt)"
(($(steps full) >= 50 && $(steps full) < 1000)) || fault "the limit of a file: $(steps full) steps"
same_end "a run after the limit of a file" full
finish
