//! What the end-to-end tests share.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

pub mod buckets;
pub mod certificates;
pub mod faults;
pub mod readers;
pub mod traces;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, Finished, Program, repository};

/// Database of most tests.
pub const DEMO: &str = "demo";

/// Database of the tests that run on somebody's Greenplum too: a name that nobody else will have.
pub const ANYWHERE: &str = "gpdump_end_to_end";

/// Makes the database with something of everything that the cluster can hold. A database of that name which we did not
/// make is somebody's, and stays as it is.
pub fn load(cluster: &Cluster) {
    if cluster.is_own() {
        cluster.load_warehouse(ANYWHERE);
        return;
    }
    const MARK: &str = "made by the end-to-end tests of gpcrondump; may be dropped";
    let found = cluster.sql(
        "postgres",
        &format!(
            "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = '{ANYWHERE}'"
        ),
    );
    if let Some(row) = found.first() {
        assert_eq!(row[0].as_deref(), Some(MARK), "database {ANYWHERE} is not ours to drop");
        cluster.sql("postgres", &format!("DROP DATABASE {ANYWHERE}"));
    }
    cluster.sql("postgres", &format!("CREATE DATABASE {ANYWHERE}"));
    cluster.sql("postgres", &format!("COMMENT ON DATABASE {ANYWHERE} IS '{MARK}'"));
    let data = repository().join("tests/data");
    cluster.load_file(ANYWHERE, &data.join("greenplum.sql"));
    let base = base_version(cluster);
    if base < 120_000 {
        cluster.load_file(ANYWHERE, &data.join("greenplum-oids.sql"));
    }
    if base >= 90_400 {
        cluster.load_file(ANYWHERE, &data.join("greenplum6.sql"));
    }
}

/// The version of PostgreSQL that a server is made of, as its `server_version_num` says it.
pub fn base_version(cluster: &Cluster) -> u32 {
    let base = cluster.sql("postgres", "SHOW server_version_num");
    base[0][0].as_deref().unwrap_or_default().parse().expect("a number")
}

/// `gpcrondump -a -x demo` and more options; the key of the set.
pub fn dump(cluster: &Cluster, more: &[&str]) -> String {
    dump_of(DEMO, cluster, more)
}

/// The same for another database.
pub fn dump_of(database: &str, cluster: &Cluster, more: &[&str]) -> String {
    let args = ["-a", "-x", database].into_iter().chain(more.iter().copied());
    Program::new("gpcrondump", cluster)
        .args(args)
        .run()
        .expect_status(0)
        .timestamp_key()
}

/// `gpdbrestore -a -t KEY` with more options, expected to end well.
pub fn restore(cluster: &Cluster, key: &str, more: &[&str]) {
    let program = Program::new("gpdbrestore", cluster)
        .args(["-a", "-t", key])
        .args(more.iter().copied());
    program.run().expect_status(0);
}

/// `gpdbrestore -a` with more options, however it ends.
pub fn try_restore(cluster: &Cluster, more: &[&str]) -> Finished {
    Program::new("gpdbrestore", cluster)
        .args(["-a"])
        .args(more.iter().copied())
        .run()
}

/// The words stand somewhere in what the program said.
#[track_caller]
pub fn assert_said(end: &Finished, words: &str) {
    assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
}

/// The first value of a query on the usual database.
pub fn one(cluster: &Cluster, sql: &str) -> String {
    cluster.sql(DEMO, sql).remove(0).remove(0).unwrap_or_default()
}

/// Options change what is said on the screen, and the log has every run of the program. `run` takes the option.
#[track_caller]
pub fn assert_screen_and_log(
    program: &str,
    logs: &Path,
    [quiet, verbose]: [[&str; 2]; 2],
    run: impl Fn(&str) -> Finished,
) {
    for (options, is_verbose) in [(quiet, false), (verbose, true)] {
        for option in options {
            let end = run(option).expect_status(0);
            let has = ["-[INFO]:-", "-[DEBUG]:-"].map(|level| end.stdout.contains(level));
            assert_eq!(has, [is_verbose; 2], "{option}\n{}", end.stdout);
        }
    }
    let log = fs::read_dir(logs).unwrap().next().unwrap().unwrap().path();
    let log = fs::read_to_string(log).unwrap();
    let start = format!(":-Starting {program} with args");
    assert_eq!(log.matches(&start).count(), 4, "{log}");
}

/// The database is the same, and each row where it was, but for inheritance parents: their rows go through the master,
/// which places them.
#[track_caller]
pub fn assert_restored(before: &Snapshot, after: &Snapshot) {
    assert_same(&before.gathered(), &after.gathered());
    let moved = before.differences(after);
    let moved: Vec<&str> = moved
        .lines()
        .filter(|l| !l.starts_with("rows of public.parent,"))
        .collect();
    assert!(moved.is_empty(), "{moved:#?}");
}

/// The lines of a golden console, or a panic that names the first one which does not come, in its place, in `said`.
/// Lines in between that the golden has not are allowed.
#[track_caller]
pub fn assert_lines_in_order(golden: &[String], said: &[String]) {
    let mut rest = said.iter();
    for line in golden {
        assert!(
            rest.any(|other| other == line),
            "this line is missing, or stands before its predecessor:\n  {line}\nin:\n{}",
            said.join("\n")
        );
    }
}

/// A golden console, redacted.
pub fn golden(path: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("tests/data/golden").join(path)).unwrap();
    // The first line of the recordings is the command.
    gpdump_testkit::console::redacted(&text)
        .into_iter()
        .filter(|l| l.starts_with('['))
        .collect()
}

/// Changes what the test database holds, so that a restore which does nothing cannot pass for one.
pub fn spoil(cluster: &Cluster) {
    cluster.sql(
        DEMO,
        "DROP VIEW sales.\"View of View\"; DELETE FROM sales.orders; CREATE TABLE public.stray ()",
    );
}

/// All files below the dump directories of all instances.
pub fn dump_files(cluster: &Cluster) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for instance in std::iter::once(cluster.master()).chain(cluster.segments()) {
        collect(&instance.data_dir.join("db_dumps"), &mut files);
    }
    files
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// Sessions of the programs on any server, the testkit's own left out.
pub fn sessions(cluster: &Cluster) -> Vec<String> {
    let mut found = Vec::new();
    for instance in std::iter::once(cluster.master()).chain(cluster.segments()) {
        let rows = instance.sql(
            "postgres",
            "SELECT application_name || ': ' || coalesce(query, '') FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND application_name <> 'testkit'",
        );
        found.extend(
            rows.into_iter()
                .map(|row| format!("content {}: {row:?}", instance.content)),
        );
    }
    found
}

/// Waits until something is so.
#[track_caller]
pub fn within(limit: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !so() {
        assert!(
            Instant::now() < deadline,
            "after {limit:?} it is still not so that {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a program.
#[track_caller]
pub fn end_within(limit: Duration, program: &mut Child) -> ExitStatus {
    let mut status = None;
    within(limit, "the program ended", || {
        status = program.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Processes that descend from this one.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))?
                .trim()
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.remove(0);
    found
}

/// Sends a signal to a process that the test started.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}
