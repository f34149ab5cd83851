#!/bin/bash
# All tests. Wants the packages that .ci/run names; arguments go to cargo test.
# GPDUMP_TEST_CLUSTER=env runs the end-to-end tests on the Greenplum that PGPORT and MASTER_DATA_DIRECTORY name.
set -euo pipefail
cd "$(dirname "$0")/.."

# The programs are built once here and not by every test binary for itself.
cargo build --quiet --locked -p gpcrondump -p gpdbrestore
export GPDUMP_BIN_DIR="${GPDUMP_BIN_DIR:-${CARGO_TARGET_DIR:-$PWD/target}/debug}"
exec cargo test --workspace --locked "$@"
