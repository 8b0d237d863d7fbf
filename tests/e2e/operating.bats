#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The commands of docs/operating.md, as they stand there.

load lib.bash

setup() {
    requires ip openssl
    requires_root
    [ "$HG_BIN" = "$HG_TOP/build/app" ] || hg_skip "the page names the programs of build/"
    [ ! -e /tmp/try ] || hg_skip "/tmp/try is in use"
    hg_begin
    awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$HG_TOP/docs/operating.md" >"$HG_DIR/script"
}

teardown() {
    hg_end
    hg_remove_namespace headgate-try
    rm -rf /tmp/try
}

@test "a first node by hand" {
    grep -q 'headgatectl export' "$HG_DIR/script"
    cd "$HG_TOP"
    run timeout 120 bash -em "$HG_DIR/script"
    [ "$status" -eq 0 ] || { tail -n 20 /tmp/try/node.log; hg_die "said: $output"; }
    [[ $output == *"alpha/disk0"* ]]
}
