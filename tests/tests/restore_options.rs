//! Options of a restore that say how it goes, and what is refused before anything is changed: the exact line and the
//! status (`gpdbrestore.md` 1.4 and 6.2). The checks of options alone (1.3) have their table beside the program.

use std::fs;
use std::path::Path;

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program, Sshd, bin};
use gpdump_tests::{DEMO, assert_screen_and_log, dump, dump_files};

fn run(server: &Cluster, line: &str) -> Finished {
    Program::new("gpdbrestore", server)
        .args(line.split(' ').filter(|word| !word.is_empty()))
        .run()
}

/// Server, key of a set of its database, with table t of two rows.
fn with_a_set() -> (Cluster, String) {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql(DEMO, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
    let key = dump(&server, &[]);
    (server, key)
}

fn has_rows(server: &Cluster) -> bool {
    let count = server.sql(DEMO, "SELECT count(*) FROM t");
    count[0][0].as_deref() == Some("2")
}

#[test]
fn what_is_said_and_where() {
    let (server, key) = with_a_set();
    let logs = server.home().join("logs");
    let options = [["-q", "--quiet"], ["-v", "--verbose"]];
    assert_screen_and_log("gpdbrestore", &logs, options, |option| {
        let end = run(&server, &format!("-a -e -t {key} -l {} {option}", logs.display()));
        assert!(has_rows(&server), "{option}");
        end
    });
    let help = run(&server, "--help").expect_status(0);
    assert!(help.stdout.contains("--stop-on-error"), "{}", help.stdout);
}

#[test]
fn reports_go_where_they_are_wanted_and_the_data_directory_can_be_named() {
    let (server, key) = with_a_set();
    let directory = server.master_data_dir().to_str().unwrap().to_owned();
    for option in ["-d", "--master_data_directory"] {
        Program::new("gpdbrestore", &server)
            .env("MASTER_DATA_DIRECTORY", "/nonexistent")
            .args([
                "-a",
                "-e",
                "-B",
                "1",
                "-K",
                "--no-validate-table-name",
                "-t",
                &key,
                option,
                &directory,
            ])
            .run()
            .expect_status(0);
        assert!(has_rows(&server), "{option}");
    }
    let written = |file: &Path| file.file_name().unwrap().to_string_lossy().starts_with("gp_restore");
    for file in dump_files(&server).into_iter().filter(|file| written(file)) {
        fs::remove_file(file).unwrap();
    }
    let reports = server.home().join("reports");
    fs::create_dir(&reports).unwrap();
    let line = format!("-a -e -t {key} --report-status-dir {}", reports.display());
    run(&server, &line).expect_status(0);
    let mut there: Vec<String> = fs::read_dir(&reports)
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let report = format!("gp_restore_{key}.rpt");
    assert!(there.contains(&report), "{there:?}");
    assert!(
        there.iter().any(|name| name.starts_with("gp_restore_status_")),
        "{there:?}"
    );
    assert!(!dump_files(&server).iter().any(|file| written(file)));
}

/// Greenplum up to 6 keeps on the master how often an append-optimized table was changed; a plain server has nothing of it.
#[test]
fn counters_of_the_master_are_left_alone_when_asked() {
    let (server, key) = with_a_set();
    let said = ":-Updating AO/CO statistics on master";
    let end = run(&server, &format!("-a -e -t {key}")).expect_status(0);
    assert!(end.stdout.contains(said), "{}", end.stdout);
    let end = run(&server, &format!("-a -e -t {key} --noaostats")).expect_status(0);
    assert!(!end.stdout.contains(said), "{}", end.stdout);
    let end = run(&server, &format!("-a -e -t {key} --noanalyze")).expect_status(0);
    assert!(!end.stdout.contains("Commencing analyze"), "{}", end.stdout);
}

#[test]
fn the_program_of_other_hosts_lies_where_it_is_said_to() {
    let sshd = Sshd::start("127.0.0.2");
    let cluster = Cluster::start(ClusterSpec {
        hostnames: vec!["localhost".into(), "127.0.0.2".into()],
        ..ClusterSpec::segments(2)
    });
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE t (a int)");
    let elsewhere = cluster.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(bin("gpcrondump"), elsewhere.join("gpcrondump")).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let program = |name: &str, args: &[&str]| {
        Program::new(name, &cluster)
            .env("GPDUMP_SSH", sshd.client())
            .args(args.iter().copied())
            .args(["--remote-bin", elsewhere])
            .run()
    };
    let end = program("gpcrondump", &["-a", "-b", "-x", DEMO]).expect_status(0);
    let key = end.timestamp_key();
    let restore = ["-a", "-e", "-t", &key];
    let end = program("gpdbrestore", &restore).expect_status(2);
    assert!(end.stdout.contains("127.0.0.2"), "{}", end.stdout);
    assert_eq!(
        cluster
            .sql("postgres", "SELECT 1 FROM pg_database WHERE datname = 'demo'")
            .len(),
        1
    );
    fs::copy(bin("gpdbrestore"), Path::new(elsewhere).join("gpdbrestore")).unwrap();
    program("gpdbrestore", &restore).expect_status(0);
}

fn known(text: &str) -> String {
    format!("[ERROR]:-gpdbrestore error: {text}")
}

fn failed(text: &str) -> String {
    format!("[CRITICAL]:-gpdbrestore failed. (Reason='{text}') exiting...")
}

#[test]
fn every_row_of_the_catalogue_is_said_and_nothing_is_changed() {
    let (server, key) = with_a_set();
    let home = server.home();
    let root = server.master_data_dir().display().to_string();
    let broken = "20200102030405";
    let date = format!("{root}/db_dumps/20200102");
    fs::create_dir_all(&date).unwrap();
    fs::write(format!("{date}/gp_dump_{broken}.rpt"), "nothing that a report says\n").unwrap();
    let empty = home.join("db_dumps/20200101");
    fs::create_dir_all(&empty).unwrap();
    let nowhere = home.join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    let no_server = home.join("no_server");
    fs::create_dir(&no_server).unwrap();
    fs::write(no_server.join("postgresql.conf"), "port = 1\n").unwrap();
    let (nowhere, no_server, home) = (nowhere.display(), no_server.display(), home.display());
    server.sql("postgres", "CREATE DATABASE other");
    server.sql("postgres", "CREATE DATABASE gone");
    let gone = Program::new("gpcrondump", &server)
        .args(["-a", "-b", "-x", "gone"])
        .run();
    let gone = gone.expect_status(0).timestamp_key();
    server.sql("postgres", "DROP DATABASE gone");

    let invalid = "Invalid timestamp specified, please specify in the following format: YYYYMMDDHHMMSS.";
    // Names of tables and schemas may have any character that a server allows: those rows of 1.4 are gone.
    let cases: Vec<(&str, String, String)> = vec![
        ("1.4 timestamp", "-t 2016".into(), failed(invalid)),
        ("1.4 timestamp", "-t x2016010101010".into(), failed(invalid)),
        (
            "1.4 timestamp",
            "-t 201601010101011".into(),
            failed("Invalid timestamp: \"201601010101011\""),
        ),
        (
            "1.4 database",
            format!("-t {gone}"),
            known("Database gone does not exist and -e option not supplied"),
        ),
        (
            "1.4 -T",
            format!("-t {key} -T nodot"),
            failed("No schema name supplied for nodot, removing from list of tables to restore"),
        ),
        (
            "1.4 -T",
            format!("-t {key} -T public.t -T public.no -T other.no"),
            failed("Tables ['public.no', 'other.no'] not found in backup"),
        ),
        (
            "1.4 --change-schema",
            format!("-t {key} -T public.t --change-schema nosuch"),
            failed("Cannot restore tables to schema nosuch: schema does not exist"),
        ),
        (
            "1.4 --change-schema",
            format!("-t {key} -T public.t --change-schema nosuch --redirect other"),
            failed("Cannot restore tables to the database other: schema nosuch does not exist"),
        ),
        (
            "1.4 --list-backup",
            format!("-t {key} --list-backup"),
            failed("--list-backup is not supported for restore with full timestamps"),
        ),
        (
            "6.2 -t",
            "-t 20200101000000".into(),
            failed("Unable to locate report file for timestamp 20200101000000"),
        ),
        (
            "6.2 --prefix",
            format!("-t {key} --prefix wrong"),
            failed(&format!("Unable to locate report file for timestamp {key}")),
        ),
        (
            "6.2 report",
            format!("-t {broken}"),
            failed(&format!(
                "Could not determine database name and compression type from report file {date}/gp_dump_{broken}.rpt"
            )),
        ),
        (
            "6.2 -b",
            "-b 20200103".into(),
            known(&format!("Directory {root}/db_dumps/20200103 does not exist")),
        ),
        (
            "6.2 -b",
            format!("-b 20200101 -u {home}"),
            known(&format!(
                "Could not locate Master database dump files in {}",
                empty.display()
            )),
        ),
        (
            "6.2 -s",
            format!("-s demo -u {nowhere}"),
            failed("No report files located"),
        ),
        (
            "6.2 -s",
            "-s nosuch".into(),
            known("No report files located with database nosuch"),
        ),
        (
            "6.2 -R",
            format!("-R localhost:{nowhere}"),
            failed(&format!(
                "Path {nowhere} does not contain expected \"db_dumps\" directory"
            )),
        ),
        (
            "6.2 --table-file",
            format!("-t {key} --table-file /nosuch/file"),
            failed("Table file does not exist \"/nosuch/file\""),
        ),
        ("6.2 -G", format!("-t {key} -G"), failed("Unable to locate global file")),
        (
            "6.2 --restore-stats",
            format!("-t {key} --restore-stats"),
            failed("Unable to locate statistics file"),
        ),
        (
            "6.2 -d",
            format!("-t {key} -d /nosuch"),
            "No such file or directory".into(),
        ),
        (
            "6.2 -d",
            format!("-t {key} -d {no_server}"),
            "could not connect to the master".into(),
        ),
    ];
    let mut wrong = String::new();
    for (row, line, wanted) in &cases {
        let end = run(&server, &format!("-a {line}"));
        // What names a file or a cause of the system's is looked for by its beginning.
        let wanted = wanted
            .split_once("locate global file")
            .map_or(wanted.as_str(), |(head, _)| head);
        let wanted = wanted.split_once("statistics file").map_or(wanted, |(head, _)| head);
        if end.status != Some(2) || !end.stdout.contains(wanted) || !has_rows(&server) {
            let status = end.status;
            wrong += &format!(
                "{row} {line}: status {status:?}, wanted: {wanted}\n{}{}\n",
                end.stdout, end.stderr
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for (line, wanted) in [
        ("-t", "error: -t option requires an argument"),
        ("-B x", "error: option -B: invalid integer value: 'x'"),
        ("--nosuch", "error: no such option: --nosuch"),
    ] {
        let end = run(&server, line).expect_status(2);
        assert!(end.stderr.contains(wanted), "{line}: {}", end.stderr);
    }
}
