//! Sets in a bucket: a real S3 protocol over HTTP, with signatures, and with everything that goes wrong on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::object_server::{Fault, FaultKind, KEY_ID, ObjectServer, SECRET};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program};
use gpdump_tests::{DEMO, dump_files, spoil, within};

/// Small parts: the test database shall need several.
const PART_BYTES: &str = "2000";

/// The program with a bucket.
fn program(name: &str, cluster: &Cluster, server: &ObjectServer, args: &[&str]) -> Program {
    let (url, endpoint) = (ObjectServer::url("cluster"), server.endpoint());
    let storage = ["--storage", &url, "--storage-endpoint", &endpoint].map(str::to_owned);
    let mut program = Program::new(name, cluster)
        .args(args.iter().map(|word| (*word).to_owned()).chain(storage))
        .env("GPDUMP_STORAGE_PART_BYTES", PART_BYTES);
    for (name, value) in ObjectServer::environment() {
        program = program.env(name, value);
    }
    program
}

fn dump(cluster: &Cluster, server: &ObjectServer, more: &[&str]) -> String {
    let args: Vec<&str> = ["-a", "-x", DEMO].iter().chain(more).copied().collect();
    program("gpcrondump", cluster, server, &args)
        .run()
        .expect_status(0)
        .timestamp_key()
}

fn restore(cluster: &Cluster, server: &ObjectServer, key: &str, more: &[&str]) -> Finished {
    let args: Vec<&str> = ["-a", "-t", key].iter().chain(more).copied().collect();
    program("gpdbrestore", cluster, server, &args).run()
}

fn names(server: &ObjectServer) -> Vec<String> {
    server.objects().into_iter().map(|(key, _)| key).collect()
}

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
fn a_fault_at_any_request_ends_well_or_says_so_and_never_looks_whole() {
    let cluster = Plain::start();
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(
        DEMO,
        "CREATE TABLE t AS SELECT n, md5(n::text) AS t FROM generate_series(1, 400) n; CREATE INDEX ON t (n)",
    );
    let before = Snapshot::take(&cluster, DEMO);
    let server = ObjectServer::start();
    // Short limits: a hanging server is given up after the second, a broken one after the first.
    let short = ["--connect-timeout", "2", "--silence-timeout", "3", "-H"];
    let dump = |more: &[&str]| {
        let args: Vec<&str> = ["-a", "-x", DEMO].iter().chain(&short).chain(more).copied().collect();
        program("gpcrondump", &cluster, &server, &args).run()
    };
    let empty = || names(&server).iter().for_each(|name| server.set(name, None));
    server.fail(&[]);
    let key = dump(&[]).expect_status(0).timestamp_key();
    let requests = server.count();
    server.fail(&[]);
    restore(&cluster, &server, &key, &["-e"]).expect_status(0);
    let of_restore = server.count();
    eprintln!("{requests} requests of a dump, {of_restore} of a restore");
    let whole = server.objects();

    let all = std::env::var("GPDUMP_STORAGE_FAULTS").is_ok_and(|word| word == "all");
    let mut tried = 0;
    // Every request fails once, with the kinds in turn: all of them in a run that is asked for everything.
    for at in 1..=requests {
        for (number, kind) in FaultKind::PASSING.into_iter().enumerate() {
            let is_turn = at % FaultKind::PASSING.len() == number;
            // One hang takes seconds.
            if !(all || is_turn && kind != FaultKind::Hang && at % 3 == 0) {
                continue;
            }
            empty();
            server.fail(&[Fault::once(at, kind)]);
            let dumped = dump(&[]);
            server.fail(&[]);
            tried += 1;
            check_dump(
                &cluster,
                &server,
                &before,
                &dumped,
                &format!("{kind:?} at request {at} of a dump"),
                true,
            );
        }
    }
    // From some request on nothing works any more.
    for at in (1..=requests).step_by(if all { 1 } else { requests / 4 }) {
        for kind in [FaultKind::Denied, FaultKind::Reset] {
            empty();
            server.fail(&[Fault::from(at, kind)]);
            let dumped = dump(&[]);
            server.fail(&[]);
            tried += 1;
            check_dump(
                &cluster,
                &server,
                &before,
                &dumped,
                &format!("{kind:?} from request {at} of a dump on"),
                false,
            );
        }
    }
    empty();
    for (name, bytes) in &whole {
        server.set(name, Some(bytes.to_vec()));
    }
    let restore = |more: &[&str]| {
        let args: Vec<&str> = ["-a", "-e", "-t", &key]
            .iter()
            .chain(&short[..4])
            .chain(more)
            .copied()
            .collect();
        program("gpdbrestore", &cluster, &server, &args).run()
    };
    for at in 1..=of_restore {
        for (number, kind) in FaultKind::PASSING.into_iter().enumerate() {
            if !(all || at % FaultKind::PASSING.len() == number && kind != FaultKind::Hang && at % 2 == 0) {
                continue;
            }
            server.fail(&[Fault::once(at, kind)]);
            let restored = restore(&[]);
            server.fail(&[]);
            tried += 1;
            let what = format!("{kind:?} at request {at} of a restore");
            check_restore(&cluster, &before, &restored, &what, true);
        }
    }
    for at in (1..=of_restore).step_by(if all { 1 } else { of_restore / 3 }) {
        server.fail(&[Fault::from(at, FaultKind::Denied)]);
        let restored = restore(&[]);
        server.fail(&[]);
        tried += 1;
        check_restore(
            &cluster,
            &before,
            &restored,
            &format!("denied from request {at} of a restore on"),
            false,
        );
    }
    eprintln!("{tried} faults tried");
}

