//! `--incremental-heap`: heap tables are left out when nothing happened to them, and never otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program};

const SHOP: &str = "shop";

fn gpcrondump(cluster: &Cluster, more: &[&str]) -> Finished {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-x", SHOP, "--incremental-heap"])
        .args(more.iter().copied())
        .run()
}

fn dump(cluster: &Cluster, more: &[&str]) -> String {
    gpcrondump(cluster, more).expect_status(0).timestamp_key()
}

fn restore(cluster: &Cluster, key: &str, more: &[&str]) {
    Program::new("gpdbrestore", cluster)
        .args(["-a", "-t", key])
        .args(more.iter().copied())
        .run()
        .expect_status(0);
}

/// Tables in the list of what an increment dumped; the history table is always there.
fn dirty(cluster: &Cluster, key: &str) -> BTreeSet<String> {
    let directory = cluster.master_data_dir().join("db_dumps").join(&key[..8]);
    let list = fs::read_to_string(directory.join(format!("gp_dump_{key}_dirty_list"))).unwrap();
    let names = list.lines().map(|line| line.trim_start_matches("public.").to_owned());
    names.filter(|name| name != "gpcrondump_history").collect()
}

fn on_segments(cluster: &Cluster, sql: &str) {
    for holder in cluster.row_holders() {
        holder.sql(SHOP, sql);
    }
}

/// A table for each way to change one, and some that nothing is done to.
const TABLES: &[(&str, &str)] = &[
    ("quiet", "a int, b text"),
    ("empty", "a int"),
    ("read_only", "a int, b text"),
    ("granted", "a int"),
    ("inserted", "a int, b text"),
    ("updated", "a int, b text"),
    ("cut_off", "a int, b text"),
    ("truncated", "a int"),
    ("clustered", "a int"),
    ("has_column", "a int"),
    ("has_fewer", "a int, gone int"),
    ("other_column", "a int, old_name int"),
    ("other_type", "a int, b varchar(10)"),
    ("generates", "a int, twice int GENERATED ALWAYS AS (a * 2) STORED"),
    ("with_label", "a int, mood mood"),
    ("with_pair", "a int, pair pair"),
    ("with_class", "a int, class regclass"),
    ("again", "a int"),
    ("swap_one", "a int"),
    ("swap_two", "a int"),
    ("moved", "a int"),
];

fn fill(cluster: &Cluster) {
    cluster.sql("postgres", &format!("CREATE DATABASE {SHOP}"));
    cluster.sql(SHOP, "CREATE TYPE mood AS ENUM ('sad', 'glad')");
    cluster.sql(SHOP, "CREATE TYPE pair AS (x int, y int)");
    cluster.sql(SHOP, "CREATE SCHEMA other");
    cluster.sql(SHOP, "CREATE UNLOGGED TABLE unlogged (a int)");
    for (table, columns) in TABLES {
        cluster.sql(SHOP, &format!("CREATE TABLE {table} ({columns})"));
    }
    cluster.sql(SHOP, "CREATE INDEX again_a ON clustered (a)");
    for (table, columns) in TABLES.iter().filter(|(table, _)| *table != "empty") {
        let second = match *columns {
            c if c.contains("b text") => ", b) SELECT g, repeat('x', 300)",
            c if c.contains("mood") => ", mood) SELECT g, 'sad'::mood",
            c if c.contains("pair") => ", pair) SELECT g, row(g, 1)::pair",
            c if c.contains("class") => ", class) SELECT g, 'quiet'::regclass",
            _ => ") SELECT g",
        };
        on_segments(
            cluster,
            &format!("INSERT INTO {table} (a{second} FROM generate_series(1, 1000) g"),
        );
    }
    on_segments(cluster, "INSERT INTO unlogged VALUES (1)");
    // Nothing is left for VACUUM to do but what the test gives it to do.
    on_segments(cluster, "VACUUM FREEZE");
}

