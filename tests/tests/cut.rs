//! One cut across all segments: money that moves from one segment to another is in every dump exactly once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpdump_testkit::client::Session;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{dump_files, within};

const BANK: &str = "bank";
const SEGMENTS: usize = 3;
const ACCOUNTS: i64 = 50;
const TOTAL: i64 = SEGMENTS as i64 * ACCOUNTS * 1000;

/// A table whose sum over all segments never changes.
fn bank() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(SEGMENTS));
    cluster.sql("postgres", &format!("CREATE DATABASE {BANK}"));
    cluster.sql(BANK, "CREATE TABLE account (id int, balance bigint)");
    for content in 0..SEGMENTS {
        let rows = format!("INSERT INTO account SELECT i, 1000 FROM generate_series(1, {ACCOUNTS}) i");
        cluster.segment_sql(content, BANK, &rows);
    }
    cluster
}

/// One transaction in Greenplum's way: the lock on the master is held until the last segment has committed.
struct Transfer<'a> {
    master: &'a Session,
    from: &'a Session,
    to: &'a Session,
}

impl<'a> Transfer<'a> {
    fn begin(master: &'a Session, from: &'a Session, to: &'a Session, account: i64) -> Self {
        master.sql("BEGIN; LOCK TABLE account IN ROW EXCLUSIVE MODE");
        from.sql(&format!(
            "BEGIN; UPDATE account SET balance = balance - 7 WHERE id = {account}"
        ));
        to.sql(&format!(
            "BEGIN; UPDATE account SET balance = balance + 7 WHERE id = {account}"
        ));
        Transfer { master, from, to }
    }

    fn commit_first_half(&self) {
        self.from.sql("COMMIT");
    }

    fn commit_second_half(self) {
        self.to.sql("COMMIT");
        self.master.sql("COMMIT");
    }
}

/// The sum of all balances in the data files of a set.
fn sum_in_dump(cluster: &Cluster, key: &str) -> i64 {
    let is_data = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("gp_dump_") && !name.starts_with("gp_dump_-1") && name.ends_with(&format!("{key}.gz"))
    };
    let files: Vec<PathBuf> = dump_files(cluster).into_iter().filter(is_data).collect();
    assert_eq!(files.len(), SEGMENTS, "{files:?}");
    files.iter().map(|file| sum_in_file(file)).sum()
}

fn sum_in_file(file: &Path) -> i64 {
    let output = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success(), "{} is not gzip", file.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text
        .split_once("COPY account (id, balance) FROM stdin;\n")
        .expect("the table's block")
        .1;
    let rows = rows.lines().take_while(|line| *line != "\\.");
    rows.map(|row| row.split_once('\t').unwrap().1.parse::<i64>().unwrap())
        .sum()
}

fn manifest(cluster: &Cluster, key: &str) -> String {
    let name = format!("gp_dump_{key}_manifest.json");
    let path = dump_files(cluster)
        .into_iter()
        .find(|path| path.ends_with(&name))
        .expect("a manifest");
    std::fs::read_to_string(path).unwrap()
}

fn gpcrondump(cluster: &Cluster, more: &[&str]) -> Program {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-x", BANK])
        .args(more.iter().copied())
}

#[test]
fn a_transaction_that_has_committed_on_one_segment_only_is_waited_for() {
    let cluster = bank();
    let (master, from, to) = (
        cluster.session(BANK),
        cluster.segment(0).session(BANK),
        cluster.segment(2).session(BANK),
    );
    let transfer = Transfer::begin(&master, &from, &to, 1);
    transfer.commit_first_half();
    let program = gpcrondump(&cluster, &[]).spawn();
    // Long enough for several attempts at the lock.
    std::thread::sleep(Duration::from_millis(1500));
    transfer.commit_second_half();
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(0), "{said}");
    let key = said.split_once("Timestamp key = ").unwrap().1[..14].to_owned();
    assert!(manifest(&cluster, &key).contains("\"one_cut\": true"));
    assert_eq!(sum_in_dump(&cluster, &key), TOTAL);
}

