//! A person or a shutdown ends a run: soon, with status 2, and with nothing left lying about.

use std::time::{Duration, Instant};

use gpdump_testkit::compare::Snapshot;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{DEMO, assert_restored, dump, dump_files, end_within, restore, sessions, signal, spoil, within};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(5);

fn assert_nothing_is_left(cluster: &Cluster) {
    within(SOON, "no session of the program is left", || {
        sessions(cluster).is_empty()
    });
    // A worker cleans up when its stdin closes, and may be a moment later than the program; a file that stays is a bug.
    let mut left;
    let deadline = Instant::now() + SOON;
    loop {
        left = dump_files(cluster);
        left.retain(|path| path.to_string_lossy().contains(".partial"));
        if left.is_empty() || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(left.is_empty(), "{left:?}");
}

/// Moments spread over a run, denser at its beginning where more happens.
fn moments() -> impl Iterator<Item = Duration> {
    [5, 20, 45, 80, 130, 200, 300, 450, 700, 1100]
        .into_iter()
        .map(Duration::from_millis)
}

#[test]
fn a_dump_ended_at_any_moment_leaves_nothing_behind() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    for (n, moment) in moments().enumerate() {
        let which = if n % 2 == 0 { Signal::TERM } else { Signal::INT };
        let mut program = Program::new("gpcrondump", &cluster).args(["-a", "-x", DEMO]).spawn();
        std::thread::sleep(moment);
        signal(program.id(), which);
        let status = end_within(SOON, &mut program).code();
        // Before its handler stands the signal itself ends the program; after the last step there is nothing to end.
        assert!(matches!(status, Some(0 | 2) | None), "{status:?} after {moment:?}");
        assert_nothing_is_left(&cluster);
    }
    dump(&cluster, &[]);
}

#[test]
fn a_dump_that_waits_for_a_lock_on_a_segment_ends_with_status_2() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let holder = cluster.segment(1).session(DEMO);
    holder.sql("BEGIN; LOCK public.wide");
    for which in [Signal::TERM, Signal::INT] {
        let mut program = Program::new("gpcrondump", &cluster).args(["-a", "-x", DEMO]).spawn();
        within(Duration::from_secs(30), "the program waits for the lock", || {
            !cluster
                .segment_sql(1, DEMO, "SELECT 1 FROM pg_locks WHERE NOT granted")
                .is_empty()
        });
        signal(program.id(), which);
        assert_eq!(end_within(SOON, &mut program).code(), Some(2));
        assert_nothing_is_left(&cluster);
    }
}

#[test]
fn a_restore_ended_at_any_moment_can_be_done_again() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    spoil(&cluster);
    for moment in moments().step_by(2) {
        let mut program = Program::new("gpdbrestore", &cluster)
            .args(["-a", "-e", "-t", &key])
            .spawn();
        std::thread::sleep(moment);
        signal(program.id(), Signal::TERM);
        end_within(SOON, &mut program);
        assert_nothing_is_left(&cluster);
    }
    restore(&cluster, &key, &["-e"]);
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));
}