fn change_all(cluster: &Cluster) {
    on_segments(cluster, "SELECT count(*) FROM read_only");
    cluster.sql(SHOP, "GRANT SELECT ON granted TO PUBLIC");
    on_segments(cluster, "INSERT INTO inserted VALUES (5000, 'new')");
    // What a reader would clear away later, VACUUM clears away now.
    on_segments(cluster, "UPDATE updated SET b = 'y' WHERE a = 77");
    on_segments(cluster, "VACUUM updated");
    // The traces of this DELETE go with the pages.
    let pages = "SELECT pg_relation_size('cut_off')";
    let before = cluster.row_holders()[0].sql(SHOP, pages);
    cluster.sql(SHOP, "DELETE FROM cut_off WHERE a > 500");
    cluster.sql(SHOP, "VACUUM cut_off");
    assert_ne!(before, cluster.row_holders()[0].sql(SHOP, pages));
    cluster.sql(SHOP, "TRUNCATE truncated");
    cluster.sql(SHOP, "CLUSTER clustered USING again_a");
    for alter in [
        "has_column ADD COLUMN more int DEFAULT 7",
        "has_fewer DROP COLUMN gone",
        "other_column RENAME old_name TO new_name",
        "other_type ALTER b TYPE varchar(20)",
        "generates ALTER twice DROP EXPRESSION",
        "moved SET SCHEMA other",
        "swap_one RENAME TO aside",
        "swap_two RENAME TO swap_one",
        "aside RENAME TO swap_two",
    ] {
        cluster.sql(SHOP, &format!("ALTER TABLE {alter}"));
    }
    cluster.sql(SHOP, "ALTER TYPE mood RENAME VALUE 'sad' TO 'sorry'");
    cluster.sql(SHOP, "ALTER TYPE pair ADD ATTRIBUTE z int");
    cluster.sql(SHOP, "DROP TABLE again");
    cluster.sql(SHOP, "CREATE TABLE again (a int)");
}

fn every_kind_of_change(cluster: &Cluster) {
    fill(cluster);
    let full = dump(cluster, &[]);
    let before = Snapshot::take(cluster, SHOP);
    let idle = dump(cluster, &["--incremental"]);
    // These can never be proven: their text hangs on more than their pages.
    let never: BTreeSet<String> = ["unlogged", "with_class", "with_pair"].map(str::to_owned).into();
    assert_eq!(dirty(cluster, &idle), never);

    change_all(cluster);
    let changed = dump(cluster, &["--incremental"]);
    let after = Snapshot::take(cluster, SHOP);
    let untouched = ["quiet", "empty", "read_only", "granted", "moved"];
    let names = TABLES.iter().map(|(table, _)| (*table).to_owned());
    let mut expected: BTreeSet<String> = names.filter(|name| !untouched.contains(&name.as_str())).collect();
    expected.extend(["other.moved".to_owned(), "unlogged".to_owned()]);
    assert_eq!(dirty(cluster, &changed), expected);
    let last = dump(cluster, &["--incremental"]);
    assert_eq!(dirty(cluster, &last), never);

    for (key, state) in [(&full, &before), (&idle, &before), (&changed, &after), (&last, &after)] {
        restore(cluster, key, &["-e"]);
        assert_same(state, &Snapshot::take(cluster, SHOP));
    }
    // The database is another one now, whatever its tables are.
    let end = gpcrondump(cluster, &["--incremental"]).expect_status(0);
    assert!(end.stdout.contains("the database was created anew"), "{}", end.stdout);
    assert!(dirty(cluster, &end.timestamp_key()).contains("quiet"));
}

#[test]
fn what_changed_is_dumped_whatever_the_change_was() {
    every_kind_of_change(&Cluster::start(ClusterSpec::segments(2)));
}

#[test]
fn one_plain_server_is_no_different() {
    every_kind_of_change(&Plain::start());
}

