//! What a restore does about statements and rows that the server refuses, and what it does at the same time.

use std::fs;
use std::time::Duration;

use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::{DEMO, assert_said as said, dump, one, try_restore as run};

#[test]
fn tables_that_were_refused_are_listed_for_a_second_try() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(
        DEMO,
        "CREATE TABLE public.good (a int); CREATE TABLE public.bad (a int, b text); CREATE TABLE public.half (a int)",
    );
    for content in 0..2 {
        cluster.segment_sql(
            content,
            DEMO,
            &format!(
                "INSERT INTO good SELECT generate_series(1, 10); INSERT INTO bad SELECT g, 'x' FROM generate_series(1, 10) g; \
                 INSERT INTO half SELECT {content} * 100 + g FROM generate_series(1, 10) g"
            ),
        );
    }
    let key = dump(&cluster, &[]);
    cluster.sql(
        DEMO,
        "DROP TABLE good; TRUNCATE bad, half; ALTER TABLE bad ADD CHECK (a < 7); ALTER TABLE half ADD CHECK (a < 100)",
    );
    let tables = ["-T", "public.good", "-T", "public.bad", "-T", "public.half"];
    let end = run(&cluster, &[&["-t", key.as_str()], &tables[..]].concat()).expect_status(1);
    // Table, file, line.
    said(&end, "loading table public.bad from \"");
    said(&end, "COPY bad, line 7");
    said(
        &end,
        "Table public.half is partial: 10 rows of the set were added to those it had",
    );
    let list = cluster
        .master_data_dir()
        .join(format!("gp_restore_{key}_failed_tables"));
    said(&end, &format!("2 tables are not whole: {} names them", list.display()));
    assert_eq!(
        fs::read_to_string(&list).expect("the list"),
        "public.bad\npublic.half\n"
    );
    cluster.sql(
        DEMO,
        "ALTER TABLE bad DROP CONSTRAINT bad_a_check; ALTER TABLE half DROP CONSTRAINT half_a_check",
    );
    let file = list.with_file_name("again");
    fs::rename(&list, &file).expect("it is ours");
    run(
        &cluster,
        &["-t", &key, "--table-file", &file.display().to_string(), "--truncate"],
    )
    .expect_status(0);
    assert!(!list.exists());
    assert_eq!(
        one(
            &cluster,
            "SELECT count(*) FROM pg_tables WHERE tablename IN ('good', 'bad', 'half')"
        ),
        "3"
    );
    for table in ["good", "bad", "half"] {
        let rows: usize = cluster
            .row_holders()
            .iter()
            .map(|holder| holder.sql(DEMO, &format!("SELECT * FROM {table}")).len())
            .sum();
        assert_eq!(rows, 20, "{table}");
    }
    cluster.sql(DEMO, "TRUNCATE bad; ALTER TABLE bad ADD CHECK (a < 7)");
    let end = run(&cluster, &["-t", &key, "-T", "public.bad", "--stop-on-error"]).expect_status(2);
    said(&end, "ended at its first error, as --stop-on-error asks");
    // A definition that is refused ends it before any row.
    cluster.sql(DEMO, "TRUNCATE bad, half");
    let end = run(&cluster, &["-t", &key, "--stop-on-error"]).expect_status(2);
    said(&end, "ended at its first error, as --stop-on-error asks");
    assert_eq!(one(&cluster, "SELECT count(*) FROM half"), "0");
}

#[test]
fn what_a_set_of_some_tables_needs_may_be_there() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql(
        DEMO,
        "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('a'); CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS \
         'SELECT $1'; CREATE TABLE s.t (a int DEFAULT s.f(1), m s.mood); INSERT INTO s.t VALUES (1, 'a'); CREATE TABLE s.other (a int)",
    );
    let key = dump(&server, &["-t", "s.t"]);
    server.sql(DEMO, "DROP TABLE s.t");
    let end = run(&server, &["-t", &key]).expect_status(0);
    assert_eq!(one(&server, "SELECT count(*) FROM s.t"), "1");
    // What is there of another kind is not what is needed.
    server.sql(DEMO, "DROP TABLE s.t; DROP TYPE s.mood; CREATE TABLE s.mood (a int)");
    run(&server, &["-t", &key]).expect_status(1);
    assert!(!end.stdout.contains("[ERROR]"), "{}", end.stdout);
}

#[test]
fn indexes_are_made_at_the_same_time_as_far_as_asked() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql(
        DEMO,
        "CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.7); RETURN i; END'",
    );
    for table in ["a", "b", "c"] {
        server.sql(
            DEMO,
            &format!(
                "CREATE TABLE {table} (i int PRIMARY KEY); INSERT INTO {table} VALUES (1); \
                 CREATE INDEX {table}_slow ON {table} (public.slow(i)); \
                 ALTER TABLE {table} ADD FOREIGN KEY (i) REFERENCES a (i)"
            ),
        );
    }
    let key = dump(&server, &[]);
    for (jobs, least, most) in [("3", 2, 3), ("1", 1, 1)] {
        let program = Program::new("gpdbrestore", &server).args(["-a", "-e", "-t", &key, "--jobs", jobs]);
        let mut child = program.spawn();
        let mut seen = 0;
        while child.try_wait().expect("our child").is_none() {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE INDEX%'";
            let count = server.sql("postgres", sql)[0][0]
                .as_deref()
                .and_then(|n| n.parse().ok());
            seen = seen.max(count.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(child.wait().expect("our child").success());
        assert!((least..=most).contains(&seen), "--jobs {jobs}: {seen} at once");
        let sql = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
        assert_eq!(one(&server, sql), "3");
    }
}
