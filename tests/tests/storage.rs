//! Sets in a bucket: a real S3 protocol over HTTP, with signatures, and with everything that goes wrong on the way.
//!
//! `gpdump_tests::buckets` gives `--storage` and `--storage-endpoint` to every program here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::object_server::{Fault, FaultKind, KEY_ID, ObjectServer, SECRET};
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::buckets::{dump, names, program, restore};
use gpdump_tests::certificates;
use gpdump_tests::traces::Traces;
use gpdump_tests::{DEMO, dump_files, spoil, within};

#[test]
fn a_set_in_a_bucket_is_listed_verified_and_restored_whole_and_by_table() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let server = ObjectServer::start();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &server, &["-G", "-g", "--dump-stats", "--rsyncable"]);
    let all = names(&server);
    let directory = format!("cluster/db_dumps/{}/", &key[..8]);
    assert!(all.iter().all(|name| name.starts_with(&directory)), "{all:#?}");
    for end in [".rpt", "_manifest.json", "_post_data.gz", "_index", "_ao_state_file"] {
        assert!(all.iter().any(|name| name.ends_with(end)), "{end}: {all:#?}");
    }
    assert_eq!(server.open_uploads(), [] as [String; 0]);
    // No disk has anything of it.
    assert_eq!(dump_files(&cluster), [] as [std::path::PathBuf; 0]);
    // The manifest comes last of all that belongs to the dump itself; what is saved beside it comes behind, each with the
    // manifest anew.
    let puts: Vec<String> = (server.take_log().into_iter())
        .filter(|line| line.line.starts_with("PUT ") || line.line.contains("uploadId") && line.line.starts_with("POST"))
        .map(|line| line.line)
        .collect();
    let manifest = puts.iter().position(|line| line.ends_with("_manifest.json")).unwrap();
    for part in [
        "gp_dump_0_",
        "gp_dump_1_",
        "gp_dump_-1_1",
        ".rpt",
        "_co_state_file",
        "gp_dump_status",
    ] {
        let last = puts.iter().rposition(|line| line.contains(part)).unwrap();
        assert!(last < manifest, "{part} comes behind the manifest: {puts:#?}");
    }
    assert!(
        puts.iter().any(|line| line.contains("partNumber=2")),
        "no file had parts: {puts:#?}"
    );

    let listed = program("gpcrondump", &cluster, &server, &["--list-backups"])
        .run()
        .expect_status(0);
    assert!(
        listed.stdout.contains(&key) && listed.stdout.contains("complete"),
        "{}",
        listed.stdout
    );
    restore(&cluster, &server, &key, &["--verify"]).expect_status(0);
    let tables = restore(&cluster, &server, &key, &["-L"]).expect_status(0);
    assert!(tables.stdout.contains("sales.orders"), "{}", tables.stdout);

    spoil(&cluster);
    server.take_log();
    restore(&cluster, &server, &key, &["-e", "-G", "--restore-stats"]).expect_status(0);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    // Who restores needs no right to write.
    let writes = server
        .take_log()
        .into_iter()
        .filter(|line| !line.line.starts_with("GET") && !line.line.starts_with("HEAD"));
    assert_eq!(writes.count(), 0);

    cluster.sql(DEMO, "DELETE FROM sales.line");
    restore(&cluster, &server, &key, &["-T", "sales.line", "--truncate"]).expect_status(0);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    let date = key[..8].to_owned();
    spoil(&cluster);
    program("gpdbrestore", &cluster, &server, &["-a", "-e", "-b", &date])
        .run()
        .expect_status(0);
    spoil(&cluster);
    program("gpdbrestore", &cluster, &server, &["-a", "-e", "-s", DEMO])
        .run()
        .expect_status(0);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));

    // What is not as it was is found; what is not whole is not restored.
    let file = all
        .iter()
        .find(|name| name.contains("gp_dump_1_") && name.ends_with(".gz"))
        .unwrap();
    let objects = server.objects();
    let bytes = |name: &str| objects.iter().find(|(key, _)| key == name).unwrap().1.to_vec();
    let mut damaged = bytes(file);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    server.set(file, Some(damaged));
    let verified = restore(&cluster, &server, &key, &["--verify"]).expect_status(2);
    assert!(verified.stdout.contains(file), "{}", verified.stdout);
    server.set(file, Some(bytes(file)));
    let manifest = all.iter().find(|name| name.ends_with("_manifest.json")).unwrap();
    server.set(manifest, None);
    let refused = restore(&cluster, &server, &key, &["-e"]).expect_status(2);
    assert!(refused.stdout.contains("is incomplete"), "{}", refused.stdout);
}