#[test]
fn a_base_that_proves_nothing_leaves_nothing_out() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {SHOP}"));
    cluster.sql(SHOP, "CREATE TABLE t (a int)");
    on_segments(&cluster, "INSERT INTO t VALUES (1)");
    let says = |more: &[&str], status: i32, text: &str| {
        let end = gpcrondump(&cluster, more).expect_status(status);
        assert!(end.stdout.contains(text), "{text} is not in:\n{}", end.stdout);
        end.timestamp_key()
    };

    // A writer whose rows are in the pages already, and who commits behind the dump's back.
    let (master, segment) = (cluster.session(SHOP), cluster.segment(0).session(SHOP));
    master.sql("BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE");
    segment.sql("BEGIN; INSERT INTO t VALUES (2)");
    says(&["--cut-timeout", "1"], 1, "is not one cut across all segments");
    segment.sql("COMMIT");
    master.sql("COMMIT");
    drop((master, segment));
    let key = says(&["--incremental"], 0, "All heap tables are dumped: dump 2");
    assert_eq!(dirty(&cluster, &key), ["t".to_owned()].into());
    let key = says(
        &["--incremental"],
        0,
        "0 of 0 append-optimized tables and 0 of 2 heap tables",
    );
    assert!(dirty(&cluster, &key).is_empty());

    // A file of another time, or none.
    let directory = cluster.segment(1).data_dir.join("db_dumps").join(&key[..8]);
    let file = directory.join(format!("gp_dump_1_3_{key}_heap_state_file"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"timeline\":1", "\"timeline\":2")).unwrap();
    let key = says(&["--incremental"], 0, "is not the file that the manifest names");
    assert_eq!(dirty(&cluster, &key), ["t".to_owned()].into());
    fs::remove_file(directory.join(format!("gp_dump_1_3_{key}_heap_state_file"))).unwrap();
    let key = says(
        &["--incremental"],
        0,
        "Nothing is known about changes of heap tables on segment 1",
    );
    assert_eq!(dirty(&cluster, &key), ["t".to_owned()].into());

    // A set that was made without the option.
    let plain = Program::new("gpcrondump", &cluster).args(["-a", "-x", SHOP, "--incremental"]);
    plain.run().expect_status(0);
    let key = says(&["--incremental"], 0, "was made without --incremental-heap");
    restore(&cluster, &key, &["-e"]);
    let rows = |content| cluster.segment_sql(content, SHOP, "SELECT count(*) FROM t")[0][0].clone();
    assert_eq!([rows(0), rows(1)], [Some("2".into()), Some("1".into())]);
}

/// Money that moves between tables and segments while increments are made: what is left out is as it was.
#[test]
fn no_order_of_events_loses_a_row() {
    const ACCOUNTS: usize = 8;
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {SHOP}"));
    for account in 0..ACCOUNTS {
        cluster.sql(
            SHOP,
            &format!("CREATE TABLE account{account} (owner int, balance bigint)"),
        );
        on_segments(
            &cluster,
            &format!("INSERT INTO account{account} SELECT g, 1000 FROM generate_series(1, 20) g"),
        );
    }
    let mut keys = vec![dump(&cluster, &[])];
    let (done, transfers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let master = cluster.session(SHOP);
            let segments = [0, 1].map(|content| cluster.segment(content).session(SHOP));
            let mut n: usize = 1;
            while !done.load(Ordering::Relaxed) {
                n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                // For a while the same few, so that others rest.
                let now = transfers.load(Ordering::Relaxed) / 60;
                let pick = |bits: usize| (now + (n >> bits) % 3) % ACCOUNTS;
                let (from, to, owner) = (pick(20), pick(36), 1 + (n >> 52) % 20);
                // The lock on the master is held until the last segment has committed, as Greenplum does it.
                master.sql(&format!(
                    "BEGIN; LOCK TABLE account{from}, account{to} IN ROW EXCLUSIVE MODE"
                ));
                let update = |account, by| {
                    format!("BEGIN; UPDATE account{account} SET balance = balance {by} WHERE owner = {owner}")
                };
                segments[0].sql(&update(from, "- 7"));
                segments[1].sql(&update(to, "+ 7"));
                segments[0].sql("COMMIT");
                std::thread::sleep(Duration::from_millis(3));
                segments[1].sql("COMMIT");
                master.sql("COMMIT");
                transfers.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for _ in 0..4 {
            keys.push(dump(&cluster, &["--incremental"]));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(transfers.into_inner() > 20);
    let left_out: usize = keys[1..].iter().map(|key| ACCOUNTS - dirty(&cluster, key).len()).sum();
    assert!(left_out > 0, "every table was dumped every time");
    for key in keys {
        restore(&cluster, &key, &["-e"]);
        let sums = (0..ACCOUNTS).map(|account| format!("SELECT balance FROM account{account}"));
        let sql = format!(
            "SELECT sum(balance) FROM ({}) s",
            sums.collect::<Vec<_>>().join(" UNION ALL ")
        );
        let on = |content| {
            cluster.segment_sql(content, SHOP, &sql)[0][0]
                .clone()
                .unwrap()
                .parse::<i64>()
                .unwrap()
        };
        assert_eq!(on(0) + on(1), 2 * ACCOUNTS as i64 * 20 * 1000, "key {key}");
    }
}
