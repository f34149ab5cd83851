#!/bin/bash
# What one table out of a big set costs: restored from a set of its own, and from the set of the whole database.
#
# One table of about 100 MB of text among tables of about 3 GB together (BENCH_REST_MB), on a plain PostgreSQL server that is
# started for it. GPDUMP_BIN_DIR names programs built already. BENCH_ROUNDS (default 3) rounds; medians are compared. The
# ratio is to be at most 1.3. The last line is the same without the index of the set: the file is read up to the table.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${BENCH_ROUNDS:-3} rest_mb=${BENCH_REST_MB:-2900} table_mb=${BENCH_TABLE_MB:-100}
target="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${GPDUMP_BIN_DIR:-}" ]; then
  cargo build --quiet --locked --release -p gpcrondump -p gpdbrestore
fi
[ -x "$target/debug/demo-cluster" ] || cargo build --quiet --locked -p gpdump-testkit --bins
bin=${GPDUMP_BIN_DIR:-$target/release}
# The server's files are in memory unless BENCH_DIR says otherwise; the sets are on disk.
work=$(mktemp -d -p "${BENCH_DIR:-${TMPDIR:-/tmp}}")
trap 'exec 9>&-; rm -rf "$work"' EXIT
mkfifo "$work/hold"
"$target/debug/demo-cluster" 0 <"$work/hold" >"$work/env" &
cluster=$!
exec 9>"$work/hold"
until grep -q '^# ready' "$work/env"; do
  kill -0 "$cluster" 2>/dev/null || { echo 'the server could not be started' >&2; exit 2; }
  sleep 0.1
done
. "$work/env"

# About 1 MB of text for each 9,000 rows.
fill="(id bigint, at timestamptz, note text, more text)"
rows() { echo "SELECT i, timestamptz '2020-01-01' + i * interval '7 s', md5(i::text), md5((i * 7)::text) FROM generate_series(1, $(($1 * 9000))) i"; }
psql -Xq -d postgres -c 'CREATE DATABASE big'
psql -Xq -d big -c "CREATE TABLE public.one $fill" -c "INSERT INTO one $(rows "$table_mb")"
for n in $(seq 1 $((rest_mb / 100))); do
  psql -Xq -d big -c "CREATE TABLE public.rest$n $fill" -c "INSERT INTO rest$n $(rows 100)"
done
dump() { "$bin/gpcrondump" -a -x big -u "$work/$1" "${@:2}" | sed -n 's/.*Timestamp key = //p' | tail -n 1; }
whole=$(dump whole)
own=$(dump own -t public.one)
du -sh "$work/whole" "$work/own" >&2
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
restore() { # root, key
  psql -Xq -d postgres -c 'DROP DATABASE IF EXISTS copy'
  local start end
  start=$(date +%s.%N)
  "$bin/gpdbrestore" -a -u "$work/$1" -t "$2" --redirect copy -T public.one --noanalyze >"$work/out" || { tail -n 5 "$work/out" >&2; exit 2; }
  end=$(date +%s.%N)
  awk "BEGIN {print $end - $start}"
}
for _ in $(seq "$rounds"); do
  restore own "$own" >>"$work/t-own"
  restore whole "$whole" >>"$work/t-whole"
  find "$work/whole" -name '*_index' -execdir mv {} {}.away \;
  restore whole "$whole" >>"$work/t-without"
  find "$work/whole" -name '*_index.away' -exec sh -c 'mv "$1" "${1%.away}"' _ {} \;
done
own_s=$(median <"$work/t-own") whole_s=$(median <"$work/t-whole") without_s=$(median <"$work/t-without")
awk "BEGIN {printf \"own set %.2f s, whole set %.2f s, ratio %.2f; without the index %.2f s\n\", $own_s, $whole_s, $whole_s / $own_s, $without_s}"