#[test]
fn increments_and_clean_up_keep_their_rules_in_a_bucket() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let server = ObjectServer::start();
    // An old set, of which nothing but its names matters here.
    for name in ["gp_dump_20200101010101.rpt", "gp_dump_0_2_20200101010101.gz"] {
        server.set(&format!("cluster/db_dumps/20200101/{name}"), Some(b"old".to_vec()));
    }
    server.set(
        "elsewhere/db_dumps/20200101/gp_dump_20200101010101.rpt",
        Some(b"old".to_vec()),
    );
    let full = dump(&cluster, &server, &["--incremental-heap"]);
    cluster.sql(
        DEMO,
        "DELETE FROM sales.orders WHERE id % 3 = 0; REFRESH MATERIALIZED VIEW sales.per_region",
    );
    let first = dump(&cluster, &server, &["--incremental", "--incremental-heap"]);
    let middle = Snapshot::take(&cluster, DEMO);
    cluster.sql(
        DEMO,
        "DELETE FROM sales.orders; REFRESH MATERIALIZED VIEW sales.per_region",
    );
    let second = dump(&cluster, &server, &["--incremental", "--incremental-heap"]);
    let last = Snapshot::take(&cluster, DEMO);
    let of = |key: &str| {
        restore(&cluster, &server, key, &["--list-backup"])
            .expect_status(0)
            .stdout
    };
    assert!(of(&second).contains(&full) && of(&second).contains(&first));
    restore(&cluster, &server, &first, &["-e"]).expect_status(0);
    assert_same(&middle, &Snapshot::take(&cluster, DEMO));
    restore(&cluster, &server, &second, &["--verify"]).expect_status(0);
    restore(&cluster, &server, &second, &["-e"]).expect_status(0);
    assert_same(&last, &Snapshot::take(&cluster, DEMO));

    program("gpcrondump", &cluster, &server, &["-a", "-o", "-x", DEMO])
        .run()
        .expect_status(0);
    let all = names(&server);
    assert!(
        !all.iter().any(|name| name.starts_with("cluster/db_dumps/20200101/")),
        "{all:#?}"
    );
    assert!(all.iter().any(|name| name.starts_with("elsewhere/")) && all.iter().any(|name| name.contains(&full)));
}

#[test]
fn a_table_costs_a_table() {
    let cluster = Plain::start();
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(
        DEMO,
        "CREATE TABLE small AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n; \
         CREATE TABLE large AS SELECT n, md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text) AS t \
         FROM generate_series(1, 400000) n",
    );
    let server = ObjectServer::start();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &server, &[]);
    let stored: usize = server.objects().iter().map(|(_, bytes)| bytes.len()).sum();
    cluster.sql(DEMO, "TRUNCATE small");
    server.take_log();
    restore(&cluster, &server, &key, &["-T", "public.small", "--truncate"]).expect_status(0);
    let sent: u64 = server.take_log().iter().map(|line| line.sent).sum();
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    eprintln!("{sent} bytes sent for 1 MB of {stored} stored");
    assert!(stored > 8 << 20 && sent < 1 << 20, "{sent} of {stored}");
}

