//! `--through-master`: a role that may read, one address, and nothing else of the cluster.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::object_server::{ObjectServer, SECRET};
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::traces::Traces;
use gpdump_tests::{DEMO, buckets, restore, spoil};
use serde_json::Value;

const READER: &str = "saver";

/// A directory for sets, on the machine of the program.
fn place(cluster: &Cluster) -> PathBuf {
    let place = cluster.home().join("far away");
    std::fs::create_dir_all(&place).expect("the home is ours");
    place
}

/// The program with the role and an address, and without all that only the cluster's hosts have.
fn program(name: &str, cluster: &Cluster, role: &str, args: &[&str]) -> Program {
    Program::new(name, cluster)
        .env("PGUSER", role)
        .env("MASTER_DATA_DIRECTORY", "")
        .env("GPHOME", "")
        .env("GPDUMP_SSH", "/bin/false")
        .args(["-a", "--through-master", "-u"])
        .args([OsString::from(place(cluster))])
        .args(args.iter().copied())
}

fn dump(cluster: &Cluster, role: &str, args: &[&str]) -> String {
    let dumped = program("gpcrondump", cluster, role, args).run();
    dumped.expect_status(0).timestamp_key()
}

/// A role that may read all of the database, and nothing else.
fn make_reader(cluster: &Cluster, database: &str) {
    cluster.sql("postgres", &format!("CREATE ROLE {READER} LOGIN BYPASSRLS"));
    let schemas = cluster.sql(
        database,
        "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN \
         ('information_schema', 'gp_toolkit')",
    );
    let mut grants = String::new();
    for schema in schemas.iter().filter_map(|row| row[0].as_deref()) {
        grants.push_str(&format!(
            "GRANT USAGE ON SCHEMA {schema} TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}; \
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {READER};"
        ));
    }
    cluster.sql(database, &grants);
}

