//! A segment on another host, as far as a program can tell: 127.0.0.2, with an ssh server of its own.

use gpdump_testkit::compare::Snapshot;
use gpdump_testkit::{Cluster, ClusterSpec, Program, Sshd};
use gpdump_tests::{DEMO, assert_restored, spoil};

fn cluster_with_remote_segment() -> (Cluster, Sshd) {
    let sshd = Sshd::start("127.0.0.2");
    let cluster = Cluster::start(ClusterSpec {
        segments: 2,
        hostnames: vec!["localhost".into(), "127.0.0.2".into()],
        ..ClusterSpec::segments(2)
    });
    cluster.load_warehouse(DEMO);
    (cluster, sshd)
}

#[test]
fn the_ssh_server_of_the_tests_lets_us_in() {
    let sshd = Sshd::start("127.0.0.2");
    let end = std::process::Command::new(sshd.client())
        .args(["127.0.0.2", "echo", "in"])
        .output();
    let end = end.expect("the wrapper is a program");
    assert_eq!(String::from_utf8_lossy(&end.stdout), "in\n", "{end:?}\n{}", sshd.log());
}

#[test]
fn a_segment_behind_ssh_is_dumped_and_restored_over_one_login_each() {
    let (cluster, sshd) = cluster_with_remote_segment();
    let before = Snapshot::take(&cluster, DEMO);
    let logins = || sshd.log().matches("Accepted publickey").count();
    let dumped = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO])
        .env("GPDUMP_SSH", sshd.client())
        .run()
        .expect_status(0);
    assert_eq!(logins(), 1, "{}", sshd.log());
    spoil(&cluster);
    Program::new("gpdbrestore", &cluster)
        .args(["-a", "-e", "-t", &dumped.timestamp_key()])
        .env("GPDUMP_SSH", sshd.client())
        .run()
        .expect_status(0);
    assert_eq!(logins(), 2, "{}", sshd.log());
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn a_host_that_nobody_can_log_in_to_fails_the_dump_and_is_named() {
    let (cluster, sshd) = cluster_with_remote_segment();
    let dir = std::env::temp_dir().join(format!("gpdump-no-ssh-{}", std::process::id()));
    std::fs::copy(sshd.client(), &dir).expect("the wrapper is a file");
    drop(sshd);
    let end = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO])
        .env("GPDUMP_SSH", &dir)
        .run()
        .expect_status(2);
    assert!(end.stdout.contains("127.0.0.2"), "{}", end.stdout);
    std::fs::remove_file(dir).expect("it is ours");
}
