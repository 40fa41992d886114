#!/usr/bin/env bash
# Run the tests under what differs between machines, and print what failed: in random order, each
# file alone, on one core, and with every core kept busy by somebody else. Takes an hour a round.
#
#   tests/stress.sh [ROUNDS]
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=.venv/bin/pytest
parallel=(--numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder)
log=$(mktemp)
failed=0

try() { # NAME COMMAND...
    local name=$1 started=$SECONDS
    shift
    if "$@" >"$log" 2>&1; then
        echo "  $name: passed in $((SECONDS - started)) s"
    else
        failed=1
        echo "  $name: FAILED"
        grep -E '^(FAILED|ERROR)' "$log" || tail -n 30 "$log"
    fi
}

alone() { # as many files at a time as there are cores, each in a process of its own
    find tests -name 'test_*.py' -not -path '*/benchmarks/*' -print0 |
        xargs -0 -P "$(nproc)" -n 1 bash -c '
            out=$(.venv/bin/pytest "$0" 2>&1)
            status=$?  # 5: all tests of the file are long
            [ $status = 0 ] || [ $status = 5 ] || { echo "$out"; exit 1; }'
}

busy() {
    local others=()
    for _ in $(seq "$(nproc)"); do
        (while :; do :; done) &
        others+=($!)
    done
    "$@"
    local status=$?
    kill "${others[@]}"
    return $status
}

for round in $(seq "${1:-1}"); do
    seed=$RANDOM
    echo "round $round"
    try "random order, seed $seed" $pytest "${parallel[@]}" --random-order --random-order-seed=$seed
    try "each file alone" alone
    try "on one core" taskset -c 0 $pytest
    try "beside busy processes" busy $pytest "${parallel[@]}"
done
rm "$log"
exit $failed
