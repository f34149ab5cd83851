#!/bin/bash
# A database lost and brought back, on a small cluster made for it: needs Rust and Debian's package postgresql.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && ! command -v pg_config >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "PostgreSQL's server is not here; install it with: apt-get install postgresql" >&2
    exit 2
  fi
  # Debian would start a server of its own after the installation; the demo brings its own.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  DEBIAN_FRONTEND=noninteractive apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends build-essential postgresql
fi
cargo build --quiet --locked -p gpcrondump -p gpdbrestore -p gpdump-testkit --bins
bin="${CARGO_TARGET_DIR:-$PWD/target}/debug"

step() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
work=$(mktemp -d)
trap 'exec 9>&-; rm -rf "$work"' EXIT

step 'A master and three segments, with a warehouse in database demo'
mkfifo "$work/hold"
"$bin/demo-cluster" 3 demo <"$work/hold" >"$work/env" &
cluster=$!
# The cluster runs as long as this end is open.
exec 9>"$work/hold"
until grep -q '^# ready' "$work/env"; do
  kill -0 "$cluster" 2>/dev/null || { echo 'the cluster could not be started' >&2; exit 2; }
  sleep 0.1
done
. "$work/env"
psql -X -d postgres -c 'SELECT content, port, datadir FROM gp_segment_configuration ORDER BY content'

# Rows of every table on every segment, without order, and the objects.
state() {
  local port
  for port in $(psql -XAt -d postgres -c 'SELECT port FROM gp_segment_configuration WHERE content >= 0 ORDER BY content'); do
    PGPORT=$port pg_dump --data-only --inserts --rows-per-insert=1 --exclude-table=public.gpcrondump_history demo
  done | grep -v -e '^--' -e '^\\\(un\)\?restrict' | LC_ALL=C sort
  pg_dump -s --exclude-table=public.gpcrondump_history demo | grep -v '^\\\(un\)\?restrict'
}
state >"$work/before"

step 'gpcrondump -a -x demo'
"$bin/gpcrondump" -a -x demo | tee "$work/dump"
key=$(sed -n 's/.*Timestamp key = \([0-9]\{14\}\).*/\1/p' "$work/dump" | head -n1)
[ -n "$key" ] || { echo 'gpcrondump named no timestamp key' >&2; exit 2; }

step 'The database is lost'
psql -X -d postgres -c 'DROP DATABASE demo'

step "gpdbrestore -a -e -t $key"
"$bin/gpdbrestore" -a -e -t "$key"

state >"$work/after"
step 'Is it the same?'
if cmp -s "$work/before" "$work/after"; then
  echo "Yes: $(grep -c '^INSERT' "$work/after") rows and all objects."
else
  diff "$work/before" "$work/after" | head -n 40
  echo 'NO: see the lines above.'
  exit 1
fi
