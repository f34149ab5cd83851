#!/bin/bash
# Dumps, destroys, restores and compares a database with everything that a Greenplum has, on the Greenplum that the
# environment names (PGPORT, MASTER_DATA_DIRECTORY, GPHOME): run as the user who owns it.
#
#   scripts/verify-greenplum.sh            programs from target/debug, or from GPDUMP_BIN_DIR
#
# The database gpdump_verify is created and dropped. On Greenplum 5, where the original programs are found in
# $GPHOME/bin, sets also go both ways across. Prints what was compared; status 0 when everything is the same.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
bin=${GPDUMP_BIN_DIR:-$here/target/debug}
db=gpdump_verify
: "${PGPORT:?}" "${MASTER_DATA_DIRECTORY:?}" "${GPHOME:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

sql() { psql -XAt -v ON_ERROR_STOP=1 -d "${2:-$db}" -c "$1"; }
version=$(sql "SELECT current_setting('server_version_num')" postgres)
echo "server: $(sql 'SELECT version()' postgres | cut -d' ' -f1-6)"
[ "$version" -lt 90000 ] || export PGOPTIONS="${PGOPTIONS:-} -c bytea_output=hex"

# Rows of hashed tables that lie where the server would not put them, and so are not found there.
misplaced() {
  local table hashed="p.attrnums IS NOT NULL"
  [ "$version" -lt 90000 ] || hashed="p.policytype = 'p' AND p.distkey::text <> ''"
  sql "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN gp_distribution_policy p ON p.localoid = c.oid WHERE c.relkind IN ('r', 'p') AND $hashed AND n.nspname !~ '^pg_'
       AND c.oid NOT IN (SELECT inhrelid FROM pg_inherits)
       $([ "$version" -ge 120000 ] || echo "AND c.relstorage IN ('h', 'a', 'c')") ORDER BY 1" |
    while IFS= read -r table; do
      sql "COPY (SELECT gp_segment_id, * FROM $table) TO STDOUT" | LC_ALL=C sort >"$work/rows"
      # Through a table without any order, or rows would be left on the segments where they are.
      psql -XqAt -v ON_ERROR_STOP=1 -d "$db" <<SQL | LC_ALL=C sort >"$work/placed"
SET client_min_messages = error;
CREATE TEMP TABLE spread_ AS SELECT * FROM $table DISTRIBUTED RANDOMLY;
CREATE TEMP TABLE placed_ (LIKE $table);
INSERT INTO placed_ SELECT * FROM spread_;
COPY (SELECT gp_segment_id, * FROM placed_) TO STDOUT;
SQL
      cmp -s "$work/rows" "$work/placed" || echo "$table: $(comm -23 "$work/rows" "$work/placed" | wc -l) rows of $(wc -l <"$work/rows")"
    done
}
placed() { # what
  misplaced >"$work/misplaced"
  if [ -s "$work/misplaced" ]; then
    echo "ON WRONG SEGMENTS: $1"
    head -n 20 "$work/misplaced"
    bad=1
  else
    echo "on their segments: all rows, $1"
  fi
}

# One line for each table: rows and a sum over its rows in order; leaves, sequences; then the definitions.
state() {
  local table
  sql "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gp_toolkit')
       AND NOT (n.nspname = 'public' AND c.relname = 'gpcrondump_history')
       AND c.oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
       $([ "$version" -lt 90300 ] || echo "AND (c.relkind <> 'm' OR c.relispopulated)")
       $([ "$version" -ge 120000 ] || echo "AND c.relstorage IN ('h', 'a', 'c')") ORDER BY 1" |
    while IFS= read -r table; do
      sql "COPY (SELECT * FROM $table) TO STDOUT" | LC_ALL=C sort >"$work/rows"
      echo "table $table $(md5sum <"$work/rows" | cut -d' ' -f1) $(wc -l <"$work/rows")"
    done
  sql "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'gp_toolkit' ORDER BY 1" |
    while IFS= read -r table; do
      echo "sequence $table $(sql "SELECT last_value, is_called FROM $table")"
    done
  # The server names external leaves after object ids, prints enum labels as such on 5, and blanks before commas and brackets vary.
  pg_dump -s "$db" | sed -E -e 's/ ,/,/g' -e 's/_external_partition_[a-z]*_[0-9]+_relid_[0-9]+/_external_partition_/g' \
    -e "/CREATE TYPE .* AS ENUM/,/\\);/s/'[0-9]+'/'oid'/g" -e 's/ \)/)/g' -e 's/[ \t]+$//' | grep -v '^-- Dumped\|^\\\(un\)\?restrict' | grep -v gpcrondump_history
}
same() { # what, before, after
  if diff "$2" "$3" >"$work/diff"; then
    echo "same: $1 ($(grep -c ^table "$3") tables, $(grep -c ^sequence "$3") sequences, $(wc -l <"$3") lines)"
  else
    echo "DIFFERENT: $1"
    head -n 40 "$work/diff"
    bad=1
  fi
}
run() { # expected status, command...
  local expected=$1 status=0
  shift
  "$@" >"$work/console" 2>&1 || status=$?
  if [ "$status" != "$expected" ]; then
    echo "status $status instead of $expected: $*"
    grep -v -e '-\[INFO\]:-' "$work/console" | head -n 20
    bad=1
  fi
}
key_of() { sed -n 's/.*Timestamp key = \([0-9]\{14\}\).*/\1/p' "$work/console" | head -n 1; }

