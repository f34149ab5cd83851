//! One cut across all segments: money that moves from one segment to another is in every dump exactly once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpdump_testkit::client::Session;
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
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
        .find(|path| path.to_string_lossy().ends_with(&name))
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
fn writers_that_come_to_the_tables_in_another_order_leave_a_moment_too() {
    let cluster = bank();
    cluster.sql(BANK, "CREATE TABLE first (a int); CREATE TABLE last (a int)");
    for order in [["first", "last"], ["last", "first"]] {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let session = cluster.session(BANK);
                    while !stop.load(Ordering::Relaxed) {
                        session.sql("BEGIN");
                        for table in order {
                            session.sql(&format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE"));
                            session.sql("SELECT pg_sleep(0.02)");
                        }
                        session.sql("COMMIT");
                    }
                });
            }
            let end = gpcrondump(&cluster, &["--cut-timeout", "20"]).run();
            stop.store(true, Ordering::Relaxed);
            let end = end.expect_status(0);
            assert!(
                manifest(&cluster, &end.timestamp_key()).contains("\"one_cut\": true"),
                "{order:?}"
            );
        });
        // Two sets of one second have one key.
        std::thread::sleep(Duration::from_secs(1));
    }
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

/// Who waits for a table's lock on the master.
fn waits_for(cluster: &Cluster, table: &str) -> bool {
    let sql = format!("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
    !cluster
        .try_sql_behind(cluster.master(), BANK, &sql)
        .unwrap_or_default()
        .is_empty()
}

/// Runs a statement on the master alone, in a thread: it may have to wait.
fn begin_on_master(cluster: &Cluster, sql: &'static str) -> std::thread::JoinHandle<Result<(), String>> {
    let session = cluster.session_behind(cluster.master(), BANK);
    std::thread::spawn(move || session.try_sql(sql).map(drop))
}

/// Our own locks are kept off the table that pg_dump waits for.
const NOT_HELD: &[&str] = &["-T", "public.held"];

/// What a dump says and leaves that `meddle` comes between: it is called when pg_dump waits for the table `held`, which our
/// own locks do not reach. pg_dump locks tables in the order in which they were made.
fn dump_with_pg_dump_held(cluster: &Cluster, more: &[&str], meddle: impl FnOnce()) -> (String, String) {
    let holder = cluster.session_behind(cluster.master(), BANK);
    holder.sql("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
    let program = gpcrondump(cluster, more).args(["--silence-timeout", "3"]).spawn();
    within(Duration::from_secs(30), "pg_dump waits", || waits_for(cluster, "held"));
    meddle();
    holder.sql("ROLLBACK");
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(0), "{said}");
    let key = said.split_once("Timestamp key = ").unwrap().1[..14].to_owned();
    assert!(manifest(cluster, &key).contains("\"one_cut\": true"));
    (said, key)
}

#[test]
fn a_statement_that_comes_before_pg_dump_has_its_locks_is_let_through() {
    let cluster = bank();
    cluster.sql(BANK, "CREATE TABLE held (id int)");
    cluster.sql(BANK, "CREATE TABLE spare (id int)");
    let mut drop_table = None;
    // The programs are brought up to date before the clock runs.
    drop(gpcrondump(&cluster, &[]));
    let begun = Instant::now();
    let (said, key) = dump_with_pg_dump_held(&cluster, NOT_HELD, || {
        drop_table = Some(begin_on_master(&cluster, "DROP TABLE spare"));
        within(Duration::from_secs(10), "the DROP waits for the dump", || {
            waits_for(&cluster, "spare")
        });
    });
    drop_table.unwrap().join().unwrap().unwrap();
    // Without it the three of them wait for the limit for locks, ten minutes.
    assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
    let let_through = "-[INFO]:-A statement came between the locks of this dump and is let through, time 1: table \
                       public.spare: process ";
    assert!(said.contains(let_through), "{said}");
    assert!(
        said.contains("waits for AccessExclusiveLock (DROP TABLE spare)"),
        "{said}"
    );
    assert!(!manifest(&cluster, &key).contains("spare"));
    assert_eq!(sum_in_dump(&cluster, &key), TOTAL);
    let partial = |path: &PathBuf| path.to_string_lossy().ends_with(".partial");
    assert!(!dump_files(&cluster).iter().any(partial), "{:?}", dump_files(&cluster));
}

#[test]
fn an_increment_begins_anew_too() {
    let cluster = bank();
    cluster.sql(BANK, "CREATE TABLE held (id int)");
    cluster.sql(BANK, "CREATE TABLE spare (id int)");
    let full = gpcrondump(&cluster, &[NOT_HELD, &["--prefix", "night"]].concat());
    full.run().expect_status(0);
    let mut truncate = None;
    let (said, key) = dump_with_pg_dump_held(&cluster, &["--prefix", "night", "--incremental"], || {
        truncate = Some(begin_on_master(&cluster, "TRUNCATE spare"));
        within(Duration::from_secs(10), "the TRUNCATE waits for the dump", || {
            waits_for(&cluster, "spare")
        });
    });
    truncate.unwrap().join().unwrap().unwrap();
    assert!(said.contains("is let through, time 1: "), "{said}");
    let restored = Program::new("gpdbrestore", &cluster)
        .args(["-a", "--prefix", "night", "-t", &key, "--redirect", "copy"])
        .run();
    restored.expect_status(0);
    let sums: i64 = (0..SEGMENTS)
        .map(|content| {
            let rows = cluster.segment_sql(content, "copy", "SELECT coalesce(sum(balance), 0) FROM account");
            rows[0][0].as_deref().unwrap().parse::<i64>().unwrap()
        })
        .sum();
    assert_eq!(sums, TOTAL);
}

#[test]
fn statements_that_never_stop_end_the_dump() {
    let cluster = bank();
    cluster.sql(BANK, "CREATE TABLE held (id int)");
    cluster.sql(BANK, "CREATE TABLE spare (id int)");
    const LOCK: &str = "BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE";
    let open = || cluster.session_behind(cluster.master(), BANK);
    let (mut front, mut back) = (open(), open());
    front.sql(LOCK);
    let mut program = gpcrondump(
        &cluster,
        &["-T", "public.held", "--silence-timeout", "3", "--lock-timeout", "4"],
    )
    .spawn();
    let mut has_ended = || program.try_wait().unwrap().is_some();
    let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'held'::regclass";
    let waiters = |count: usize| {
        cluster
            .try_sql_behind(cluster.master(), BANK, waiting)
            .is_ok_and(|rows| rows.len() >= count)
    };
    // Each pg_dump is held, and let go with a statement in front of it and the next hold behind it.
    loop {
        within(Duration::from_secs(30), "pg_dump waits, or all is over", || {
            waiters(1) || has_ended()
        });
        if has_ended() {
            break;
        }
        let truncate = begin_on_master(&cluster, "TRUNCATE spare");
        within(Duration::from_secs(10), "the TRUNCATE waits for the dump", || {
            waits_for(&cluster, "spare") || has_ended()
        });
        let next = back.clone();
        let hold = std::thread::spawn(move || next.sql(LOCK));
        within(Duration::from_secs(10), "the next hold waits", || {
            waiters(2) || has_ended()
        });
        front.sql("ROLLBACK");
        truncate.join().unwrap().unwrap();
        hold.join().unwrap();
        std::mem::swap(&mut front, &mut back);
    }
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(2), "{said}");
    let reason =
        "gpcrondump failed. (Reason='For 4 s statements came between the locks of this dump, and were let through ";
    assert!(said.contains(reason), "{said}");
    assert!(
        said.contains("waits for AccessExclusiveLock (TRUNCATE spare)"),
        "{said}"
    );
    assert!(said.contains("--lock-timeout says how long it is tried"), "{said}");
    assert!(
        !dump_files(&cluster)
            .iter()
            .any(|path| path.to_string_lossy().ends_with(".gz"))
    );
}

