//! Increments: their base, their chain, their restore. Here everything is dirty; what is left out is in
//! `incremental_property`.

use std::fs;
use std::path::PathBuf;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE shop");
    cluster.sql(
        "shop",
        "CREATE TABLE t (a int, b text); CREATE TABLE \"Odd, one\" (a int)",
    );
    // Rows belong to the segments, and the master here distributes only those of COPY.
    for content in 0..2 {
        cluster.segment_sql(
            content,
            "shop",
            "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 25) g",
        );
    }
    cluster
}

fn count(cluster: &Cluster) -> i64 {
    let of = |content| cluster.segment_sql(content, "shop", "SELECT count(*) FROM t");
    (0..2)
        .map(|content| of(content)[0][0].as_deref().unwrap().parse::<i64>().unwrap())
        .sum()
}

fn dump(cluster: &Cluster, more: &[&str]) -> Finished {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-x", "shop"])
        .args(more.iter().copied())
        .run()
}

fn restore(cluster: &Cluster, more: &[&str]) -> Finished {
    Program::new("gpdbrestore", cluster)
        .args(["-a"])
        .args(more.iter().copied())
        .run()
}

fn file(cluster: &Cluster, key: &str, rest: &str) -> PathBuf {
    let directory = cluster.master_data_dir().join("db_dumps").join(&key[..8]);
    directory.join(format!("gp_dump_{key}{rest}"))
}

#[test]
fn each_key_of_a_chain_restores_to_what_was_there() {
    let cluster = cluster();
    let mut states = Vec::new();
    let changes = [
        "SELECT 1",
        "DELETE FROM t WHERE a % 3 = 0; CREATE TABLE later AS SELECT 1 AS x",
        "DROP TABLE \"Odd, one\"; ALTER TABLE t ADD COLUMN c int DEFAULT 7; INSERT INTO later VALUES (2)",
    ];
    for (at, change) in changes.iter().enumerate() {
        for statement in change.split("; ") {
            cluster.sql("shop", statement);
        }
        let more: &[&str] = if at == 0 { &[] } else { &["--incremental"] };
        let key = dump(&cluster, more).expect_status(0).timestamp_key();
        states.push((key, Snapshot::take(&cluster, "shop")));
    }
    let keys: Vec<&str> = states.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        fs::read_to_string(file(&cluster, keys[0], "_increments")).unwrap(),
        format!("{}\n{}\n", keys[1], keys[2])
    );
    let report = fs::read_to_string(file(&cluster, keys[2], ".rpt")).unwrap();
    assert!(report.contains("Backup Type: Incremental"), "{report}");
    for (key, state) in &states {
        restore(&cluster, &["-e", "-t", key]).expect_status(0);
        assert_same(state, &Snapshot::take(&cluster, "shop"));
    }
    let listed = restore(&cluster, &["--list-backup", "-t", keys[2]]).expect_status(0);
    let needed: Vec<&str> = listed
        .stdout
        .lines()
        .filter_map(|line| line.split_once("Backup Timestamp: "))
        .map(|(_, key)| key)
        .collect();
    assert_eq!(needed, [keys[2], keys[1], keys[0]]);
    let plan = file(&cluster, keys[2], "").with_file_name(format!("gp_restore_{}_plan", keys[2]));
    let plan = fs::read_to_string(plan).unwrap();
    assert!(plan.starts_with(&format!("{}:", keys[2])), "{plan}");
    assert!(plan.ends_with(&format!("\n{}:\n{}:\n", keys[1], keys[0])), "{plan}");

    // Only what the increment itself has.
    cluster.sql("shop", "TRUNCATE t, later, public.gpcrondump_history");
    restore(&cluster, &["--noplan", "-t", keys[2]]).expect_status(0);
    assert_same(&states[2].1, &Snapshot::take(&cluster, "shop"));
}