fn manifest(cluster: &Cluster, key: &str) -> Value {
    let path = place(cluster)
        .join("db_dumps")
        .join(&key[..8])
        .join(format!("gp_dump_{key}_manifest.json"));
    let text = std::fs::read_to_string(path).expect("a set has a manifest");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn a_role_that_only_reads_saves_all_of_a_plain_server() {
    let server = Plain::start();
    server.load_warehouse(DEMO);
    server.sql(
        DEMO,
        "SELECT lo_from_bytea(77, decode(repeat('00ff', 200000), 'hex')); SELECT lo_create(78)",
    );
    make_reader(&server, DEMO);
    server.sql(DEMO, &format!("GRANT SELECT ON LARGE OBJECT 77, 78 TO {READER}"));
    let before = Snapshot::take(&server, DEMO);
    let key = dump(&server, READER, &["-x", DEMO, "--jobs", "3"]);
    let written = manifest(&server, &key);
    assert_eq!(written["streams"]["connections"], 3);
    assert_eq!(written["streams"]["snapshot"], "exported");
    assert_eq!(written["consistency"]["one_cut"], true);
    spoil(&server);
    let place = place(&server);
    restore(&server, &key, &["-e", "-u", place.to_str().expect("made of ASCII")]);
    assert_same(&before, &Snapshot::take(&server, DEMO));
    let objects = server.sql(
        DEMO,
        "SELECT md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata",
    );
    let expected = server.sql(DEMO, "SELECT md5(decode(repeat('00ff', 200000), 'hex'))");
    assert_eq!(objects, expected);
}

/// What an ordinary role can make for itself.
const OWN_SCHEMA: &str = "
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'fine');
CREATE TABLE app.customer (id serial PRIMARY KEY, name text NOT NULL, mood app.mood, big text);
CREATE TABLE app.\"Order\" (id int GENERATED ALWAYS AS IDENTITY, customer int REFERENCES app.customer, total numeric);
CREATE INDEX order_customer ON app.\"Order\" (customer);
CREATE TABLE app.event (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE app.event_2023 PARTITION OF app.event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.event_rest PARTITION OF app.event DEFAULT;
CREATE VIEW app.rich AS SELECT name FROM app.customer JOIN app.\"Order\" o ON o.customer = customer.id WHERE total > 100;
CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
COMMENT ON TABLE app.customer IS 'who pays';
INSERT INTO app.customer (name, mood, big) SELECT 'c' || i, 'fine', repeat(md5(i::text), 100) FROM generate_series(1, 500) i;
INSERT INTO app.\"Order\" (customer, total) SELECT i, i * 1.5 FROM generate_series(1, 500) i;
INSERT INTO app.event SELECT date '2023-06-01' + i, E'a\\tb\\\\' FROM generate_series(1, 400) i;
SELECT lo_from_bytea(5, 'object');
";

#[test]
fn a_role_without_rights_on_the_server_takes_its_database_elsewhere_and_back() {
    let server = Plain::start();
    server.sql("postgres", "CREATE ROLE tenant LOGIN CREATEDB");
    server.sql("postgres", "CREATE DATABASE app OWNER tenant TEMPLATE template0");
    // As on a managed server: nobody but administrators gets into its own databases.
    server.sql("template1", "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC");
    server.sql("app", &format!("SET ROLE tenant; {OWN_SCHEMA}"));
    server.sql("app", "ALTER SCHEMA public OWNER TO tenant");
    let before = Snapshot::take(&server, "app");
    let key = dump(&server, "tenant", &["-x", "app"]);
    // It owns the schema, so it can note the dump.
    assert_eq!(server.sql("app", "SELECT 1 FROM public.gpcrondump_history").len(), 1);
    let restored = |args: &[&str]| {
        let all = [&["-t", key.as_str()], args].concat();
        program("gpdbrestore", &server, "tenant", &all).run()
    };
    // An increment goes on it, through fewer connections; a run of the other kind does not.
    server.sql(
        "app",
        "SET ROLE tenant; INSERT INTO app.event VALUES ('2024-05-05', 'late')",
    );
    let late = Snapshot::take(&server, "app");
    let increment = dump(&server, "tenant", &["-x", "app", "--incremental", "--jobs", "2"]);
    let set = place(&server);
    let other_kind = [
        "-a",
        "-x",
        "app",
        "--incremental",
        "-u",
        set.to_str().expect("made of ASCII"),
    ];
    let refused = Program::new("gpcrondump", &server)
        .args(other_kind)
        .run()
        .expect_status(2);
    assert!(
        refused.stdout.contains("was taken through the master"),
        "{}",
        refused.stdout
    );
    server.sql("app", "DROP SCHEMA app CASCADE; SELECT lo_unlink(5)");
    let newest = program("gpdbrestore", &server, "tenant", &["-t", &increment, "-e"]).run();
    newest.expect_status(0);
    assert_same(&late, &Snapshot::take(&server, "app"));
    restored(&["-e"]).expect_status(0);
    assert_same(&before, &Snapshot::take(&server, "app"));

    restored(&["-T", "app.Order", "-T", "app.customer", "--redirect", "other"]).expect_status(0);
    let rows = "SELECT count(*), sum(total) FROM app.\"Order\"";
    assert_eq!(server.sql("other", rows), server.sql("app", rows));
    assert!(
        server
            .sql("other", "SELECT 1 FROM pg_class WHERE relname = 'event'")
            .is_empty()
    );
    server.sql("other", "DELETE FROM app.\"Order\" WHERE id < 400");
    restored(&["-T", "app.Order", "--truncate", "--redirect", "other"]).expect_status(0);
    assert_eq!(server.sql("other", rows), server.sql("app", rows));
    restored(&["-L"]).expect_status(0);
    // The files are all that this needs.
    let offline = ["-t", &key, "--verify"];
    let verified = program("gpdbrestore", &server, "nobody", &offline)
        .env("PGPORT", "1")
        .run();
    let said = verified.expect_status(0).stdout;
    assert!(said.contains("All of it can be restored: "), "{said}");
    assert!(!said.contains("[WARNING]"), "{said}");
    let damaged = place(&server).join(format!("db_dumps/{}/gp_dump_1_100003_{key}.gz", &key[..8]));
    std::fs::remove_file(damaged).expect("the file of the second connection");
    program("gpdbrestore", &server, "nobody", &offline)
        .env("PGPORT", "1")
        .run()
        .expect_status(2);
}

#[test]
fn all_that_may_not_be_read_is_told_at_once_and_nothing_is_written() {
    let server = Plain::start();
    server.sql("postgres", "CREATE ROLE saver LOGIN");
    server.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    server.sql(
        DEMO,
        "CREATE SCHEMA hidden; CREATE TABLE hidden.a (a int); GRANT SELECT ON hidden.a TO saver; \
         CREATE TABLE public.\"B\" (b serial); CREATE TABLE public.open (c int); GRANT SELECT ON public.open TO saver; \
         INSERT INTO public.open VALUES (1); SELECT lo_create(9)",
    );
    let refused = program("gpcrondump", &server, READER, &["-x", DEMO])
        .run()
        .expect_status(2);
    let grants: Vec<&str> = refused
        .stdout
        .lines()
        .filter_map(|line| line.split_once("[ERROR]:-Role saver may not read "))
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(
        grants,
        [
            "hidden.a: GRANT USAGE ON SCHEMA hidden TO saver;",
            "public.B: GRANT SELECT ON TABLE public.\"B\" TO saver;",
            "public.B_b_seq: GRANT SELECT ON SEQUENCE public.\"B_b_seq\" TO saver;",
            "large object 9: GRANT SELECT ON LARGE OBJECT 9 TO saver;",
        ]
    );
    assert!(!place(&server).join("db_dumps").exists());
    // What is left out need not be read.
    let key = dump(&server, READER, &["-x", DEMO, "-T", "public.B", "-T", "hidden.a"]);
    assert_eq!(manifest(&server, &key)["tables"].as_array().map(Vec::len), Some(1));
    for grant in grants {
        server.sql(DEMO, grant.split_once(": ").expect("a name and a statement").1);
    }
    let key = dump(&server, READER, &["-x", DEMO, "-G"]);
    assert_eq!(manifest(&server, &key)["tables"].as_array().map(Vec::len), Some(3));
    // Roles, without the passwords that only a superuser may read.
    let globals = place(&server).join(format!("db_dumps/{}/gp_global_-1_1_{key}", &key[..8]));
    let globals = std::fs::read_to_string(globals).expect("they were asked for");
    assert!(
        globals.contains("CREATE ROLE saver;") && !globals.contains("PASSWORD"),
        "{globals}"
    );
    // A history that was asked for by name and cannot be written is worth a status.
    program("gpcrondump", &server, READER, &["-x", DEMO, "-h"])
        .run()
        .expect_status(1);
}

/// Each transaction takes one from a table and puts it into another: the sum is the same at any one moment.
#[test]
fn several_connections_see_one_moment_while_others_write() {
    const TABLES: usize = 6;
    let server = Plain::start();
    server.sql("postgres", "CREATE ROLE saver LOGIN");
    server.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    for table in 0..TABLES {
        // Rows that take a while, so that the connections are not at the same place.
        server.sql(
            DEMO,
            &format!(
                "CREATE TABLE t{table} (id int, n int, filler text); \
                 INSERT INTO t{table} SELECT i, 0, repeat('x', {table} * 20) FROM generate_series(1, 20000) i; \
                 CREATE INDEX ON t{table} (id); GRANT SELECT ON t{table} TO saver"
            ),
        );
    }
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(3)));
    let writers: Vec<_> = (0..2)
        .map(|writer: usize| {
            let (session, stop, begun) = (server.session(DEMO), Arc::clone(&stop), Arc::clone(&begun));
            std::thread::spawn(move || {
                let mut moves: usize = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (from, to) = (moves % TABLES, (moves + 1 + writer) % TABLES);
                    let id = moves % 20_000 + 1;
                    session.sql(&format!(
                        "BEGIN; UPDATE t{from} SET n = n - 1 WHERE id = {id}; UPDATE t{to} SET n = n + 1 WHERE id = {id}; COMMIT"
                    ));
                    moves += 1;
                    if moves == 10 {
                        begun.wait();
                    }
                }
                moves
            })
        })
        .collect();
    begun.wait();
    let key = dump(&server, READER, &["-x", DEMO, "--jobs", "3"]);
    stop.store(true, Ordering::Relaxed);
    let moves: usize = writers
        .into_iter()
        .map(|writer| writer.join().expect("it writes"))
        .sum();
    let place = place(&server);
    let place = place.to_str().expect("made of ASCII");
    restore(&server, &key, &["-u", place, "--redirect", "copy", "--noanalyze"]);
    let sums: Vec<String> = (0..TABLES)
        .map(|table| format!("SELECT sum(n) AS n, sum(abs(n)) AS a FROM t{table}"))
        .collect();
    let sum = server.sql(
        "copy",
        &format!("SELECT sum(n), sum(a) > 0 FROM ({}) s", sums.join(" UNION ALL ")),
    );
    assert_eq!(sum, [[Some("0".to_owned()), Some("t".to_owned())]], "{moves} moves");
}