#[test]
fn a_killed_run_leaves_no_set_and_its_uploads_go_with_the_next() {
    let cluster = Plain::start();
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(
        DEMO,
        "CREATE TABLE t AS SELECT n, md5(n::text) AS t FROM generate_series(1, 2000) n",
    );
    let server = ObjectServer::start();
    // The first part of the data file hangs, and then everything is killed.
    server.fail(&[Fault::from(1, FaultKind::HangPart)]);
    let mut killed = program("gpcrondump", &cluster, &server, &["-a", "-x", DEMO]).spawn();
    within(Duration::from_secs(60), "an upload hangs", || {
        // The one of the directory check comes and goes.
        server.open_uploads().iter().any(|name| name.contains("gp_dump_"))
    });
    for pid in gpdump_tests::descendants(killed.id()) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!server.open_uploads().is_empty());
    assert!(!names(&server).iter().any(|name| name.ends_with("_manifest.json")));
    server.fail(&[]);
    let next = program("gpcrondump", &cluster, &server, &["-a", "-x", DEMO])
        .run()
        .expect_status(0);
    assert!(next.stdout.contains("Took back"), "{}", next.stdout);
    assert_eq!(server.open_uploads(), [] as [String; 0]);
    restore(&cluster, &server, &next.timestamp_key(), &["-e"]).expect_status(0);
}

#[test]
fn a_server_that_knows_paths_only_is_spoken_to_in_paths() {
    let cluster = Plain::start();
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(DEMO, "CREATE TABLE t AS SELECT n FROM generate_series(1, 2000) n");
    let server = ObjectServer::start();
    server.know_paths_only();
    let refused = program("gpcrondump", &cluster, &server, &["-a", "-x", DEMO])
        .run()
        .expect_status(2);
    assert!(refused.stdout.contains("PathStyleNotSupported"), "{}", refused.stdout);
    let key = dump(&cluster, &server, &["--storage-path-style"]);
    restore(&cluster, &server, &key, &["-e", "--storage-path-style"]).expect_status(0);
    // A directory of every host, said as a URL.
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    let dumped = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "--storage", &url])
        .run();
    let key = dumped.expect_status(0).timestamp_key();
    assert!(directory.path().join("db_dumps").join(&key[..8]).is_dir());
    let restored = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-e", "-t", &key, "--storage", &url])
        .run();
    restored.expect_status(0);
}

#[test]
fn secrets_are_nowhere_to_be_read() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.load_warehouse(DEMO);
    let server = ObjectServer::start();
    let mut traces = Traces::default();
    let mut run = |name: &str, args: &[&str], status: i32| {
        let end = program(name, &cluster, &server, args).run().expect_status(status);
        traces.said(&end);
        end
    };
    // As much as can be said: verbose, as JSON, with every library's events in the log.
    let key = run("gpcrondump", &["-a", "-v", "-x", DEMO], 0).timestamp_key();
    run("gpdbrestore", &["-a", "-v", "-e", "-t", &key, "--json"], 0);
    run("gpcrondump", &["--list-backups", "--json"], 0);
    server.fail(&[Fault::from(1, FaultKind::Denied)]);
    run("gpdbrestore", &["-a", "-v", "-t", &key], 2);
    server.fail(&[]);
    let wrong = program("gpdbrestore", &cluster, &server, &["-a", "-v", "-t", &key])
        .env("AWS_SECRET_ACCESS_KEY", format!("{SECRET}x"))
        .env(
            "GPDUMP_LOG",
            "object_store=trace,reqwest=trace,hyper=trace,hyper_util=trace",
        )
        .run()
        .expect_status(2);
    assert!(wrong.stdout.contains("SignatureDoesNotMatch"), "{}", wrong.stdout);
    traces.said(&wrong);

    // From a file, that others may not read.
    let file = cluster.home().join("storage credentials");
    fs::write(
        &file,
        format!("access_key_id = {KEY_ID}\nsecret_access_key = {SECRET}\n"),
    )
    .unwrap();
    let of_file = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        program(
            "gpcrondump",
            &cluster,
            &server,
            &["-a", "-v", "-x", DEMO, "--storage-credentials", file.to_str().unwrap()],
        )
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .run()
    };
    let refused = of_file(0o640).expect_status(2);
    assert!(refused.stdout.contains("others than its owner"), "{}", refused.stdout);
    traces.said(&refused);
    traces.said(&of_file(0o600).expect_status(0));
    fs::remove_file(&file).unwrap();

    traces.of(&cluster, &[DEMO]);
    traces.stored(&server);
    traces.assert_without(&[SECRET]);
}

