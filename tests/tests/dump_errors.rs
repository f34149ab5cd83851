//! What can go wrong with a dump (`gpcrondump.md` 1.5 and 5), as far as it still can: the exact line and the status. The
//! checks of options alone (1.4) have their table beside the program.

use std::fs;
use std::time::Duration;

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program, bin};
use gpdump_tests::within;

#[track_caller]
fn assert_said(end: &Finished, row: &str, line: &str, status: i32) {
    let said = |text: &str| text.lines().any(|other| other.ends_with(&format!("-{line}")));
    assert!(
        end.status == Some(status) && said(&end.stdout),
        "{row}: status {:?}, not in it: {line}\n{}{}",
        end.status,
        end.stdout,
        end.stderr
    );
}

fn known(text: &str) -> String {
    format!("[ERROR]:-gpcrondump error: {text}")
}

fn failed(text: &str) -> String {
    format!("[CRITICAL]:-gpcrondump failed. (Reason='{text}') exiting...")
}

#[test]
fn every_row_of_the_catalogue_is_said_and_counts() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    for sql in [
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1 AS one",
        "CREATE TABLE gpcrondump_history (a int)",
    ] {
        server.sql("demo", sql);
    }
    let home = server.home();
    let file = |name: &str, text: &str| {
        let path = home.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (quoted, empty) = (file("quoted", "\"nosuch\"\n"), file("empty", ""));
    let no_server = home.join("no_server");
    fs::create_dir(&no_server).unwrap();
    fs::write(no_server.join("postgresql.conf"), "port = 1\n").unwrap();
    let no_server = no_server.to_str().unwrap();
    let history = "Failed to insert record into public.gpcrondump_history in demo database";
    let cases: &[(&str, &str, String, i32)] = &[
        (
            "1.5 -R",
            "-x demo -H -R /nosuch/program",
            "[WARNING]:-Could not locate /nosuch/program".into(),
            1,
        ),
        (
            "1.5 -R",
            "-x demo -H -R /bin/true",
            "[INFO]:-Located /bin/true, will call after dump completed".into(),
            0,
        ),
        (
            "1.5 several",
            "-x demo -x postgres -t a.b",
            known("Cannot supply a table dump list if multiple database dumps are requested"),
            2,
        ),
        (
            "1.5 several",
            "-x demo,postgres -s public",
            known("Cannot include specific schema if multiple database dumps are requested"),
            2,
        ),
        (
            "1.5 several",
            "-x demo,postgres -S public",
            known("Cannot exclude specific schema if multiple database dumps are requested"),
            2,
        ),
        (
            "1.5 several",
            "-x demo,postgres -T public.t",
            known("Cannot exclude specific tables if multiple database dumps are requested"),
            2,
        ),
        (
            "1.5 several",
            "-x demo,postgres -K 20210101010101",
            known("multi-database backup is not supported with -K option"),
            2,
        ),
        (
            "1.5 several",
            "-x demo -x postgres -H",
            "[INFO]:-Configuring for multiple database dump".into(),
            0,
        ),
        (
            "1.5 database",
            "-x demo -x nosuch",
            known("Database nosuch does not exist."),
            2,
        ),
        (
            "1.5 schema",
            "-x demo -s nosuch",
            known("Schema nosuch does not exist in database demo."),
            2,
        ),
        (
            "5.1 -B",
            "-x demo -B 0",
            failed("WorkerPool(): numWorkers should be greater than 0."),
            2,
        ),
        (
            "5.2 unknown database",
            "-x sales",
            known("Database sales does not exist."),
            2,
        ),
        ("5.2 -x ''", "-x ''", known("Database  does not exist."), 2),
        ("5.2 -x a,b", "-x a,b", known("Database a,b does not exist."), 2),
        (
            "5.2 schema file",
            &format!("-x demo --schema-file {quoted}"),
            known("Schema \"nosuch\" does not exist in database demo."),
            2,
        ),
        (
            "5.2 -t unknown",
            "-x demo -t cool.dude",
            known("Table cool.dude does not exist in demo database"),
            2,
        ),
        (
            "5.2 -t without schema",
            "-x demo -t h1",
            known("No schema name supplied for table h1"),
            2,
        ),
        (
            "5.2 -T without schema",
            "-x demo -T h1",
            known("No schema name supplied for exclude table h1"),
            2,
        ),
        (
            "5.2 -T unknown",
            "-x demo -H -T cool.dude",
            "[WARNING]:-Exclude table cool.dude does not exist in demo database, ignoring".into(),
            0,
        ),
        (
            "5.2 -T unknown",
            "-x demo -H -T cool.dude",
            "[WARNING]:-All exclude table names have been removed due to issues, see log file".into(),
            0,
        ),
        (
            "5.2 -t a.b.c",
            "-x demo -t a.b.c",
            known("Table a.b.c does not exist in demo database"),
            2,
        ),
        (
            "5.2 -t ''",
            "-x demo -t ''",
            known("No schema name supplied for table "),
            2,
        ),
        (
            "5.2 table file missing",
            "-x demo --table-file /nosuch",
            failed("[Errno 2] No such file or directory: '/nosuch'"),
            2,
        ),
        (
            "5.2 directory as table file",
            "-x demo --table-file /tmp",
            failed("[Errno 21] Is a directory: '/tmp'"),
            2,
        ),
        (
            "5.2 empty table file",
            &format!("-x demo --table-file {empty}"),
            known(&format!("There is no name of a table to dump in file \"{empty}\"")),
            2,
        ),
        (
            "5.2 -u",
            "-x demo -u a/b",
            failed(
                "\"a/b\" is not an absolute path. Please specify the absolute path where the backup files will be placed on each host.",
            ),
            2,
        ),
        ("5.2 -K", "-x demo -K 2024", failed("Invalid timestamp key"), 2),
        (
            "5.2 -K",
            "-x demo -K 20241301000000",
            failed("month must be in 1..12"),
            2,
        ),
        (
            "5.2 -K",
            "-x demo -K 20240230000000",
            failed("day is out of range for month"),
            2,
        ),
        (
            "5.2 -K",
            "-x demo -K 20240101240000",
            failed("hour must be in 0..23"),
            2,
        ),
        (
            "5.2 -K",
            "-x demo -K 20200101000000",
            failed("There is a future dated backup on the system preventing new backups"),
            2,
        ),
        (
            "5.3 directory",
            "-x demo -u /proc/nope",
            known("Could not create /proc/nope on master. Cannot continue."),
            2,
        ),
        ("5.3 history", "-x demo", format!("[ERROR]:-{history}"), 1),
        (
            "5.4 no full dump",
            "-x demo --prefix other --incremental",
            failed("No full backup found for incremental"),
            2,
        ),
    ];
    for (row, line, expected, status) in cases {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| if word == "''" { "" } else { word })
            .collect();
        let end = Program::new("gpcrondump", &server).args(["-a", "-b"]).args(words).run();
        assert_said(&end, &format!("{row}: {line}"), expected, *status);
    }

    // What is not on the command line.
    let end = Program::new("gpcrondump", &server).args(["-x", "demo"]).run();
    assert_said(&end, "5.1 stdin closed", &failed("EOF when reading a line"), 2);
    let end = Program::new("gpcrondump", &server)
        .args(["-a", "-x", "demo", "-d", no_server])
        .run();
    assert_eq!(end.status, Some(2), "5.1 no server\n{}", end.stdout);
    assert!(
        end.stdout.contains("[CRITICAL]:-gpcrondump failed. (Reason='"),
        "{}",
        end.stdout
    );
    let end = Program::new("gpcrondump", &server)
        .env("PGPORT", "")
        .args(["-a", "-x", "demo", "-d", "/tmp"])
        .run();
    let text = failed("[Errno 2] No such file or directory: '/tmp/postgresql.conf'");
    assert_said(&end, "5.1 -d", &text, 2);
    // One that waits for an answer holds the lock.
    let mut first = std::process::Command::new(bin("gpcrondump"))
        .envs(server.env())
        .args(["-x", "demo"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = server.master_data_dir().join("gpcrondump.pid");
    within(Duration::from_secs(20), "the first run holds the lock", || {
        fs::read_to_string(&pid).is_ok_and(|text| text.trim() == first.id().to_string())
    });
    let end = Program::new("gpcrondump", &server).args(["-a", "-x", "demo"]).run();
    let line = format!(
        "[ERROR]:-An instance of gpcrondump is already running (pid {})",
        first.id()
    );
    drop(first.stdin.take());
    first.wait().unwrap();
    assert_said(&end, "5.1 already running", &line, 2);
}

#[test]
fn a_segment_that_cannot_make_its_directory_is_named() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    let data_dir = &cluster.segments()[1].data_dir;
    fs::write(data_dir.join("db_dumps"), "in the way").unwrap();
    let end = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", "postgres"])
        .run();
    assert_said(
        &end,
        "5.3",
        &known("Cannot continue. 1 segment(s) failed directory checks"),
        2,
    );
    let host = cluster.sql(
        "postgres",
        "SELECT hostname FROM gp_segment_configuration WHERE content = 1",
    );
    let line = format!(
        "[ERROR]:-Could not create {} on {}.",
        data_dir.display(),
        host[0][0].as_deref().unwrap_or_default()
    );
    assert_said(&end, "5.3", &line, 2);
    let end = Program::new("gpcrondump", &cluster).args(["-a", "-o"]).run();
    assert!(end.stdout.contains("Clearing dumps only..."), "{}", end.stdout);
}