#[test]
fn without_a_moment_for_the_lock_the_dump_says_what_it_is_and_who_was_in_the_way() {
    let cluster = bank();
    let (master, from, to) = (
        cluster.session(BANK),
        cluster.segment(0).session(BANK),
        cluster.segment(2).session(BANK),
    );
    let transfer = Transfer::begin(&master, &from, &to, 1);
    transfer.commit_first_half();
    let finished = gpcrondump(&cluster, &["--cut-timeout", "1"]).run().expect_status(1);
    transfer.commit_second_half();
    assert!(
        finished
            .stdout
            .contains("-[WARNING]:-The dump is not one cut across all segments"),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.contains("In the way: table public.account: process "),
        "{}",
        finished.stdout
    );
    let key = finished.timestamp_key();
    assert!(manifest(&cluster, &key).contains("\"one_cut\": false"));
    // Half of the transfer is in it: so the sum does tell a broken cut from a whole one.
    assert_eq!(sum_in_dump(&cluster, &key), TOTAL - 7);
}

#[test]
fn writers_never_break_a_dump_and_never_wait_long_for_one() {
    let cluster = bank();
    let stop = AtomicBool::new(false);
    let (mut worst, mut transfers) = (Duration::ZERO, 0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let master = cluster.session(BANK);
            let segments: Vec<Session> = (0..SEGMENTS)
                .map(|content| cluster.segment(content).session(BANK))
                .collect();
            let (mut worst, mut done) = (Duration::ZERO, 0_i64);
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = (done as usize % SEGMENTS, (done as usize + 1) % SEGMENTS);
                let begun = Instant::now();
                let transfer = Transfer::begin(&master, &segments[from], &segments[to], done % ACCOUNTS + 1);
                transfer.commit_first_half();
                transfer.commit_second_half();
                worst = worst.max(begun.elapsed());
                done += 1;
            }
            (worst, done)
        });
        for _ in 0..8 {
            let key = gpcrondump(&cluster, &["-H"]).run().expect_status(0).timestamp_key();
            assert!(manifest(&cluster, &key).contains("\"one_cut\": true"));
            assert_eq!(sum_in_dump(&cluster, &key), TOTAL);
        }
        stop.store(true, Ordering::Relaxed);
        (worst, transfers) = writer.join().unwrap();
    });
    assert!(transfers > 50, "only {transfers} transfers went on beside the dumps");
    // The bound that docs/architecture.md states: the wait for a lock plus the longest attempt.
    assert!(worst < Duration::from_millis(2600), "a writer waited {worst:?}");
}

#[test]
fn a_table_that_comes_while_the_cut_is_taken_is_in_the_dump_with_its_rows_or_not_at_all() {
    let cluster = bank();
    // Whoever holds the table keeps the dump at its first lock; the list of tables was read before.
    let holder = cluster.session(BANK);
    holder.sql("BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE");
    let program = gpcrondump(&cluster, &[]).spawn();
    within(Duration::from_secs(30), "the dump waits for the table", || {
        !cluster
            .master()
            .sql(BANK, "SELECT 1 FROM pg_locks WHERE NOT granted")
            .is_empty()
    });
    cluster.sql(BANK, "CREATE TABLE late (id int)");
    for content in 0..SEGMENTS {
        cluster.segment_sql(content, BANK, "INSERT INTO late VALUES (1)");
    }
    holder.sql("ROLLBACK");
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(0), "{said}");
    let key = said.split_once("Timestamp key = ").unwrap().1[..14].to_owned();
    let facts = manifest(&cluster, &key);
    let late = facts
        .split_once("\"name\": \"late\"")
        .expect("the table is in the set")
        .1;
    assert!(
        late.trim_start_matches([',', '\n', ' '])
            .starts_with(&format!("\"rows\": {SEGMENTS}")),
        "{late}"
    );
}
