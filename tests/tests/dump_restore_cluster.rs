//! There and back on a master with segments.

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::console::redacted;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{
    ANYWHERE, DEMO, assert_lines_in_order, assert_restored, dump, dump_files, dump_of, golden, load, restore,
};

#[test]
fn a_dumped_and_restored_database_is_the_same_object_by_object_and_row_by_row() {
    let cluster = Cluster::for_tests(3);
    load(&cluster);
    let before = Snapshot::take(&cluster, ANYWHERE);
    let key = dump_of(ANYWHERE, &cluster, &[]);
    cluster.sql("postgres", &format!("DROP DATABASE {ANYWHERE}"));
    restore(&cluster, &key, &["-e"]);
    let after = Snapshot::take(&cluster, ANYWHERE);
    assert_restored(&before, &after);
    // A Greenplum that goes on running keeps nothing of us.
    cluster.sql("postgres", &format!("DROP DATABASE {ANYWHERE}"));
    assert!(cluster.home().join("gpAdminLogs").exists());
}

#[test]
fn the_console_says_what_the_originals_said_in_their_order() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let dumped = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO])
        .run()
        .expect_status(0);
    assert_lines_in_order(&golden("gp5-01-full/dump.console.txt"), &redacted(&dumped.stdout));
    let key = dumped.timestamp_key();
    let restored = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-e", "-t", &key])
        .run()
        .expect_status(0);
    assert_lines_in_order(&golden("gp5-01-full/restore.console.txt"), &redacted(&restored.stdout));
}

#[test]
fn a_restored_table_brings_back_its_rows_and_leaves_the_others_alone() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    cluster.sql(
        DEMO,
        r#"DELETE FROM sales.line; DROP TABLE "Odd Schema"."we""ird. näme""#,
    );
    restore(&cluster, &key, &["-T", "sales.line", "--truncate"]);
    restore(&cluster, &key, &["-T", r#"Odd Schema.we"ird. näme"#]);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn a_database_that_does_not_exist_is_refused_and_leaves_no_file() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", "nosuch"])
        .run()
        .expect_status(2);
    assert_eq!(dump_files(&cluster), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_segment_that_is_down_fails_the_dump() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    cluster.kill(1, rustix::process::Signal::QUIT);
    let end = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO])
        .run()
        .expect_status(2);
    assert!(end.stdout.contains("segment 1"), "{}", end.stdout);
}