dropdb "$db" 2>/dev/null || true
createdb "$db"
psql -Xq -d "$db" -f "$here/tests/data/greenplum.sql" >"$work/load" 2>&1
[ "$version" -ge 120000 ] || psql -Xq -d "$db" -f "$here/tests/data/greenplum-oids.sql" >>"$work/load" 2>&1
[ "$version" -lt 90400 ] || psql -Xq -d "$db" -f "$here/tests/data/greenplum6.sql" >>"$work/load" 2>&1
grep -n 'ERROR' "$work/load" | head -n 5 || true
state >"$work/before"
placed "as loaded"

run 0 "$bin/gpcrondump" -a -x "$db"
key=$(key_of)
run 0 "$bin/gpdbrestore" -a -e -t "$key"
state >"$work/after"
same "our dump, our restore" "$work/before" "$work/after"
placed "our dump, our restore"

# Those that are there and distributed as in the set go straight into the segments too.
sql "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('public', 'sales') AND c.relname ~ '^[a-z_]+$'
     AND c.relname <> 'gpcrondump_history' AND c.oid NOT IN (SELECT inhrelid FROM pg_inherits)
     $([ "$version" -ge 120000 ] || echo "AND c.relstorage IN ('h', 'a', 'c')") ORDER BY 1" >"$work/list"
run 0 "$bin/gpdbrestore" -a -v -t "$key" --table-file "$work/list" --truncate
grep -o 'rows go .*' "$work/console" || true
state >"$work/after"
same "our restore of $(wc -l <"$work/list") tables that were there" "$work/before" "$work/after"
placed "our restore of tables that were there"

if [ -x "$GPHOME/bin/gpcrondump" ] && [ "$version" -lt 90000 ]; then
  run 0 "$GPHOME/bin/gpdbrestore" -a -e -t "$key"
  state >"$work/after"
  same "our dump, the original's restore" "$work/before" "$work/after"
  # The original refuses a whole database for one table with such a name, and its restore loads nothing where a table is
  # missing for want of its enum type. Without their key, tables that are distributed by one have no definition that runs.
  sql "DROP TABLE sales.by_channel; DROP TABLE sales.by_channels" >/dev/null
  sql "SELECT 'DROP TYPE ' || quote_ident(n.nspname) || '.' || quote_ident(t.typname) || ' CASCADE;' FROM pg_type t
       JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e'" | psql -XqAt -d "$db" >/dev/null 2>&1
  sql "SELECT 'DROP TABLE ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' CASCADE;' FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND c.relname ~ '[,!.]'" |
    psql -XqAt -d "$db" >/dev/null 2>&1
  sleep 1
  run 0 "$GPHOME/bin/gpcrondump" -a -x "$db"
  key=$(key_of)
  if [ -z "$key" ]; then
    echo "the original made no dump; is another one of its runs active?"
    bad=1
  else
    # The original disables triggers: what it makes of its own set is what can be had from it.
    run 0 "$GPHOME/bin/gpdbrestore" -a -e -t "$key"
    state >"$work/before"
    "$bin/gpdbrestore" -a -e -t "$key" >"$work/console" 2>&1 || echo "our restore of it ended with status $?:" \
      "$(grep -c -e '-\[ERROR\]:-' "$work/console") errors told, where the original tells none"
    state >"$work/after"
    # The set says of each trigger that it is disabled: ours enables them (docs/compat.md).
    sed -i '/^ALTER TABLE .* DISABLE TRIGGER /,+1d' "$work/before" "$work/after"
    same "the original's dump, its restore and ours" "$work/before" "$work/after"
  fi
fi
dropdb "$db" || true
exit "$bad"