#[test]
fn on_one_server_it_is_let_through_too() {
    let cluster = Plain::start();
    cluster.sql("postgres", &format!("CREATE DATABASE {BANK}"));
    cluster.sql(BANK, "CREATE TABLE held (id int)");
    cluster.sql(BANK, "CREATE TABLE spare AS SELECT 4711 AS id");
    let mut truncate = None;
    let (said, key) = dump_with_pg_dump_held(&cluster, NOT_HELD, || {
        truncate = Some(begin_on_master(&cluster, "TRUNCATE spare"));
        within(Duration::from_secs(10), "the TRUNCATE waits for the dump", || {
            waits_for(&cluster, "spare")
        });
    });
    truncate.unwrap().join().unwrap().unwrap();
    assert!(said.contains("is let through, time 1: "), "{said}");
    let facts = manifest(&cluster, &key);
    let spare = facts
        .split_once("\"name\": \"spare\"")
        .expect("the table is in the set")
        .1;
    assert!(
        spare.trim_start_matches([',', '\n', ' ']).starts_with("\"rows\": 0"),
        "{spare}"
    );
}

#[test]
fn a_statement_that_comes_before_the_locks_of_the_cut_is_let_through() {
    let cluster = bank();
    // The segments' locks come after those of the master, and before those of the cut.
    let holder = cluster.segment(1).session(BANK);
    holder.sql("BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE");
    let program = gpcrondump(&cluster, &[]).spawn();
    within(Duration::from_secs(30), "the worker waits", || {
        let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted";
        !cluster.segment(1).sql(BANK, waiting).is_empty()
    });
    let alter_table = begin_on_master(&cluster, "ALTER TABLE account ALTER balance SET DEFAULT 1");
    within(Duration::from_secs(10), "the ALTER waits for the dump", || {
        waits_for(&cluster, "account")
    });
    holder.sql("ROLLBACK");
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    alter_table.join().unwrap().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{said}");
    assert!(
        said.contains("is let through, time 1: table public.account: process "),
        "{said}"
    );
    let key = said.split_once("Timestamp key = ").unwrap().1[..14].to_owned();
    assert!(manifest(&cluster, &key).contains("\"one_cut\": true"));
    assert_eq!(sum_in_dump(&cluster, &key), TOTAL);
}

#[test]
fn a_table_that_nobody_chose_and_that_goes_before_pg_dump_has_locked_it_costs_another_cut() {
    let cluster = bank();
    cluster.sql(BANK, "CREATE TABLE held (id int)");
    cluster.sql(BANK, "CREATE TABLE unwanted (id int)");
    let not_these = [NOT_HELD, &["-T", "public.unwanted"]].concat();
    let (said, key) = dump_with_pg_dump_held(&cluster, &not_these, || {
        cluster.sql(BANK, "DROP TABLE unwanted");
    });
    assert!(said.contains("is let through, time 1: "), "{said}");
    assert!(said.contains("LOCK TABLE "), "{said}");
    assert_eq!(sum_in_dump(&cluster, &key), TOTAL);
}
