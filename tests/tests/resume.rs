//! `gpdbrestore --resume`: a restore that was killed or failed is gone on with.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use gpdump_testkit::client::Session;
use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};
use gpdump_tests::{DEMO, assert_restored, dump, dump_of, end_within, sessions, signal, within};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(60);
const SOURCE: &str = "source";
const TARGET: &str = "target";

/// A restore stands still at table `w` as long as somebody has the lock 4711, and at its last index for 4712.
const SCHEMA: &str = "
CREATE FUNCTION gate(number integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(number); RETURN true; END $$;
CREATE FUNCTION gated(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(4712); RETURN i; END $$;
CREATE TABLE t0 (id integer PRIMARY KEY, v text);
CREATE TABLE t1 (id integer, v text);
CREATE TABLE t2 (id integer, v text);
CREATE TABLE t3 (id integer, v text);
CREATE TABLE w (id integer CHECK (public.gate(4711)), t integer REFERENCES t0);
CREATE INDEX w_gated ON w (public.gated(id));
CREATE TABLE z (id integer, v text);
COMMENT ON TABLE z IS 'last';
";

fn cluster() -> (Cluster, String) {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {SOURCE}"));
    cluster.sql(SOURCE, SCHEMA);
    for content in 0..2 {
        let mut sql = String::new();
        for table in ["t0", "t1", "t2", "t3", "z"] {
            sql.push_str(&format!(
                "INSERT INTO {table} SELECT g, 'row ' || g FROM generate_series({0}, {0} + 49) g;",
                content * 1000
            ));
        }
        let held = format!(
            "{sql} INSERT INTO w SELECT g, g FROM generate_series({0}, {0} + 9) g",
            content * 1000
        );
        cluster.segment_sql(content, SOURCE, &held);
    }
    let key = dump_of(SOURCE, &cluster, &[]);
    (cluster, key)
}

fn restore(cluster: &Cluster, key: &str, more: &[&str]) -> Program {
    Program::new("gpdbrestore", cluster)
        .args(["-a", "-t", key, "--redirect", TARGET])
        .args(more.iter().copied())
}

fn record(cluster: &Cluster, key: &str) -> PathBuf {
    cluster.master_data_dir().join(format!("gp_restore_{key}_resume"))
}

/// Kills the program, lets go what it waited for, and waits until nothing of it is left.
fn kill(cluster: &Cluster, program: &mut Child, holder: Option<Session>) {
    signal(program.id(), Signal::KILL);
    end_within(SOON, program);
    drop(holder);
    within(SOON, "no session of the program is left", || {
        sessions(cluster).is_empty()
    });
}

/// A restore that waits for this lock on segment 1.
fn stopped_at(cluster: &Cluster, key: &str, lock: u32, more: &[&str]) -> (Child, Session) {
    let holder = cluster.segment(1).session(TARGET);
    holder.sql(&format!("SELECT pg_advisory_lock({lock})"));
    let program = restore(cluster, key, more).spawn();
    within(SOON, "the restore waits", || {
        let waiting = cluster.segment_sql(1, TARGET, "SELECT 1 FROM pg_locks WHERE NOT granted");
        !waiting.is_empty()
    });
    (program, holder)
}

/// Drops a database that a session of the test may still be leaving, and makes it anew.
fn make_anew(cluster: &Cluster) {
    within(SOON, "nobody is in the database", || {
        cluster.try_sql("postgres", &format!("DROP DATABASE {TARGET}")).is_ok()
    });
    cluster.sql("postgres", &format!("CREATE DATABASE {TARGET}"));
}

#[track_caller]
fn said(end: &Finished, words: &str) {
    assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
}

/// Rows of both, wherever they lie, and definitions.
#[track_caller]
fn assert_is_source(cluster: &Cluster) {
    let of = |database: &str| Snapshot::take(cluster, database).gathered();
    assert_same(&of(SOURCE), &of(TARGET));
}

#[test]
fn whole_tables_stay_and_all_others_are_loaded_again() {
    let (cluster, key) = cluster();
    cluster.sql("postgres", &format!("CREATE DATABASE {TARGET}"));
    let (mut program, holder) = stopped_at(&cluster, &key, 4711, &[]);
    within(SOON, "the tables before it are written down", || {
        fs::read_to_string(record(&cluster, &key)).is_ok_and(|text| text.contains("\"t3\""))
    });
    kill(&cluster, &mut program, Some(holder));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(record(&cluster, &key)).expect("the record"));
    assert_eq!(mode & 0o777, 0o600);

    // Somebody was at the tables in between. What counts right is not looked into.
    cluster.segment_sql(
        0,
        TARGET,
        "DELETE FROM t1 WHERE id < 7; UPDATE t3 SET v = 'mine' WHERE id = 1",
    );
    cluster.sql(TARGET, "DROP TABLE t2; CREATE TABLE t2 (id integer, v text)");
    let other = restore(&cluster, &key, &["--resume", "-T", "public.t0"])
        .run()
        .expect_status(2);
    said(&other, "it was asked for without -T public.t0");
    let end = restore(&cluster, &key, &["--resume"]).run().expect_status(0);
    said(&end, "2 tables have all their rows and stay as they are");
    said(
        &end,
        "Table public.t1 was loaded, and is loaded again: it has 93 rows, and 100 were loaded",
    );
    said(
        &end,
        "Table public.t2 was loaded, and is loaded again: it is another table of that name",
    );
    let mine = cluster.segment_sql(0, TARGET, "SELECT v FROM t3 WHERE id = 1");
    assert_eq!(mine[0][0].as_deref(), Some("mine"));
    cluster.segment_sql(0, TARGET, "UPDATE t3 SET v = 'row 1' WHERE id = 1");
    assert_is_source(&cluster);

    let end = restore(&cluster, &key, &["--resume"]).run().expect_status(0);
    said(&end, "nothing is left to be done");
    make_anew(&cluster);
    let end = restore(&cluster, &key, &["--resume"]).run().expect_status(2);
    said(&end, "was dropped or made anew after the restore");
    fs::remove_file(record(&cluster, &key)).expect("it is there");
    let end = restore(&cluster, &key, &["--resume"]).run().expect_status(2);
    said(&end, "There is no restore of set");
}

#[test]
fn rows_that_were_there_before_are_nobodys_to_empty() {
    let (cluster, key) = cluster();
    cluster.sql("postgres", &format!("CREATE DATABASE {TARGET}"));
    cluster.sql(TARGET, "CREATE TABLE z (id integer, v text)");
    cluster.segment_sql(0, TARGET, "INSERT INTO z VALUES (-1, 'mine')");
    let (mut program, holder) = stopped_at(&cluster, &key, 4711, &[]);
    kill(&cluster, &mut program, Some(holder));
    let end = restore(&cluster, &key, &["--resume"]).run().expect_status(2);
    said(&end, "Table public.z was in database target before the restore began");
    let rows = cluster.segment_sql(0, TARGET, "SELECT v FROM z WHERE id < 0");
    assert_eq!(rows, [[Some("mine".to_owned())]]);

    // A chosen table that may be emptied is another thing; indexes that were made are not made again.
    make_anew(&cluster);
    cluster.sql(TARGET, "CREATE TABLE z (id integer, v text)");
    cluster.segment_sql(0, TARGET, "INSERT INTO z VALUES (-1, 'mine')");
    let chosen = ["-T", "public.z", "-T", "public.t0", "-T", "public.w", "--truncate"];
    let (mut program, holder) = stopped_at(&cluster, &key, 4712, &chosen);
    kill(&cluster, &mut program, Some(holder));
    let end = restore(&cluster, &key, &[&chosen[..], &["--resume"]].concat())
        .run()
        .expect_status(0);
    said(&end, "3 tables have all their rows and stay as they are");
    let of = |database: &str| {
        let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
        (
            cluster.sql(database, sql),
            cluster.segment_sql(0, database, "SELECT * FROM z ORDER BY 1"),
        )
    };
    assert_eq!(of(SOURCE), of(TARGET));
}

#[test]
fn sets_in_a_store_are_gone_on_with_and_so_are_those_that_come_through_the_master() {
    let (cluster, _) = cluster();
    cluster.sql("postgres", &format!("CREATE DATABASE {TARGET}"));
    let place = cluster.home().join("elsewhere");
    fs::create_dir(&place).expect("the directory is new");
    let place = place.to_str().expect("made of ASCII");
    let url = format!("file://{place}");
    for at in [&["--storage", url.as_str()][..], &["--through-master", "-u", place]] {
        let key = dump_of(SOURCE, &cluster, at);
        let (mut program, holder) = stopped_at(&cluster, &key, 4711, at);
        kill(&cluster, &mut program, Some(holder));
        let end = restore(&cluster, &key, &[at, &["--resume"]].concat())
            .run()
            .expect_status(0);
        said(&end, "tables have all their rows and stay as they are");
        assert_is_source(&cluster);
        let end = restore(&cluster, &key, &[at, &["--resume"]].concat())
            .run()
            .expect_status(0);
        said(&end, "nothing is left to be done");
        make_anew(&cluster);
    }
}

#[test]
fn a_restore_that_is_killed_again_and_again_comes_to_the_same_end() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    let start = |more: &[&str]| {
        Program::new("gpdbrestore", &cluster)
            .args(["-a", "-e", "-t", key.as_str()])
            .args(more.iter().copied())
    };
    let mut killed = 0;
    let mut moments = [150, 400, 600, 800, 1000, 1200, 250, 500]
        .map(Duration::from_millis)
        .into_iter();
    let mut more: &[&str] = &[];
    loop {
        let Some(moment) = moments.next() else {
            start(more).run().expect_status(0);
            break;
        };
        let mut program = start(more).spawn();
        std::thread::sleep(moment);
        killed += u32::from(program.try_wait().expect("it is ours").is_none());
        kill(&cluster, &mut program, None);
        // Before there is a record there is nothing to go on with: then it begins anew.
        more = if record(&cluster, &key).exists() {
            &["--resume"]
        } else {
            &[]
        };
        if let [_] = more {
            let end = start(&["--resume", "-m"]).run().expect_status(2);
            assert!(
                end.stdout.contains("was dropped or made anew") || end.stdout.contains("without -m"),
                "{}",
                end.stdout
            );
            if end.stdout.contains("was dropped or made anew") {
                more = &[];
            }
        }
    }
    assert!(killed > 2, "{killed}");
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));
}