/// Either all is well and the set restores, or the status is 2 and no set looks whole.
#[track_caller]
fn check_dump(
    cluster: &Cluster,
    server: &ObjectServer,
    before: &Snapshot,
    dumped: &Finished,
    what: &str,
    must_do: bool,
) {
    let said = format!("{what}\n{}\n{}", dumped.stdout, dumped.stderr);
    let has_manifest = names(server).iter().any(|name| name.ends_with("_manifest.json"));
    match dumped.status {
        Some(0) => {
            let key = dumped.timestamp_key();
            restore(cluster, server, &key, &["--verify"]).expect_status(0);
            restore(cluster, server, &key, &["-e"]).expect_status(0);
            assert_same(before, &Snapshot::take(cluster, DEMO));
            assert_eq!(server.open_uploads(), [] as [String; 0], "{said}");
        }
        Some(2) if !must_do => {
            assert!(!has_manifest, "a set looks whole: {said}");
            assert!(
                dumped.stdout.contains("rror") || dumped.stdout.contains("failed"),
                "no sentence: {said}"
            );
        }
        _ => panic!("{said}"),
    }
}

#[track_caller]
fn check_restore(cluster: &Cluster, before: &Snapshot, restored: &Finished, what: &str, must_do: bool) {
    let said = format!("{what}\n{}\n{}", restored.stdout, restored.stderr);
    match restored.status {
        Some(0) => assert_same(before, &Snapshot::take(cluster, DEMO)),
        Some(2) if !must_do => {
            assert!(
                restored.stdout.contains("rror") || restored.stdout.contains("failed"),
                "no sentence: {said}"
            );
        }
        _ => panic!("{said}"),
    }
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
    let mut said = String::new();
    let mut run = |name: &str, args: &[&str], status: i32| {
        let end = program(name, &cluster, &server, args).run().expect_status(status);
        said.push_str(&end.stdout);
        said.push_str(&end.stderr);
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
    said.push_str(&wrong.stdout);
    said.push_str(&wrong.stderr);

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
    said.push_str(&of_file(0o640).expect_status(2).stdout);
    assert!(said.contains("others than its owner"));
    said.push_str(&of_file(0o600).expect_status(0).stdout);
    fs::remove_file(&file).unwrap();

    let history = cluster.sql(DEMO, "SELECT h::text FROM public.gpcrondump_history h");
    let activity = cluster.sql(DEMO, "SELECT coalesce(query, '') FROM pg_stat_activity");
    said.push_str(&format!("{history:?} {activity:?}"));
    let mut written: Vec<(String, Vec<u8>)> = vec![("what was said".to_owned(), said.into_bytes())];
    for (name, bytes) in server.objects() {
        written.push((name, bytes.to_vec()));
    }
    collect(cluster.home(), &mut written);
    for instance in std::iter::once(cluster.master()).chain(cluster.segments()) {
        collect(&instance.data_dir.join("log"), &mut written);
        collect(&instance.data_dir.join("db_dumps"), &mut written);
    }
    assert!(
        written.iter().any(|(name, _)| name.contains("gpcrondump_")),
        "the log was looked at"
    );
    for (name, bytes) in &written {
        let has = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!has(SECRET), "{name} holds the secret");
    }
}

fn collect(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}
