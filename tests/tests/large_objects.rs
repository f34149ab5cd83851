//! Large objects belong to a database and so to its dump.

use gpdump_testkit::Plain;
use gpdump_tests::{DEMO, dump, restore};

#[test]
fn large_objects_come_back_with_holes_owner_and_all() {
    let server = Plain::start();
    server.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    server.sql("postgres", "CREATE ROLE keeper");
    server.sql(
        DEMO,
        "SELECT lo_from_bytea(4242, decode(repeat('00ff5c27', 100000), 'hex')); SELECT lo_create(4243); \
         SELECT lo_from_bytea(4244, 'begin'); SELECT lo_put(4244, 1000000, 'after a hole'); \
         ALTER LARGE OBJECT 4243 OWNER TO keeper",
    );
    let state = "SELECT m.oid, pg_get_userbyid(m.lomowner), md5(lo_get(m.oid)), length(lo_get(m.oid)) \
         FROM pg_largeobject_metadata m ORDER BY 1";
    let before = server.sql(DEMO, state);
    assert_eq!(before.len(), 3);
    let key = dump(&server, &[]);
    server.sql("postgres", &format!("DROP DATABASE {DEMO}"));
    restore(&server, &key, &["-e"]);
    assert_eq!(server.sql(DEMO, state), before);
}
