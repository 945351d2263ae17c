#!/usr/bin/env bash
# sweep.sh CNN EBB [RUNS KILLS]: studies run from one file. What is finished is not run again; kills of the sweep and of its runs lose
# nothing; three shards come to what one process comes to; a run that fails is alone in that; wrong studies are refused.
# Few RUNS are of a perceptron, more than 6 of LeNet-5: 24 and 20 kills take some minutes, by hand.
source "$(dirname "$0")/lib.sh" "$@"
runs=${3:-6} kills=${4:-4} RANDOM=7
program=$(dirname "$cnn")/ebb-mlp arch=mlp
((runs > 6)) && program=$cnn arch=lenet5
sweep() { "$ebb" sweep "$@" </dev/null 2>err.txt; }

# study NAME: a study of $runs runs, in NAME.toml and NAME/
study() {
  cat >"$1.toml" <<END
name = "$1"
program = "$program"
out = "$1"
[options]
arch = "$arch"
data = "synthetic"
batch = 16
iterations = 60
cycles = 2
save-every = 7
eval-every = 30
[grid]
schedule = ["CR", "RR"]
seed = [$(seq -s, $((runs / 2)))]
END
}
# What must not differ between two executions of a study: the record without the times. Its last line scores the weights of the end.
result() { for dir in "$1"/*_seed-*; do sed -E 's/,"seconds":[^,}]*//' "$dir"/steps.jsonl "$dir"/evals.jsonl; done | sha256sum; }
# Runs that have come to their end, with the time of their last step.
finished() { for dir in $(grep -l '"iteration":60' "$1"/*/evals.jsonl 2>/dev/null); do stat -c '%n %y' "${dir%/*}/steps.jsonl"; done; }
ends() { for member in runs finished reran skipped; do field $member <out.json; done | tr '\n' ' '; }

study one
sweep one.toml --dry-run >out.txt || fault "the dry run fails: $(<err.txt)"
grep -q "^CR_seed-1  *60 .* of 8/8/8 .*?" out.txt || fault "the dry run lacks its first run: $(<out.txt)"
grep -q "^$runs runs, 0 finished; .*bit-operations" out.txt || fault "the dry run lacks its totals: $(<out.txt)"
[[ ! -e one ]] || fault "the dry run makes a folder"
sweep one.toml --json >out.json || fault "a study fails: $(<err.txt)"
same "a study" "$runs $runs $runs 0 " "$(ends)"
grep -q "CR_seed-1: begins" err.txt || fault "nothing is said of what begins: $(<err.txt)"
whole=$(result one)
cp -r one/study.json study.json
find one -type f -newer out.json >newer.txt
sweep one.toml --json >out.json || fault "a finished study fails: $(<err.txt)"
same "a finished study" "$runs $runs 0 $runs " "$(ends)"
cmp -s one/study.json study.json || fault "study.json changes"
[[ -z $(ls one/claims one/failures | grep json) ]] || fault "claims or failures are left: $(ls one/claims one/failures)"
sweep one.toml --dry-run | grep -q "finished; .* 0 to do" || fault "a finished study has something to do"
cp one/CR_seed-1/steps.jsonl intact
sed -i '3s/.*/{/' one/CR_seed-1/steps.jsonl  # of a finished run, whose seconds the forecast reads
sweep one.toml --dry-run >out.txt
same "a dry run beside a damaged record" 1 $?
mv intact one/CR_seed-1/steps.jsonl

# Kills of the sweep, and of one of its runs, at random moments.
study kill
killed=0
while ((killed < kills)); do
  before=$(finished kill)
  "$ebb" sweep kill.toml --json </dev/null >out.json 2>err.txt &
  pid=$!
  sleep "$(printf '%d.%03d' $((RANDOM % (runs / 6))) $((RANDOM % 900)))"
  if ((killed % 2)); then
    run=$(pgrep -P $pid -f -- '--resume|--out kill/' | shuf -n 1 --random-source=<(yes $killed))
    [[ -n $run ]] && kill -9 "$run" 2>/dev/null
    sleep 0.1
  fi
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
  ((code == 137 || code == 0)) || fault "exit code $code before a kill: $(<err.txt)"
  [[ -z $(comm -23 <(echo "$before") <(finished kill)) ]] || fault "a finished run was run again"
  ((code == 0)) && rm -rf kill  # it was quicker
  killed=$((killed + 1))
done
before=$(finished kill)
sweep kill.toml --json >out.json || fault "a study fails after kills: $(<err.txt) $(cat kill/failures/* 2>/dev/null)"
[[ -z $(comm -23 <(echo "$before") <(finished kill)) ]] || fault "a finished run was run again"
same "a study after kills" "$whole" "$(result kill)"
same "all finished after kills" "$runs $runs" "$(ends | cut -d' ' -f1,2)"

# Ctrl-C: the runs save, the sweep says how to go on.
study stop
"$ebb" sweep stop.toml </dev/null >out.txt 2>err.txt &
pid=$!
for _ in $(seq 500); do [[ -s stop/CR_seed-1/steps.jsonl ]] && break; sleep 0.01; done
kill -INT $pid
wait $pid
same "the exit code after Ctrl-C" $? 3
grep -q 'go on with: ebb sweep stop.toml' err.txt || fault "Ctrl-C says not how to go on: $(<err.txt)"
pgrep -f -- "--out stop/" >/dev/null && fault "a run is left after Ctrl-C"
sweep stop.toml --json >out.json || fault "a study fails after Ctrl-C: $(<err.txt)"
same "a study after Ctrl-C" "$whole" "$(result stop)"

# Three shards in one folder.
study shards
for shard in 1 2 3; do
  "$ebb" sweep shards.toml --shard $shard/3 --jobs 1 --json </dev/null >shard$shard.json 2>err$shard.txt &
done
wait
for shard in 1 2 3; do
  same "shard $shard" "$runs" "$(field finished <shard$shard.json)"
  [[ $(<err$shard.txt) == *"$runs of $runs done"* ]] || fault "shard $shard ends before the study: $(<err$shard.txt)"
done
same "what three shards ran" "$runs" "$(($(field reran <shard1.json) + $(field reran <shard2.json) + $(field reran <shard3.json)))"
same "three shards" "$whole" "$(result shards)"
cmp -s shards/study.json <(sed 's/"one/"shards/' study.json) || fault "study.json of shards is another"

# A run that fails, and directories that are none of the study's.
mkdir -p fail/CR_seed-2_synthetic
echo "mine" >fail/CR_seed-2_synthetic/notes.txt
study fail
printf '[[runs]]\nschedule = "ER"\ndata = "nowhere/<script>\\u001b[31m"\n[[exclude]]\nschedule = "RR"\n' >>fail.toml
sweep fail.toml --json >out.json
same "the exit code of a study in which runs fail" $? 1
same "the runs that do not fail" "$((runs / 2 + 1)) $((runs / 2 - 1))" "$(ends | cut -d' ' -f1,2)"
grep -q 'holds no run that could go on' out.json || fault "a foreign directory is no failure: $(<out.json)"
grep -q 'nowhere/<script>.*31m' out.json || fault "missing data is no failure: $(<out.json)"
grep -q $'\x1b' err.txt && fault "an escape sequence reaches the terminal"
[[ $(<fail/CR_seed-2_synthetic/notes.txt) == mine && $(ls fail/failures | wc -l) == 2 ]] || fault "failures: $(ls fail/failures)"
rm -r fail/CR_seed-2_synthetic
sweep fail.toml --json >out.json
same "a failure that was put right" 1 "$(grep -c '"run":' out.json)"

# A study that grows, and one whose options change.
sed -i 's/seed = .*/&\n[[runs]]\nlr = 0.01/' one.toml
sweep one.toml --json >out.json || fault "a study that has grown fails: $(<err.txt)"
same "a study that has grown" "$((runs + 1)) $((runs + 1)) 1 $runs " "$(ends)"
grep -q '1 run more than when it was last run' err.txt || fault "growth is not told: $(<err.txt)"
sed -i 's/iterations = 60/iterations = 61/' one.toml
expect 2 'CR_seed-1 in one was begun with other options: --iterations was 60 and is 61' "$ebb" sweep one.toml

# A run that ends early by its own --patience is finished as any other.
study early
sed -i 's/^seed = .*/seed = [1]/' early.toml
printf '[[runs]]\nlr = 0\npatience = 1\neval-every = 5\n' >>early.toml
sweep early.toml --json >out.json || fault "a study with --patience fails: $(<err.txt)"
sweep early.toml --json >out.json || fault "a study with --patience fails: $(<err.txt)"
same "runs that ended early" "3 3 0 3 " "$(ends)"

# Wrong studies.
printf 'program = "%s"\nout = "bad"\n[options]\niteratons = 1\n' "$program" >bad.toml
expect 2 "bad.toml:4:1: run run: unknown option '--iteratons'; did you mean '--iterations'" "$ebb" sweep bad.toml
printf 'program = "%s"\nout = "bad"\n[options]\narch = "pm"\n' "$program" >bad.toml
expect 2 "bad.toml:4:1: run run: --arch: " "$ebb" sweep bad.toml
printf 'program = ebb-cnn\n' >bad.toml
expect 2 'bad.toml:1:11: no TOML' "$ebb" sweep bad.toml
printf 'program = "ebb-cn"\n' >bad.toml
expect 2 "there is no ebb-cn beside .*did you mean 'ebb-cnn'" "$ebb" sweep bad.toml
expect 1 'none.toml' "$ebb" sweep none.toml
expect 2 'shard: expected i/n' "$ebb" sweep stop.toml --shard 3/2
expect 2 'more threads than' "$ebb" sweep stop.toml --threads 1024
[[ ! -e bad ]] || fault "a wrong study makes a folder"
finish