/// The segments are said to be on a host that only ssh could reach, and there is no ssh.
#[test]
fn a_cluster_is_saved_and_filled_through_its_master_alone() {
    let cluster = Cluster::start(ClusterSpec {
        hostnames: vec!["127.0.0.2".to_owned(); 2],
        ..ClusterSpec::segments(2)
    });
    cluster.load_warehouse(DEMO);
    make_reader(&cluster, DEMO);
    let before = Snapshot::take(&cluster, DEMO).gathered();
    assert!(before.row_count() > 1000, "a warehouse with rows in it");
    // Nothing shares a snapshot here, so one connection is one cut.
    let key = dump(&cluster, READER, &["-x", DEMO]);
    assert_eq!(manifest(&cluster, &key)["streams"]["snapshot"], "one-transaction");
    spoil(&cluster);
    let owner = cluster.sql("postgres", "SELECT current_user")[0][0]
        .clone()
        .expect("a name");
    let same = |what: &str| {
        let differences = before.differences(&Snapshot::take(&cluster, DEMO).gathered());
        // As in `resize`: limits of the testkit's master.
        let real: Vec<&str> = differences
            .lines()
            .filter(|line| !line.contains("sales.per_region") && !line.contains("public.no_columns"))
            .filter(|line| !line.is_empty())
            .collect();
        assert!(real.is_empty(), "{what}: {real:#?}");
    };
    program("gpdbrestore", &cluster, &owner, &["-t", &key, "-e"])
        .run()
        .expect_status(0);
    same("through the master");
    // Several without a common snapshot, and a role that keeps nobody from writing: the set says what it is.
    let several = ["-x", DEMO, "--jobs", "2"];
    let several = program("gpcrondump", &cluster, READER, &several).run().expect_status(1);
    assert!(several.stdout.contains("The dump is not one cut"), "{}", several.stdout);
    let written = manifest(&cluster, &several.timestamp_key());
    assert_eq!(written["streams"]["snapshot"], "own");
    assert_eq!(written["consistency"]["one_cut"], false);
    // Its owner may.
    let locked = dump(&cluster, &owner, &["-x", DEMO, "--jobs", "2"]);
    assert_eq!(manifest(&cluster, &locked)["streams"]["snapshot"], "locked");
}

