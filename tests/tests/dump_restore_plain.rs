//! There and back on one plain PostgreSQL server, which plays master and segment.

use gpdump_testkit::Plain;
use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_tests::{DEMO, dump, restore, spoil};

#[test]
fn one_plain_server_is_dumped_and_restored() {
    let server = Plain::start();
    server.load_warehouse(DEMO);
    let before = Snapshot::take(&server, DEMO);
    let key = dump(&server, &[]);
    spoil(&server);
    restore(&server, &key, &["-e"]);
    assert_same(&before, &Snapshot::take(&server, DEMO));
}

#[test]
fn a_set_goes_to_another_server_by_its_directory() {
    let (one, other) = (Plain::start(), Plain::start());
    one.load_warehouse(DEMO);
    let dir = one.home().join("set");
    std::fs::create_dir(&dir).expect("the home is ours");
    let dir = dir.to_str().expect("made of ASCII");
    let before = Snapshot::take(&one, DEMO);
    let key = dump(&one, &["-u", dir]);
    // The roles of a cluster are no part of a database's dump.
    other.sql("postgres", "CREATE ROLE \"reader of sales\"");
    restore(&other, &key, &["-e", "-u", dir]);
    assert_same(&before, &Snapshot::take(&other, DEMO));
}
