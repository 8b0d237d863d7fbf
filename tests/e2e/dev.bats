# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The entry script and the test runner: what they promise about their words and exit status.

load lib.bash

setup() {
    hg_begin
}

teardown() {
    hg_end
}

@test "dev: help names every command" {
    run "$HG_TOP/dev" help
    [ "$status" -eq 0 ]
    local command
    for command in build test demo bench fuzz clean help; do
        [[ $output == *$'\n'"  $command"* ]]
    done
}

@test "dev: works from any directory" {
    cd /
    run "$HG_TOP/dev" help
    [ "$status" -eq 0 ]
}

@test "dev: unknown commands, options, suites and benches are refused by name" {
    run "$HG_TOP/dev" biuld
    [ "$status" -ne 0 ]
    [[ $output == *"unknown command 'biuld'"* ]]
    run "$HG_TOP/dev" build --fast
    [ "$status" -ne 0 ]
    [[ $output == *"unknown option '--fast'"* ]]
    run "$HG_TOP/dev" test units
    [ "$status" -ne 0 ]
    [[ $output == *"no suite 'units'"* ]]
    run "$HG_TOP/dev" bench no-such-bench
    [ "$status" -ne 0 ]
    [[ $output == *"no 'no-such-bench'"* ]]
}

@test "dev: .dev-packages names packages, each once" {
    local names
    names=$(sed 's/#.*//' "$HG_TOP/.dev-packages" | xargs -n1)
    [ "$(sort <<<"$names" | uniq -d)" = "" ]
    hg_refute grep -Evq '^[a-z0-9][a-z0-9+.-]+$' <<<"$names"
}

# runner EXPRESSION: evaluates Python with the test runner imported as `run`.
runner() {
    python3 -B - "$HG_TOP/tests/run" <<PY
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("run", sys.argv[1])
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
loader.exec_module(run)
show = lambda rs: " ".join(r.status for r in rs)
print($1)
PY
}

@test "test runner: TAP with every kind of line is summed up" {
    run runner 'show(run.parse_tap("1..4\nok 1 a\nnot ok 2 b\n# why\nok 3 c # skip no tool\nok 4 - d\n"))'
    [ "$output" = "passed failed skipped passed" ]
}

@test "test runner: a planned test that is not reported has failed" {
    run runner 'show(run.parse_tap("1..3\nok 1 a\n"))'
    [ "$output" = "passed failed failed" ]
}

@test "test runner: a command that fails without naming a test has failed" {
    run runner 'show(run.run_tap("dev-bats", ["sh", "-c", "echo 1..1; echo ok 1 a; exit 3"]))'
    [ "$output" = "passed failed" ]
    run runner '[(r.status, r.detail) for r in run.run_tap("dev-bats", ["sh", "-c", "kill -SEGV $$"])]'
    [[ $output == "[('failed', 'killed by signal 11"* ]]
}

@test "test runner: the record of an older meson run is not read again" {
    mkdir -p "$HG_DIR/b/meson-logs"
    echo '{"name": "old", "result": "OK", "returncode": 0}' >"$HG_DIR/b/meson-logs/testlog.json"
    run runner "show(run.run_meson('dev-bats', '$HG_DIR/b'))"
    [ "$output" = "failed" ]
}

@test "test runner: meson's results keep their meaning" {
    run runner '" ".join(run.meson_result({"name": "x", "result": r, "stdout": "no NIC"}).status for r in
        ("OK", "FAIL", "TIMEOUT", "SKIP", "UNEXPECTEDPASS", "EXPECTEDFAIL", "ERROR"))'
    [ "$output" = "passed failed failed skipped failed passed failed" ]
}
