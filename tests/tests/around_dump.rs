//! What is done around a dump: globals, configuration, vacuum, a program of one's own, and taking a failed dump back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program};
use gpdump_tests::dump_files;

fn run(cluster: &Cluster, arguments: &[&str]) -> Finished {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-b", "-x", "postgres"])
        .args(arguments.iter().copied())
        .run()
}

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    cluster
}

fn names(cluster: &Cluster, part: &str) -> Vec<PathBuf> {
    let mut found = dump_files(cluster);
    found.retain(|file| file.to_string_lossy().contains(part));
    found.sort_unstable();
    found
}

fn program(cluster: &Cluster, name: &str, script: &str) -> PathBuf {
    let path = cluster.home().join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What the last words of the lines are, without their heads.
fn lines(end: &Finished) -> Vec<&str> {
    end.stdout
        .lines()
        .filter_map(|line| line.find("-[").map(|at| &line[at + 1..]))
        .collect()
}

#[track_caller]
fn assert_order(end: &Finished, expected: &[&str]) {
    let said = lines(end);
    let mut rest = said.iter();
    for line in expected {
        assert!(rest.any(|other| other == line), "{line}\n{}", end.stdout);
    }
}

fn tar_names(file: &Path) -> String {
    let listed = std::process::Command::new("tar").arg("tf").arg(file).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn globals_and_configuration_are_files_of_the_set() {
    let cluster = cluster();
    cluster.sql("postgres", "CREATE ROLE \"the reader\" PASSWORD 'secret'");
    let end = run(&cluster, &["-G", "-g", "--prefix", "p"]).expect_status(0);
    assert_order(
        &end,
        &[
            "[INFO]:-Inserted dump record into public.gpcrondump_history in postgres database",
            "[INFO]:-Commencing pg_catalog dump",
            "[INFO]:-Dump status report",
            "[INFO]:-Dumping master config files",
            "[INFO]:-Dumping segment config files",
        ],
    );
    let key = end.timestamp_key();
    let global = &names(&cluster, "global")[0];
    assert!(global.ends_with(format!("p_gp_global_-1_1_{key}")), "{global:?}");
    assert_eq!(fs::metadata(global).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        fs::read_to_string(global)
            .unwrap()
            .contains("CREATE ROLE \"the reader\"")
    );
    assert!(!end.stdout.contains("SCRAM"), "{}", end.stdout);

    let tars: Vec<String> = names(&cluster, ".tar")
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in [
        format!("p_gp_master_config_files_{key}.tar"),
        format!("p_gp_segment_config_files_0_2_{key}.tar"),
        format!("p_gp_segment_config_files_1_3_{key}.tar"),
    ] {
        assert!(tars.contains(&name), "{tars:?}");
    }
    let master = names(&cluster, "master_config").remove(0);
    let inside = cluster.master_data_dir().join("postgresql.conf");
    assert!(
        tar_names(&master)
            .lines()
            .any(|name| Path::new("/").join(name) == inside)
    );

    let manifest = fs::read_to_string(&names(&cluster, "manifest")[0]).unwrap();
    for name in tars.iter().chain([&format!("p_gp_global_-1_1_{key}")]) {
        assert!(manifest.contains(name), "{name}");
    }
}

#[test]
fn one_plain_server_saves_the_same() {
    let server = Plain::start();
    run(&server, &["-G", "-g"]).expect_status(0);
    assert_eq!((names(&server, "global").len(), names(&server, ".tar").len()), (1, 2));
}

#[test]
fn globals_that_cannot_be_had_do_not_spoil_the_dump() {
    let cluster = cluster();
    let folder = cluster.home().join("bin");
    fs::create_dir(&folder).unwrap();
    program(&cluster, "bin/pg_dumpall", "#!/bin/sh\necho no way >&2\nexit 1\n");
    let path = cluster.env().into_iter().find(|(name, _)| *name == "PATH").unwrap().1;
    let mut folders = vec![folder];
    folders.extend(std::env::split_paths(&path));
    let end = Program::new("gpcrondump", &cluster)
        .args(["-a", "-b", "-x", "postgres", "-G"])
        .env("PATH", std::env::join_paths(folders).unwrap())
        .run()
        .expect_status(1);
    assert!(
        end.stdout.contains("could not be saved: ") && end.stdout.contains("no way"),
        "{}",
        end.stdout
    );
    assert!(end.stdout.contains("[WARNING]:-Exit code not zero, check log file"));
}

#[test]
fn vacuum_runs_before_and_after() {
    let cluster = cluster();
    let done = "[INFO]:-Vacuum of postgres completed without error";
    let end = run(&cluster, &["-j", "-k"]).expect_status(0);
    assert_order(
        &end,
        &[
            "[INFO]:-Commencing pre-dump vacuum",
            done,
            "[INFO]:-Commencing post-dump vacuum...",
            "[INFO]:-Commencing vacuum of postgres database, please wait",
            done,
            "[INFO]:-Vacuum mode type                         = pre-dump, post-dump",
        ],
    );
    let vacuumed = cluster.sql(
        "postgres",
        "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 't'",
    );
    assert!(vacuumed[0][0].as_deref() >= Some("1"), "{vacuumed:?}");
}

#[test]
fn the_program_of_r_runs_once_with_its_arguments_and_its_status_counts() {
    let cluster = cluster();
    let script = program(
        &cluster,
        "after it.sh",
        "#!/bin/sh\necho \"$0 $*\" >> \"$HOME/ran\"\nexit ${1:-0}\n",
    );
    let script = script.display();
    let ran = cluster.home().join("ran");
    let end = run(&cluster, &["-x", "template1", "-R", &script.to_string()]).expect_status(0);
    assert!(
        end.stdout
            .contains(&format!("[INFO]:-Located {script}, will call after dump completed"))
    );
    assert_eq!(fs::read_to_string(&ran).unwrap(), format!("{script} \n"));
    let end = run(&cluster, &["-R", &format!("'{script}' 3 'a b' $HOME")]).expect_status(1);
    assert!(end.stdout.contains("failed (exit status: 3)"), "{}", end.stdout);
    assert!(fs::read_to_string(&ran).unwrap().ends_with(" 3 a b $HOME\n"));
    fs::remove_file(&ran).unwrap();
    let end = run(&cluster, &["-R", "/nonexistent/x.sh"]).expect_status(1);
    assert!(
        end.stdout.contains("[WARNING]:-Could not locate /nonexistent/x.sh"),
        "{}",
        end.stdout
    );
    cluster.segment_sql(0, "postgres", "DROP TABLE t");
    run(&cluster, &["-R", &script.to_string()]).expect_status(2);
    assert!(!ran.exists());
}

#[test]
fn a_failed_dump_is_taken_back_on_every_host_and_nothing_else_is() {
    let cluster = cluster();
    run(&cluster, &["-K", "20210101010101"]).expect_status(0);
    let before = names(&cluster, "");
    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN a TO b");
    let end = run(&cluster, &["-r", "-K", "20210101010102"]).expect_status(2);
    assert_order(
        &end,
        &[
            "[WARNING]:-Dump process returned exit code 1",
            "[WARNING]:-Dump request was incomplete, rolling back dump",
            "[ERROR]:-gpcrondump error: Dump incomplete, completed rollback",
        ],
    );
    assert_eq!(names(&cluster, ""), before);
    let end = run(&cluster, &["-K", "20210101010103"]).expect_status(2);
    assert!(
        end.stdout
            .contains("not rolling back because -r option was not supplied"),
        "{}",
        end.stdout
    );
    assert!(!names(&cluster, "20210101010103").is_empty());
    // Given up before the copy began.
    cluster.segment_sql(1, "postgres", "DROP TABLE t");
    run(&cluster, &["-r", "-K", "20210101010104"]).expect_status(2);
    assert!(names(&cluster, "20210101010104").is_empty());
    let rows = cluster.sql(
        "postgres",
        "SELECT dump_key, exit_text FROM public.gpcrondump_history ORDER BY 1",
    );
    let row = |key: &str, text: &str| vec![Some(key.to_owned()), Some(text.to_owned())];
    assert_eq!(
        rows,
        [
            row("20210101010101", "COMPLETED"),
            row("20210101010102", "WARNING"),
            row("20210101010103", "WARNING"),
            row("20210101010104", "FATAL")
        ]
    );
}

#[test]
fn mails_are_sent_for_good_and_for_failed_dumps() {
    if ["/bin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join("mail").exists())
    {
        eprintln!("this machine can really send mail: the test is left out");
        return;
    }
    let cluster = cluster();
    let folder = cluster.home().join("bin");
    fs::create_dir(&folder).unwrap();
    program(
        &cluster,
        "bin/mail",
        "#!/bin/sh\n{ for word; do printf '<%s>' \"$word\"; done; cat; } >> \"$HOME/sent\"\nexit ${MAIL_STATUS:-0}\n",
    );
    let path = cluster.env().into_iter().find(|(name, _)| *name == "PATH").unwrap().1;
    let mut folders = vec![folder];
    folders.extend(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).unwrap();
    let run = |arguments: &[&str], status: &str| {
        Program::new("gpcrondump", &cluster)
            .args(["-a", "-b", "-x", "postgres"])
            .args(arguments.iter().copied())
            .env("PATH", &path)
            .env("MAIL_STATUS", status)
            .run()
    };
    let sent = || fs::read_to_string(cluster.home().join("sent")).unwrap_or_default();
    let end = run(&[], "0").expect_status(0);
    assert!(
        end.stdout.contains("[WARNING]:-Unable to send dump email notification"),
        "{}",
        end.stdout
    );
    fs::write(cluster.home().join("mail_contacts"), "a@x\n\n b@y \n").unwrap();

    let end = run(&["-l", "$(touch oops)"], "0").expect_status(0);
    assert!(
        end.stdout.ends_with("-[INFO]:-Sending mail to a@x,b@y\n"),
        "{}",
        end.stdout
    );
    let mail = sent();
    assert!(
        mail.starts_with("<-s><Report from gpcrondump on host ")
            && mail.contains(" [COMPLETED]><a@x><b@y>Completed for database postgres with return code 0 [Start="),
        "{mail}"
    );
    assert!(
        mail.contains("Options passed [-a -b -x postgres -l $(touch oops)]"),
        "{mail}"
    );

    let rules = cluster.home().join("mail.yaml");
    let text = "EMAIL_DETAILS:\n  - {DBNAME: [postgres], FROM: me@x, SUBJECT: done}\n  - {DBNAME: postgres1, FROM: , SUBJECT: other}\n";
    fs::write(&rules, text).unwrap();
    fs::remove_file(cluster.home().join("sent")).unwrap();
    let end = run(&["--email-file", rules.to_str().unwrap()], "7").expect_status(1);
    assert!(
        end.stdout.contains("[WARNING]:-The mail \"done\" could not be sent: "),
        "{}",
        end.stdout
    );
    assert!(
        sent().starts_with("<-s><done><-r><me@x><a@x><b@y>Completed for"),
        "{}",
        sent()
    );
    fs::write(&rules, "EMAIL_DETAILS: 1\n").unwrap();
    let end = run(&["--email-file", rules.to_str().unwrap()], "0").expect_status(2);
    assert!(
        end.stdout.contains("mail.yaml' file is not formatted properly:'"),
        "{}",
        end.stdout
    );

    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN a TO b");
    let end = run(&["-r"], "0").expect_status(2);
    assert!(end.stdout.contains("Dump incomplete, completed rollback"));
    assert!(
        sent().contains(" [FAILED]>") && sent().contains("with return code 1 dump files rolled back. [Start="),
        "{}",
        sent()
    );
}

/// What the planner knows of the tables, without numbers that are another in every database.
fn known(cluster: &Cluster) -> Vec<Vec<Option<String>>> {
    cluster.sql(
        "postgres",
        "SELECT tablename::text, attname::text, inherited::text, null_frac::text, n_distinct::text, \
         most_common_vals::text, histogram_bounds::text, most_common_elems::text, correlation::text \
         FROM pg_stats WHERE schemaname = 'public' AND tablename <> 'gpcrondump_history' ORDER BY 1, 2, 3",
    )
}

#[test]
fn saved_statistics_are_sql_that_brings_them_back() {
    let server = Plain::start();
    server.sql(
        "postgres",
        "CREATE TABLE \"it's\" (a int, \"the text\" text, tags text[], at tsrange, doc tsvector, c \"char\", n numeric); \
         INSERT INTO \"it's\" SELECT i, 'x''y\\z' || i % 3, ARRAY['a', 'b' || i % 5], tsrange(now()::timestamp, NULL), \
         to_tsvector('one two'), 'q', i / 7.0 FROM generate_series(1, 500) i; \
         CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); \
         INSERT INTO child SELECT i % 9 FROM generate_series(1, 99) i; INSERT INTO parent VALUES (1), (2); ANALYZE",
    );
    let before = known(&server);
    let end = run(&server, &["--dump-stats"]).expect_status(0);
    assert_order(
        &end,
        &[
            "[INFO]:-Checked master status file and master dump file.",
            "[INFO]:-Commencing pg_statistic dump",
            "[INFO]:-Inserted dump record into public.gpcrondump_history in postgres database",
        ],
    );
    let file = names(&server, "gp_statistics_-1_1_").remove(0);
    server.sql("postgres", "DELETE FROM pg_statistic WHERE starelid >= 16384");
    server.load_file("postgres", &file);
    assert_eq!(known(&server), before);
}
