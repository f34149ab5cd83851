#!/bin/bash
# How much a dump and a restore cost beside what the server itself needs: ratios of times taken in the same run.
#
# On one database with a mixed table of 3,000,000 rows, a wide text table and 2,000 small tables:
#   floor    COPY ... TO STDOUT of the same tables, thrown away: what the server needs
#   ours     gpcrondump / gpdbrestore
#   theirs   pg_dump -Fd -j / pg_restore -j
# BENCH_OPTIONS (such as -z) go to gpcrondump. A plain PostgreSQL server is started for it. GPDUMP_BIN_DIR names programs built already. BENCH_ROUNDS (default 3) rounds; the median of each is compared.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${BENCH_ROUNDS:-3} jobs=${BENCH_JOBS:-2} rows=${BENCH_ROWS:-3000000} small=${BENCH_TABLES:-2000}
command -v /usr/bin/time >/dev/null || { echo "bench needs GNU time: apt-get install time" >&2; exit 2; }

target="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${GPDUMP_BIN_DIR:-}" ]; then
  cargo build --quiet --locked --release -p gpcrondump -p gpdbrestore
fi
cargo build --quiet --locked -p gpdump-testkit --bins
bin=${GPDUMP_BIN_DIR:-$target/release}
gpcrondump="$bin/gpcrondump" gpdbrestore="$bin/gpdbrestore"

work=$(mktemp -d)
trap 'exec 9>&-; rm -rf "$work"' EXIT
chmod 755 "$work"
mkfifo "$work/hold"
"$target/debug/demo-cluster" 0 <"$work/hold" >"$work/env" &
cluster=$!
exec 9>"$work/hold"
until grep -q '^# ready' "$work/env"; do
  kill -0 "$cluster" 2>/dev/null || { echo 'the server could not be started' >&2; exit 2; }
  sleep 0.1
done
. "$work/env"

load() { # database, kind
  psql -Xq -d postgres -c "CREATE DATABASE $1"
  case $2 in
    mixed) psql -Xq -d "$1" <<SQL
CREATE TABLE mixed (id bigint, at timestamptz, kind text, amount numeric(12,2), ratio float8, flag boolean, note text);
INSERT INTO mixed SELECT i, timestamptz '2020-01-01' + i * interval '7 seconds', 'kind ' || i % 17, i * 1.37 % 100000,
  sqrt(i), i % 3 = 0, CASE WHEN i % 10 = 0 THEN NULL ELSE md5(i::text) END FROM generate_series(1, $rows) i;
SQL
;;
    wide) psql -Xq -d "$1" -c "CREATE TABLE wide AS SELECT i AS id, (SELECT string_agg(md5((i * 41 + k)::text), ' ')
  FROM generate_series(1, 60) k) AS body FROM generate_series(1, $((rows / 20))) i" ;;
    small) psql -Xq -d "$1" -c "DO \$\$ BEGIN FOR n IN 1..$small LOOP
  EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, name text)', n);
  EXECUTE format('INSERT INTO t%s SELECT i, ''name '' || i FROM generate_series(1, 20) i', n); END LOOP; END \$\$" ;;
  esac
  psql -Xq -d "$1" -c 'VACUUM ANALYZE'
}

# Seconds and the largest process in KiB of a command, as "seconds kib".
timed() {
  local file="$work/time"
  if ! /usr/bin/time -o "$file" -f '%e %M' "$@" >"$work/out" 2>&1; then
    echo "failed: $*" >&2
    tail -n 5 "$work/out" >&2
    exit 2
  fi
  tail -n 1 "$file"
}
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
floor() { # database: every table in one session, thrown away
  psql -XAt -d "$1" -c "SELECT format('COPY %I.%I TO STDOUT', schemaname, tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'gpcrondump_history' ORDER BY 1" | sed 's/$/;/' >"$work/floor.sql"
  timed psql -Xq -d "$1" -o /dev/null -f "$work/floor.sql"
}
key=20300101000000
next_key() { key=$((key + 1)); }

printf '%-8s %10s %10s %10s %10s %12s %12s %10s %10s\n' database 'floor s' 'dump s' 'pg_dump s' dump/floor dump/pg_dump 'restore s' rest/pg_r 'peak MiB'
for kind in mixed wide small; do
  db=bench_$kind
  load "$db" "$kind"
  : >"$work/floor" >"$work/ours" >"$work/theirs" >"$work/restore" >"$work/pgrestore" >"$work/peak"
  for ((round = 0; round <= rounds; round++)); do
    rm -rf "$work/dump" "$work/fd"
    mkdir -m 777 "$work/dump"
    next_key
    f=$(floor "$db")
    # shellcheck disable=SC2086
    o=$(timed "$gpcrondump" -a -H -x "$db" -u "$work/dump" -K $key ${BENCH_OPTIONS:-})
    t=$(timed pg_dump -Fd -Z1 -j "$jobs" -f "$work/fd" "$db")
    r=$(timed "$gpdbrestore" -a -e --noanalyze -t $key -u "$work/dump")
    psql -Xq -d postgres -c "DROP DATABASE IF EXISTS bench_copy" -c "CREATE DATABASE bench_copy"
    p=$(timed pg_restore -j "$jobs" -d bench_copy "$work/fd")
    # The first round warms caches.
    [ "$round" -gt 0 ] || continue
    echo "$f" >>"$work/floor"; echo "$o" >>"$work/ours"; echo "$t" >>"$work/theirs"
    echo "$r" >>"$work/restore"; echo "$p" >>"$work/pgrestore"
    printf '%s\n' "$o" "$r" | awk '{print $2}' >>"$work/peak"
  done
  psql -Xq -d postgres -c "DROP DATABASE $db" -c "DROP DATABASE bench_copy"
  m() { awk '{print $1}' "$work/$1" | median; }
  peak=$(sort -n "$work/peak" | tail -n 1)
  awk -v k="$kind" -v f="$(m floor)" -v o="$(m ours)" -v t="$(m theirs)" -v r="$(m restore)" -v p="$(m pgrestore)" -v peak="$peak" \
    'BEGIN { printf "%-8s %10.2f %10.2f %10.2f %10.2f %12.2f %12.2f %10.2f %10.1f\n", k, f, o, t, o/f, o/t, r, r/p, peak/1024 }'
done
echo
echo "medians of $rounds rounds after a warm-up; dump/floor: 1.00 is the server's own COPY; peak: the largest single process"
