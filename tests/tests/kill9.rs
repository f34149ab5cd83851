//! Ends that nobody can catch: of the program, of a worker, of a server.

use std::process::Child;
use std::time::Duration;

use gpdump_testkit::client::Session;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{DEMO, descendants, dump, dump_files, end_within, sessions, signal, within};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(15);

/// A dump that cannot go on, because a session has locked a table on segment 1.
fn stuck_dump(cluster: &Cluster) -> (Child, Session) {
    let holder = cluster.segment(1).session(DEMO);
    holder.sql("BEGIN; LOCK public.wide");
    let program = Program::new("gpcrondump", cluster).args(["-a", "-x", DEMO]).spawn();
    within(Duration::from_secs(30), "the program waits for the lock", || {
        !cluster
            .segment_sql(1, DEMO, "SELECT 1 FROM pg_locks WHERE NOT granted")
            .is_empty()
    });
    (program, holder)
}

#[test]
fn when_the_program_is_killed_its_workers_end_and_the_set_counts_as_incomplete() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let (mut program, holder) = stuck_dump(&cluster);
    let workers = descendants(program.id());
    signal(program.id(), Signal::KILL);
    end_within(SOON, &mut program);
    holder.sql("ROLLBACK");
    within(SOON, "the workers ended", || {
        workers
            .iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
    within(SOON, "no session of the program is left", || {
        sessions(&cluster).is_empty()
    });
    let manifests = dump_files(&cluster)
        .into_iter()
        .filter(|p| p.to_string_lossy().contains("manifest"));
    assert_eq!(manifests.count(), 0);
    // What the dead run holds must not stop the next one.
    dump(&cluster, &[]);
}

/// The workers of a program that the test started.
fn workers(program: &Child) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        cmdline.is_ok_and(|words| words.contains("__worker"))
    };
    descendants(program.id()).into_iter().filter(is_worker).collect()
}

#[test]
fn a_worker_that_is_killed_fails_the_dump() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let (mut program, holder) = stuck_dump(&cluster);
    let workers = workers(&program);
    assert_eq!(workers.len(), 1, "one worker per host");
    signal(workers[0], Signal::KILL);
    // The program may wait for its locks on the master as long as it is allowed to.
    assert_eq!(end_within(Duration::from_secs(90), &mut program).code(), Some(2));
    holder.sql("ROLLBACK");
    within(SOON, "no session of the program is left", || {
        sessions(&cluster).is_empty()
    });
}

#[test]
fn a_dump_whose_worker_was_killed_is_complete_or_has_no_manifest() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    for moment in [50, 100, 150, 200, 250, 300, 400].map(Duration::from_millis) {
        let manifests = || {
            dump_files(&cluster)
                .into_iter()
                .filter(|p| p.to_string_lossy().contains("manifest"))
                .count()
        };
        let before = manifests();
        let mut program = Program::new("gpcrondump", &cluster).args(["-a", "-x", DEMO]).spawn();
        std::thread::sleep(moment);
        for worker in workers(&program) {
            signal(worker, Signal::KILL);
        }
        let status = end_within(SOON, &mut program).code();
        let new = manifests() - before;
        assert!(
            matches!((status, new), (Some(0), 1) | (Some(2), 0)),
            "{status:?}, {new} manifests, {moment:?}"
        );
        within(SOON, "no session of the program is left", || {
            sessions(&cluster).is_empty()
        });
    }
}

#[test]
fn a_segment_that_crashes_fails_the_dump() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let (mut program, _holder) = stuck_dump(&cluster);
    cluster.kill(1, Signal::QUIT);
    assert_eq!(end_within(SOON, &mut program).code(), Some(2));
}
