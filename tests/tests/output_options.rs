//! How the SQL of a set is written: owners, privileges, drops, encodings.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::path::Path;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, Plain, Program};
use gpdump_tests::{DEMO, dump, dump_files, restore};

/// The text of a file of the newest set.
fn text(path: &Path) -> Vec<u8> {
    if !path.to_string_lossy().contains(".gz") {
        return fs::read(path).unwrap();
    }
    let told = std::process::Command::new("gzip")
        .arg("-dc")
        .stdin(fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", path.display());
    told.stdout
}

fn of_set(cluster: &Cluster, key: &str, part: &str) -> String {
    let is_it = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.contains(part) && name.contains(key)
    };
    let files = dump_files(cluster);
    let path = files
        .iter()
        .find(|path| is_it(path))
        .unwrap_or_else(|| panic!("{part}"));
    String::from_utf8_lossy(&text(path)).into_owned()
}

/// Names of the master's files.
fn definitions(key: &str) -> String {
    format!("gp_dump_-1_1_{key}.gz")
}

fn small_database(server: &Cluster) {
    server.sql("postgres", "CREATE ROLE \"the owner\"");
    server.sql("postgres", "CREATE ROLE reader");
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql("postgres", "GRANT CONNECT ON DATABASE demo TO reader");
    for sql in [
        "CREATE SCHEMA s AUTHORIZATION \"the owner\"",
        "CREATE TABLE s.t (id serial PRIMARY KEY, a text)",
        "ALTER TABLE s.t OWNER TO \"the owner\"",
        "GRANT SELECT ON s.t TO reader",
        "CREATE TABLE s.child (id int REFERENCES s.t)",
        "CREATE VIEW s.v AS SELECT id, a FROM s.t GROUP BY id",
        "INSERT INTO s.t (a) VALUES ('gr\u{fc}n'), ('b')",
    ] {
        server.sql(DEMO, sql);
    }
}

#[test]
fn owners_and_privileges_are_left_out() {
    let server = Plain::start();
    small_database(&server);
    let end = Program::new("gpcrondump", &server)
        .args(["-a", "-x", DEMO, "--no-privileges", "--no-owner"])
        .run()
        .expect_status(0);
    let key = end.timestamp_key();
    let command = end.stdout.lines().find(|l| l.contains("command line")).unwrap();
    assert!(
        command.ends_with("--no-expand-children \"demo\" --no-privileges --no-owner"),
        "{command}"
    );
    assert!(of_set(&server, &key, ".rpt").contains("\nPass through Command Line Options: -x -O\n"));
    let ddl = of_set(&server, &key, &definitions(&key));
    assert!(ddl.contains("CREATE TABLE s.t ("), "{ddl}");
    assert!(
        !ddl.contains("OWNER TO") && !ddl.contains("GRANT") && !ddl.contains("the owner"),
        "{ddl}"
    );
    assert!(!of_set(&server, &key, "cdatabase").contains("GRANT"));
    assert!(of_set(&server, &key, "gp_dump_0_2").contains("Schema: s; Owner: -\n"));
    restore(&server, &key, &["-e"]);
    let owner = server.sql(
        DEMO,
        "SELECT tableowner, (SELECT count(*) FROM s.t) FROM pg_tables WHERE tablename = 't'",
    );
    assert_ne!(owner[0][0].as_deref(), Some("the owner"));
    assert_eq!(owner[0][1].as_deref(), Some("2"));
}

#[test]
fn owners_come_back_by_session_authorization() {
    let server = Plain::start();
    small_database(&server);
    server.sql("postgres", "GRANT CREATE ON DATABASE demo TO \"the owner\"");
    let before = Snapshot::take(&server, DEMO);
    let key = dump(&server, &["--use-set-session-authorization"]);
    let ddl = of_set(&server, &key, &definitions(&key));
    assert!(
        ddl.contains("SET SESSION AUTHORIZATION 'the owner';") && !ddl.contains("OWNER TO"),
        "{ddl}"
    );
    restore(&server, &key, &["-e"]);
    let owner = server.sql(DEMO, "SELECT tableowner FROM pg_tables WHERE tablename = 't'");
    assert_eq!(owner[0][0].as_deref(), Some("the owner"));
    assert_same(&before, &Snapshot::take(&server, DEMO));
}

