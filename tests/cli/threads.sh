#!/usr/bin/env bash
# Threads that the user binds get a processor each, where there are two.
source "$(dirname "$0")/lib.sh" "$@"
(($(nproc) >= 2)) || finish

# Places are named: left to themselves, some OpenMP libraries bind to a core, which here may be all its hardware threads.
OMP_PROC_BIND=true OMP_PLACES=threads "$cnn" --arch lenet5 --data synthetic --iterations 100000 --threads 2 --quiet --out none &
run=$!
processors=0
for ((tries = 100; tries > 0 && processors < 2; --tries)); do
  sleep 0.1
  processors=$(sed -n 's/^Cpus_allowed_list://p' /proc/$run/task/*/status 2>/dev/null | sort -u | wc -l)
done
kill -9 $run
((processors >= 2)) || fault "two bound threads share one processor"
finish