#[test]
fn a_set_of_segments_goes_through_the_master_alone() {
    let cluster = Cluster::start(ClusterSpec::segments(3));
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(DEMO, "CREATE TABLE t (id int, what text)");
    for segment in 0..3 {
        let rows = format!("INSERT INTO t SELECT i, 'row ' || i FROM generate_series({segment}, 3000, 3) i");
        cluster.segment_sql(segment, DEMO, &rows);
    }
    let before = Snapshot::take(&cluster, DEMO).gathered();
    let set = place(&cluster);
    let key = gpdump_tests::dump(&cluster, &["-u", set.to_str().expect("made of ASCII")]);
    let owner = cluster.sql("postgres", "SELECT current_user")[0][0]
        .clone()
        .expect("a name");
    // Fewer sessions than the set has files.
    let restored = program("gpdbrestore", &cluster, &owner, &["-t", &key, "-e", "--jobs", "2"]).run();
    restored.expect_status(0);
    let after = Snapshot::take(&cluster, DEMO).gathered();
    assert_eq!(after.row_count(), 3001);
    assert_same(&before, &after);
}

/// The managed warehouse that people have: one SQL address, a bucket, and nothing on any host.
#[test]
fn one_address_and_a_bucket_are_all_that_a_managed_server_needs() {
    const PASSWORD: &str = "pa55w0rd-of-the-tenant";
    let (server, bucket) = (Plain::start(), ObjectServer::start());
    server.sql(
        "postgres",
        &format!("CREATE ROLE tenant LOGIN CREATEDB PASSWORD '{PASSWORD}'"),
    );
    server.sql("postgres", "CREATE DATABASE app OWNER tenant TEMPLATE template0");
    server.sql("template1", "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC");
    server.sql("app", &format!("SET ROLE tenant; {OWN_SCHEMA}"));
    server.sql("app", "ALTER SCHEMA public OWNER TO tenant");
    let before = Snapshot::take(&server, "app");
    assert!(before.row_count() > 1000, "rows to lose");
    let mut traces = Traces::default();
    let mut run = |name: &str, args: &[&str], status: i32| {
        let args: Vec<&str> = args.iter().copied().chain(["-a", "-v"]).collect();
        let end = buckets::program(name, &server, &bucket, &args)
            .env("PGUSER", "tenant")
            .env("PGPASSWORD", PASSWORD)
            .env("MASTER_DATA_DIRECTORY", "")
            .env("GPHOME", "")
            .env("GPDUMP_SSH", "/bin/false")
            .run()
            .expect_status(status);
        traces.said(&end);
        end
    };
    let full = run("gpcrondump", &["--through-master", "-x", "app", "--jobs", "3"], 0).timestamp_key();
    server.sql(
        "app",
        "SET ROLE tenant; INSERT INTO app.event VALUES ('2024-05-05', 'late')",
    );
    let late = Snapshot::take(&server, "app");
    let increment = ["--through-master", "-x", "app", "--incremental", "--json"];
    let told: Value = serde_json::from_str(&run("gpcrondump", &increment, 0).stdout).expect("JSON");
    let increment = told["databases"][0]["key"].as_str().expect("its key").to_owned();
    let listed = run("gpcrondump", &["--list-backups"], 0).stdout;
    assert!(listed.contains(&full) && listed.contains(&increment), "{listed}");
    let verified = run("gpdbrestore", &["--through-master", "--verify", "-t", &increment], 0).stdout;
    assert!(verified.contains("All of it can be restored: "), "{verified}");

    server.sql("app", "DROP SCHEMA app CASCADE; SELECT lo_unlink(5)");
    run("gpdbrestore", &["--through-master", "-e", "-t", &increment], 0);
    assert_same(&late, &Snapshot::take(&server, "app"));
    run("gpdbrestore", &["--through-master", "-e", "-t", &full, "--resume"], 2);
    run("gpdbrestore", &["--through-master", "-e", "-t", &full], 0);
    assert_same(&before, &Snapshot::take(&server, "app"));
    let table = [
        "--through-master",
        "-s",
        "app",
        "-T",
        "app.Order",
        "-T",
        "app.customer",
        "--redirect",
        "other",
    ];
    run("gpdbrestore", &table, 0);
    let rows = "SELECT count(*), sum(total) FROM app.\"Order\"";
    assert_eq!(server.sql("other", rows), server.sql("app", rows));

    // An old date goes, with nothing but this.
    let old = "cluster/db_dumps/20200101/gp_dump_20200101010101.rpt";
    bucket.set(old, Some(b"old".to_vec()));
    run("gpcrondump", &["--through-master", "-o"], 0);
    let left = buckets::names(&bucket);
    assert!(
        !left.iter().any(|name| name == old) && left.iter().any(|name| name.contains(&full)),
        "{left:#?}"
    );
    assert_eq!(bucket.open_uploads(), [] as [String; 0]);

    // Nothing of a set is on the machine, and what a restore notes is beside its log.
    assert_eq!(gpdump_tests::dump_files(&server), [] as [PathBuf; 0]);
    let beside = std::fs::read_dir(server.home()).expect("the home is ours");
    let beside: Vec<_> = beside.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(beside, ["gpAdminLogs"]);
    traces.of(&server, &["app"]);
    traces.stored(&bucket);
    traces.assert_without(&[SECRET, PASSWORD]);
}