#[test]
fn behind_tls_the_certificate_of_the_storage_must_be_trusted() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(DEMO, "CREATE TABLE t (a int, b text)");
    for segment in 0..2 {
        cluster.segment_sql(
            segment,
            DEMO,
            "INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 500) n",
        );
    }
    let before = Snapshot::take(&cluster, DEMO);
    let directory = tempfile::tempdir().unwrap();
    certificates::make(directory.path(), "DNS:cold-copies.localhost,DNS:localhost");
    let file = |name: &str| directory.path().join(name);
    let server = ObjectServer::start_with_tls(&file("server.crt"), &file("server.key"));
    let dump_with = |bundle: &str| {
        program("gpcrondump", &cluster, &server, &["-a", "-x", DEMO])
            .env("AWS_CA_BUNDLE", file(bundle))
            .run()
    };
    // One that nobody has heard of; one that is none; and one that is of somebody else. None is tried for a minute.
    let began = Instant::now();
    let unknown = program("gpcrondump", &cluster, &server, &["-a", "-x", DEMO])
        .env("SSL_CERT_FILE", file("stranger.crt"))
        .run()
        .expect_status(2);
    let stranger = dump_with("stranger.crt").expect_status(2);
    for refused in [&unknown, &stranger] {
        let line = refused.stdout.lines().find(|line| line.contains("is not trusted"));
        let line = line.unwrap_or_else(|| panic!("{}", refused.stdout));
        assert!(
            line.contains("the certificate of the storage is not trusted: ") && line.contains("AWS_CA_BUNDLE"),
            "{line}"
        );
    }
    let none = dump_with("server.key").expect_status(2);
    assert!(none.stdout.contains("there is no certificate in it"), "{}", none.stdout);
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    assert_eq!(names(&server), [] as [String; 0]);

    // The authority reaches the workers with the account. A file of the account may name it too.
    let key = dump_with("ca.crt").expect_status(0).timestamp_key();
    cluster.sql(DEMO, "DROP TABLE t");
    let account = cluster.home().join("account");
    let lines = format!(
        "access_key_id = {KEY_ID}\nsecret_access_key = {SECRET}\nca_bundle = {}\n",
        file("ca.crt").display()
    );
    fs::write(&account, lines).unwrap();
    fs::set_permissions(&account, fs::Permissions::from_mode(0o600)).unwrap();
    let account = ["-e", "--storage-credentials", account.to_str().unwrap()];
    restore(&cluster, &server, &key, &account).expect_status(0);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn a_dump_that_takes_its_locks_anew_leaves_no_upload_open() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    cluster.sql(DEMO, "CREATE TABLE held (id int)");
    cluster.sql(DEMO, "CREATE TABLE spare (id int)");
    let server = ObjectServer::start();
    let on_master = || cluster.session_behind(cluster.master(), DEMO);
    let waits_for = |table: &str| {
        let sql = format!("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
        !cluster.try_sql_behind(cluster.master(), DEMO, &sql).unwrap().is_empty()
    };
    let (holder, other) = (on_master(), on_master());
    // pg_dump locks it, and nothing else of the dump does.
    holder.sql("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
    let args = ["-a", "-x", DEMO, "-T", "public.held", "--silence-timeout", "3"];
    let program = program("gpcrondump", &cluster, &server, &args).spawn();
    within(Duration::from_secs(30), "pg_dump waits", || waits_for("held"));
    within(Duration::from_secs(30), "rows are on their way", || {
        !server.open_uploads().is_empty()
    });
    let truncate = std::thread::spawn(move || other.try_sql("TRUNCATE spare").map(drop));
    within(Duration::from_secs(10), "the TRUNCATE waits", || waits_for("spare"));
    holder.sql("ROLLBACK");
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    truncate.join().unwrap().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{said}");
    assert!(said.contains("is let through, time 1: "), "{said}");
    assert_eq!(server.open_uploads(), [] as [String; 0]);
    let key = said.split_once("Timestamp key = ").unwrap().1[..14].to_owned();
    restore(&cluster, &server, &key, &["--verify"]).expect_status(0);
}
