//! The benchmark of a large cluster, small: its workers speak the protocol of the programs, and fall behind when that changes.

use std::process::Command;

#[test]
fn the_workers_of_the_benchmark_are_understood() {
    let end = Command::new(env!("CARGO_BIN_EXE_scale"))
        .env("SCALE_HOSTS", "3")
        .env("SCALE_SEGMENTS_EACH", "2")
        .env("SCALE_TABLES", "50")
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&end.stdout);
    assert!(end.status.success(), "{said}{}", String::from_utf8_lossy(&end.stderr));
    assert!(
        said.contains("6 segments on 3 hosts, 50 tables: exit status: 0"),
        "{said}"
    );
}
