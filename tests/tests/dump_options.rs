//! Options of gpcrondump that say how the run goes; each with its effect on a real server.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program, Sshd, bin};
use gpdump_tests::{assert_screen_and_log, dump_files};

fn run(cluster: &Cluster, line: &str) -> Finished {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-x", "postgres"])
        .args(line.split_whitespace())
        .run()
}

fn names(cluster: &Cluster, part: &str) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<String> = dump_files(cluster).into_iter().map(name).collect();
    names.retain(|name| name.contains(part));
    names
}

fn value<'a>(end: &'a Finished, label: &str) -> &'a str {
    let line = end.stdout.lines().find(|line| line.contains(&format!(":-{label} ")));
    line.unwrap_or_else(|| panic!("{label}\n{}", end.stdout))
        .split_once("= ")
        .unwrap()
        .1
}

#[test]
fn a_key_of_ones_own_names_the_set_and_not_the_time() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let end = run(&cluster, "-b -K 20210101010101").expect_status(0);
    assert_eq!(end.timestamp_key(), "20210101010101");
    let (start, finish) = (value(&end, "Dump start time"), value(&end, "Dump end time"));
    assert!(start <= finish && start != "01:01:01", "{start} {finish}");
    let row = cluster.sql(
        "postgres",
        "SELECT start_time <> '01:01:01' FROM public.gpcrondump_history WHERE dump_key = '20210101010101'",
    );
    assert_eq!(row[0][0].as_deref(), Some("t"));
    // Without it the key is the moment of the start.
    let end = run(&cluster, "-b").expect_status(0);
    let key = end.timestamp_key();
    let time = format!("{}:{}:{}", &key[8..10], &key[10..12], &key[12..]);
    assert_eq!(value(&end, "Dump start time"), time);
}

#[test]
fn the_key_of_a_failed_dump_can_be_used_again() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN a TO b");
    run(&cluster, "-b -H -K 20210101010101").expect_status(2);
    assert!(!names(&cluster, "20210101010101.rpt").is_empty());
    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN b TO a");
    let end = run(&cluster, "-b -H -K 20210101010101").expect_status(0);
    assert!(
        end.stdout.contains("20210101010101 had failed; it is made anew"),
        "{}",
        end.stdout
    );
    let end = run(&cluster, "-b -H -K 20210101010101").expect_status(2);
    assert!(
        end.stdout
            .contains("There is a future dated backup on the system preventing new backups"),
        "{}",
        end.stdout
    );
}

#[test]
fn options_of_4_3_are_taken() {
    let server = Plain::start();
    let end = run(&server, "-b -H -i -p -w 2,3 -y /tmp/report").expect_status(0);
    for text in [
        "[WARNING]:--y is a deprecacted option.  Report files are always generated with the backup set.",
        "[INFO]:--w is no longer supported, will continue with dump of primary segments.",
    ] {
        assert!(end.stdout.contains(text), "{text}\n{}", end.stdout);
    }
}

#[test]
fn what_is_said_and_where() {
    let server = Plain::start();
    let logs = server.home().join("logs");
    let options = [["-q", "--quiet"], ["-v", "--verbose"]];
    assert_screen_and_log("gpcrondump", &logs, options, |option| {
        run(&server, &format!("-b -H -l {} {option}", logs.display()))
    });
    let end = run(&server, "--help").expect_status(0);
    assert!(end.stdout.contains("--cut-timeout"));
}

#[test]
fn the_question_shows_what_will_be_done() {
    let server = Plain::start();
    let ask = |answer: &str, line: &str| {
        let mut command = std::process::Command::new(bin("gpcrondump"));
        command
            .envs(server.env())
            .args(["-x", "postgres", "-H"])
            .args(line.split_whitespace())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (status, said) = ask("n\n", "-f 20 -z");
    assert_eq!(status, Some(4), "{said}");
    assert!(said.contains(":-Ensuring remaining free disk         > 20\n"), "{said}");
    assert!(
        said.contains(":-Dump file compression                = Off\n"),
        "{said}"
    );
    assert!(names(&server, "").is_empty());
    let (status, said) = ask("y\n", "-f 1");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(":-Validating disk space\n"), "{said}");
    let (_, said) = ask("n\n", "-b");
    assert!(
        said.contains("Bypassing disk space check as '-b' option is specified") && !said.contains("Ensuring"),
        "{said}"
    );
    let end = run(&server, "-b -H").expect_status(0);
    assert!(!end.stdout.contains("Validating disk space"));
}

#[test]
fn the_data_directory_can_be_named_and_files_and_history_be_as_wanted() {
    let server = Plain::start();
    let directory = server.master_data_dir().to_str().unwrap().to_owned();
    for option in ["-d", "--master_data_directory"] {
        Program::new("gpcrondump", &server)
            .env("MASTER_DATA_DIRECTORY", "/nonexistent")
            .args(["-a", "-b", "-x", "postgres", "-z", "-H", option, &directory])
            .run()
            .expect_status(0);
    }
    assert!(names(&server, "_post_data").len() == 2 && names(&server, ".gz").is_empty());
    let history = "SELECT count(*) FROM pg_tables WHERE tablename = 'gpcrondump_history'";
    assert_eq!(server.sql("postgres", history)[0][0].as_deref(), Some("0"));
    run(&server, "-b -h -B 1").expect_status(0);
    assert_eq!(server.sql("postgres", history)[0][0].as_deref(), Some("1"));
    assert!(!names(&server, ".gz").is_empty());
}

#[test]
fn the_program_of_other_hosts_lies_where_it_is_said_to() {
    let sshd = Sshd::start("127.0.0.2");
    let cluster = Cluster::start(ClusterSpec {
        segments: 2,
        hostnames: vec!["localhost".into(), "127.0.0.2".into()],
        ..ClusterSpec::segments(2)
    });
    let elsewhere = cluster.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let dump = |status| {
        Program::new("gpcrondump", &cluster)
            .env("GPDUMP_SSH", sshd.client())
            .args(["-a", "-b", "-x", "postgres", "-H", "-B", "1", "--remote-bin"])
            .args([elsewhere.to_str().unwrap()])
            .run()
            .expect_status(status)
    };
    let end = dump(2);
    assert!(end.stdout.contains("127.0.0.2"), "{}", end.stdout);
    fs::copy(bin("gpcrondump"), elsewhere.join("gpcrondump")).unwrap();
    dump(0);
}

#[test]
fn schemas_are_chosen_by_word_and_by_file() {
    let server = Plain::start();
    for sql in [
        "CREATE SCHEMA one",
        "CREATE SCHEMA two",
        "CREATE TABLE one.t (a int)",
        "CREATE TABLE two.t (a int)",
    ] {
        server.sql("postgres", sql);
    }
    let file = server.home().join("schemas");
    fs::write(&file, "one\n").unwrap();
    let file = file.to_str().unwrap();
    for (option, expected) in [
        ("-s one".to_owned(), "one.t"),
        ("-S one".to_owned(), "two.t"),
        (format!("--schema-file {file}"), "one.t"),
        (format!("--exclude-schema-file {file}"), "two.t"),
    ] {
        let key = run(&server, &format!("-b -H {option}"))
            .expect_status(0)
            .timestamp_key();
        let list = dump_files(&server)
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(&format!("gp_dump_{key}_table")))
            .unwrap();
        assert_eq!(fs::read_to_string(list).unwrap(), format!("{expected}\n"), "{option}");
    }
}
