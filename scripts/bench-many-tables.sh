#!/bin/bash
# How long a dump of very many tables takes to decide what it does: 50,000 tables with a list of 25,000, and 100,000
# append-optimized partitions of which 10 changed. MANY_TABLES and MANY_LEAVES change the size (0: not that one);
# GPDUMP_BIN_DIR names programs built already.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${GPDUMP_BIN_DIR:-}" ]; then
  cargo build --quiet --locked --release -p gpcrondump
  export GPDUMP_BIN_DIR="$target/release"
fi
cargo build --quiet --locked -p gpdump-testkit --bins
exec "$target/debug/many_tables"
