//! `--inserts`, `--column-inserts` and `--oids`: rows as statements, there and back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::{ANYWHERE, DEMO, assert_restored, base_version, dump, dump_files, dump_of, load, restore, spoil};

/// The plain data files of a set, joined.
fn data_of(cluster: &Cluster, key: &str) -> String {
    let is_data = |name: &str| {
        name.ends_with(key) && name.starts_with("gp_dump_") && !name.contains("-1_1") && !name.contains("status")
    };
    let files = dump_files(cluster);
    let data = files
        .iter()
        .filter(|path| is_data(&path.file_name().unwrap().to_string_lossy()));
    data.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect()
}

#[test]
fn everything_comes_back_from_statements() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &["--inserts", "-z"]);
    let text = data_of(&cluster, &key);
    assert!(!text.contains("\nCOPY "), "rows of COPY are left");
    assert!(text.contains("\nINSERT INTO "), "{text:.3000}");
    spoil(&cluster);
    restore(&cluster, &key, &["-e"]);
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));

    // One table, by its index, out of compressed statements that name their columns.
    let key = dump(&cluster, &["--column-inserts"]);
    cluster.sql(DEMO, "TRUNCATE sales.orders");
    restore(&cluster, &key, &["-T", "sales.orders", "--truncate"]);
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn every_kind_of_value_and_of_column_comes_back() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    for sql in [
        "CREATE DOMAIN whole AS int",
        "CREATE TABLE v (n numeric, f float8, r float4, i whole, b bit(4), vb bit varying, o boolean, t text, by bytea, \
           a text[], j jsonb, ts timestamptz, c \"char\")",
        "INSERT INTO v VALUES (1.50, 0.1, 1e-20, 7, B'1010', B'', true, E'a''b\\\\c\\td\\ne\\r;--\\b', '\\x00ff27', \
           '{\"x,y\",NULL,\"q\\\"\"}', '{\"k\": \"it''s\"}', '2020-01-02 03:04:05+00', '''')",
        "INSERT INTO v VALUES ('NaN', 'NaN', '-Infinity', -1, NULL, B'1', false, '', '', '{}', 'null', 'infinity', ';')",
        "INSERT INTO v (t) VALUES (NULL), ('\\N'), ('NULL')",
        "CREATE TABLE g (a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text)",
        "INSERT INTO g (a, b) VALUES (1, 'x'), (2, NULL)",
        "CREATE TABLE id (id int GENERATED ALWAYS AS IDENTITY, t text)",
        "INSERT INTO id (t) VALUES ('one'), ('two')",
        "CREATE TABLE bare ()",
        "INSERT INTO bare DEFAULT VALUES",
        "INSERT INTO bare SELECT FROM generate_series(1, 2500)",
        "CREATE TABLE \"em'pty\" (a int)",
        "CREATE TABLE long (t text)",
        "INSERT INTO long SELECT repeat(E'\\'\\\\\\t', 1000000)",
    ] {
        server.sql(DEMO, sql);
    }
    let before = Snapshot::take(&server, DEMO);
    for option in ["--inserts", "--column-inserts"] {
        let key = dump(&server, &["-z", "-H", option]);
        let text = data_of(&server, &key);
        let names = if option == "--inserts" { "" } else { "(t) " };
        assert!(text.contains(&format!("INSERT INTO long {names}VALUES ('")), "{option}");
        assert!(text.contains("INSERT INTO g (a, b) VALUES (1, 'x');\n"), "{option}");
        assert!(text.contains("INSERT INTO bare DEFAULT VALUES;\n"), "{option}");
        assert!(
            text.contains("OVERRIDING SYSTEM VALUE VALUES (1, 'one');\n"),
            "{option}"
        );
        restore(&server, &key, &["-e"]);
        assert_same(&before, &Snapshot::take(&server, DEMO));
        // What the file says to psql is the same again.
        server.sql("postgres", "DROP DATABASE IF EXISTS by_psql");
        server.sql("postgres", "CREATE DATABASE by_psql");
        let files = dump_files(&server);
        let of = |part: &str| {
            files
                .iter()
                .find(|path| path.to_string_lossy().ends_with(&format!("{part}_{key}")))
        };
        for file in [of("gp_dump_-1_1"), of("gp_dump_0_2")] {
            server.load_file("by_psql", file.unwrap());
        }
        let counted =
            "SELECT (SELECT count(*) FROM bare) + (SELECT count(*) FROM v) + (SELECT sum(length(t)) FROM long)";
        assert_eq!(server.sql("by_psql", counted), server.sql(DEMO, counted));
    }
}

#[test]
fn a_server_without_object_ids_is_told_so() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    let end = Program::new("gpcrondump", &server)
        .args(["-a", "-x", DEMO, "--oids"])
        .run();
    let end = end.expect_status(2);
    assert!(
        end.stdout.contains("--oids: this server has no object ids for rows"),
        "{}",
        end.stdout
    );
    assert!(dump_files(&server).is_empty());
}

/// Only a Greenplum up to 6 has them: `GPDUMP_TEST_CLUSTER=env` names one.
#[test]
fn rows_come_back_with_their_object_ids() {
    let cluster = Cluster::for_tests(2);
    if cluster.is_own() || base_version(&cluster) >= 120_000 {
        return;
    }
    load(&cluster);
    let ids = || cluster.sql(ANYWHERE, "SELECT oid, a, gp_segment_id FROM with_oids ORDER BY 2, 1");
    let before = ids();
    let key = dump_of(ANYWHERE, &cluster, &["--oids"]);
    cluster.sql(ANYWHERE, "TRUNCATE with_oids");
    restore(&cluster, &key, &["-e"]);
    assert_eq!(before, ids());
}
