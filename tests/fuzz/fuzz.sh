#!/usr/bin/env bash
# Fuzzes one target, or each in turn: `fuzz.sh [TARGET [LIBFUZZER-OPTION...]]`. The coverage counters are LLVM's own, which
# a stable compiler can put in: no other toolchain is needed, only a C++ compiler for libFuzzer itself.
set -euo pipefail
cd "$(dirname "$0")"

host=$(rustc -vV | sed -n 's/^host: //p')
build=../../target/fuzz
found=$build/found
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
cargo build --locked --release --target "$host" --target-dir "$build"

if [ $# -gt 0 ]; then
    targets=$1
    shift
else
    targets=$(cd corpus && echo *)
    set -- "-max_total_time=${SECONDS_EACH:-60}"
fi
for target in $targets; do
    mkdir -p "$found/$target"
    echo "fuzzing $target; what is new goes to target/fuzz/found/$target"
    "$build/$host/release/$target" -max_len=1024 -artifact_prefix="$found/$target-" "$@" "$found/$target" "corpus/$target"
done