#[test]
fn a_set_with_drops_goes_over_a_full_database_and_into_a_new_one() {
    let server = Plain::start();
    small_database(&server);
    let before = Snapshot::take(&server, DEMO);
    for option in ["-C", "--clean"] {
        let end = Program::new("gpcrondump", &server)
            .args(["-a", "-x", DEMO, "-H", option])
            .run()
            .expect_status(0);
        let command = end.stdout.lines().find(|l| l.contains("command line")).unwrap();
        let expected = match option {
            "-C" => "--no-lock -c --gp-c --no-expand-children \"demo\"",
            _ => "--no-lock --gp-c --no-expand-children \"demo\" --clean",
        };
        assert!(command.ends_with(expected), "{command}");
        let key = end.timestamp_key();
        let ddl = of_set(&server, &key, &definitions(&key));
        assert!(ddl.contains("DROP TABLE IF EXISTS s.t;"), "{ddl}");
        server.sql(DEMO, "INSERT INTO s.t (a) VALUES ('stray')");
        restore(&server, &key, &[]);
        assert_same(&before, &Snapshot::take(&server, DEMO));
        restore(&server, &key, &["-e"]);
        assert_same(&before, &Snapshot::take(&server, DEMO));
    }
}

#[test]
fn rows_in_another_encoding_come_back() {
    let cluster = Plain::start();
    small_database(&cluster);
    cluster.sql(
        DEMO,
        "CREATE TABLE s.\"t\u{fc}r\" AS SELECT 'gr\u{fc}n'::text AS \"f\u{e4}rbung\"",
    );
    let before = Snapshot::take(&cluster, DEMO);
    for (typed, name) in [("latin1", "LATIN1"), ("SQL_ASCII", "SQL_ASCII"), ("unicode", "UTF8")] {
        let end = Program::new("gpcrondump", &cluster)
            .args(["-a", "-x", DEMO, "-H", "-E", typed])
            .run()
            .expect_status(0);
        assert!(
            end.stdout.contains(&format!("-Adding encoding {typed}\n")),
            "{}",
            end.stdout
        );
        assert!(
            end.stdout.contains(&format!("--gp-c --encoding={typed} --no-expand")),
            "{}",
            end.stdout
        );
        let key = end.timestamp_key();
        let head = format!("SET client_encoding = '{name}';\n");
        assert!(of_set(&cluster, &key, "gp_dump_0_2").contains(&head));
        assert!(of_set(&cluster, &key, &definitions(&key)).contains("SET client_encoding = 'UTF8';\n"));
        restore(&cluster, &key, &["-e"]);
        assert_same(&before, &Snapshot::take(&cluster, DEMO));
    }
    let refused = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "-E", "klingon"])
        .run()
        .expect_status(2);
    assert!(
        refused
            .stdout
            .contains("The server knows no encoding \"klingon\" (option -E)"),
        "{}",
        refused.stdout
    );
    cluster.sql(DEMO, "INSERT INTO s.t (a) VALUES ('\u{6f22}')");
    let failed = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "-E", "LATIN1"])
        .run()
        .expect_status(2);
    assert!(failed.stdout.contains("LATIN1"), "{}", failed.stdout);
}

/// What rsync had to send of the new file to one who has the old one, and its size.
fn sent(old: &Path, new: &Path) -> (u64, u64) {
    let copy = old.with_extension("copy");
    fs::copy(old, &copy).unwrap();
    let told = std::process::Command::new("rsync")
        .args(["--stats", "--no-whole-file", "--ignore-times"])
        .args([new, &copy])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(fs::read(new).unwrap(), fs::read(&copy).unwrap());
    let told = String::from_utf8(told.stdout).unwrap();
    let line = told.lines().find(|line| line.starts_with("Literal data: ")).unwrap();
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    (digits.parse().unwrap(), fs::metadata(new).unwrap().len())
}

#[test]
fn rsync_sends_little_of_a_dump_in_which_few_rows_changed() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql(
        DEMO,
        "CREATE TABLE t AS SELECT i, md5(i::text) AS a, md5((i * 7)::text) AS b FROM generate_series(1, 200000) i",
    );
    let file = |key: &str| {
        let files = dump_files(&server);
        let found = files
            .iter()
            .find(|path| path.to_string_lossy().ends_with(&format!("gp_dump_0_2_{key}.gz")));
        found.unwrap().clone()
    };
    let mut shares = Vec::new();
    for (round, option) in ["--rsyncable", "-H"].into_iter().enumerate() {
        let (first, second) = (1000 + round, 100_000 + round);
        let old = dump(&server, &["-H", option]);
        server.sql(DEMO, &format!("DELETE FROM t WHERE i IN ({first}, {second})"));
        server.sql(
            DEMO,
            "UPDATE t SET a = 'new' WHERE i = 150000 + (SELECT count(*) FROM t WHERE a = 'new')",
        );
        let new = dump(&server, &["-H", option]);
        let (literal, size) = sent(&file(&old), &file(&new));
        shares.push(literal * 100 / size);
        if option == "--rsyncable" {
            let before = Snapshot::take(&server, DEMO);
            restore(&server, &new, &["-e"]);
            assert_same(&before, &Snapshot::take(&server, DEMO));
        }
    }
    assert!(shares[0] < 12, "percent sent with --rsyncable and without: {shares:?}");
    assert!(
        shares[1] > 2 * shares[0],
        "percent sent with --rsyncable and without: {shares:?}"
    );
}