#[test]
fn what_is_no_base_is_said_before_any_work() {
    let cluster = cluster();
    let refused = |more: &[&str], text: &str| {
        let end = dump(&cluster, more).expect_status(2);
        assert!(end.stdout.contains(text), "{text} is not in:\n{}", end.stdout);
    };
    refused(&["--incremental"], "Reason='No full backup found for incremental'");
    let full = dump(&cluster, &[]).expect_status(0).timestamp_key();
    refused(
        &["--incremental", "--prefix", "p"],
        "No full backup found for incremental",
    );
    let first = dump(&cluster, &["--incremental"]).expect_status(0).timestamp_key();

    // A set that is not whole is no part of a chain.
    let hide = |path: &PathBuf, text: &str| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        refused(&["--incremental"], text);
        fs::rename(&aside, path).unwrap();
    };
    hide(
        &file(&cluster, &full, "_manifest.json"),
        "No full backup found for incremental",
    );
    let broken = format!("Timestamp '{first}' from increments file");
    for rest in ["_manifest.json", ".rpt", "_dirty_list"] {
        hide(&file(&cluster, &first, rest), &broken);
    }
    hide(
        &file(&cluster, &first, "_ao_state_file"),
        "ao state file does not exist: ",
    );
    let spoil = |path: &PathBuf, wrong: &str, text: &str| {
        let right = fs::read_to_string(path).unwrap();
        fs::write(path, wrong).unwrap();
        refused(&["--incremental"], text);
        fs::write(path, right).unwrap();
    };
    let increments = file(&cluster, &full, "_increments");
    spoil(&increments, "", "increments file exists but is empty: ");
    spoil(
        &increments,
        "soon\n",
        "get_last_dump_timestamp found invalid ts in file",
    );
    spoil(
        &file(&cluster, &first, "_co_state_file"),
        "a, b\n",
        "Invalid state file format a, b",
    );
    spoil(
        &file(&cluster, &first, "_last_operation"),
        "a,b\n",
        "Wrong number of tokens in last_operation data for last backup: \"a,b\"",
    );
    let end = dump(&cluster, &["--incremental", "-K", &first]).expect_status(2);
    assert!(
        end.stdout.contains("There is a future dated backup on the system"),
        "{}",
        end.stdout
    );
    dump(&cluster, &["--incremental"]).expect_status(0);

    // What a full dump of chosen tables does not hold is in the increment.
    let chosen = dump(&cluster, &["-t", "public.t"]).expect_status(0).timestamp_key();
    let whole = dump(&cluster, &["--incremental"]).expect_status(0).timestamp_key();
    let there = Snapshot::take(&cluster, "shop");
    let chain = fs::read_to_string(file(&cluster, &chosen, "_increments")).unwrap();
    assert_eq!(chain, format!("{whole}\n"));
    restore(&cluster, &["-e", "-t", &whole]).expect_status(0);
    assert_same(&there, &Snapshot::take(&cluster, "shop"));
}

#[test]
fn a_chain_that_is_not_whole_is_refused_before_the_database_is_dropped() {
    let cluster = cluster();
    let full = dump(&cluster, &[]).expect_status(0).timestamp_key();
    let increment = dump(&cluster, &["--incremental"]).expect_status(0).timestamp_key();
    for (key, rest, text) in [
        (
            &full,
            "_increments",
            "Could not locate full backup associated with timestamp",
        ),
        (&full, "_manifest.json", "is incomplete or damaged"),
        (&full, ".rpt", "Unable to locate report file"),
        (&increment, "_table_list", "No such file or directory"),
        (&increment, "_dirty_list", "No such file or directory"),
    ] {
        let path = file(&cluster, key, rest);
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        let end = restore(&cluster, &["-e", "-t", &increment]).expect_status(2);
        assert!(end.stdout.contains(text), "{text} is not in:\n{}", end.stdout);
        assert_eq!(count(&cluster), 50);
        fs::rename(&aside, &path).unwrap();
    }
    let end = restore(&cluster, &["--list-backup", "-t", &full]).expect_status(2);
    assert!(
        end.stdout
            .contains("--list-backup is not supported for restore with full timestamps")
    );
    let end = restore(&cluster, &["-e", "--noplan", "-t", &increment]).expect_status(2);
    assert!(
        end.stdout.contains("there would be no table for them"),
        "{}",
        end.stdout
    );
}

#[test]
fn the_filter_of_a_prefix_is_kept() {
    let cluster = cluster();
    dump(&cluster, &["--prefix", "p", "-t", "public.t"]).expect_status(0);
    let listed = dump(&cluster, &["--prefix", "p", "--incremental", "--list-filter-tables"]).expect_status(0);
    assert!(
        listed.stdout.contains("-Filtering shop for the following tables:"),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stdout.lines().last().unwrap().ends_with("-public.t"),
        "{}",
        listed.stdout
    );
    cluster.sql("shop", "CREATE TABLE stray (a int)");
    let end = dump(&cluster, &["--prefix", "p", "--incremental"]).expect_status(0);
    let key = end.timestamp_key();
    assert!(end.stdout.contains("--incremental-filter="), "{}", end.stdout);
    let list = file(&cluster, &key, "_table_list");
    let list = list.with_file_name(format!("p_{}", list.file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::read_to_string(list).unwrap(), "public.t\n");
    restore(&cluster, &["-e", "--prefix", "p", "-t", &key]).expect_status(0);
    assert_eq!(count(&cluster), 50);
    assert!(cluster.try_sql("shop", "SELECT 1 FROM stray").is_err());

    dump(&cluster, &["--prefix", "q"]).expect_status(0);
    let listed = dump(&cluster, &["--prefix", "q", "--incremental", "--list-filter-tables"]).expect_status(0);
    assert!(
        listed
            .stdout
            .contains("-No filter file found for database shop and prefix q."),
        "{}",
        listed.stdout
    );
    assert!(
        listed
            .stdout
            .contains("-All tables in shop will be included in the dump."),
        "{}",
        listed.stdout
    );
}
