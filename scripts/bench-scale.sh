#!/bin/bash
# What a dump of 1,000 segments on 125 hosts with 100,000 tables costs the coordinator: seconds of CPU and MiB of the
# program itself. The master is a real server; the hosts are processes that only speak the workers' protocol.
# SCALE_HOSTS, SCALE_SEGMENTS_EACH, SCALE_TABLES change the size; GPDUMP_BIN_DIR names programs built already.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${GPDUMP_BIN_DIR:-}" ]; then
  cargo build --quiet --locked --release -p gpcrondump
  export GPDUMP_BIN_DIR="$target/release"
fi
cargo build --quiet --locked -p gpdump-testkit --bins
exec "$target/debug/scale"
